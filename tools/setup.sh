# Sourced by ./demo and ./test: creates .venv with the locked requirements and fetches the embedded weights. It needs git
# and CPython 3.11 or 3.12 with venv, or uv, which fetches that Python where the network allows it. The second time it
# does nothing.

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

find_python() {
  local candidate
  for candidate in python3.11 python3.12 python3; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null &&
      "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# uv from PATH, else installed by pip into .uv/. Prints its path.
find_uv() {
  if command -v uv >/dev/null; then
    command -v uv
    return
  fi
  python3 -c 'import venv, ensurepip' 2>/dev/null || return 1
  [ -x .uv/bin/uv ] || { python3 -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check uv >&2; } || return 1
  printf '%s\n' .uv/bin/uv
}

create_venv() {
  local python uv
  if python=$(find_python); then
    "$python" -m venv .venv
  elif uv=$(find_uv) && "$uv" venv --quiet --seed --python 3.12 .venv >&2; then
    return
  else
    say 'CPython 3.11 or 3.12 is needed, with its venv module, and none could be fetched. Install one of:'
    say '  Debian 12, Ubuntu 24.04   sudo apt-get install -y git python3 python3-venv'
    say '  Fedora                    sudo dnf install -y git python3.12'
    say '  macOS                     brew install python@3.12'
    say '  other systems             install uv (https://docs.astral.sh/uv/), then run this again'
    return 1
  fi
}

install_requirements() {
  if command -v uv >/dev/null; then
    uv pip install --quiet --python .venv/bin/python --no-deps --require-hashes --requirement "$1"
  else
    PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/pip install --quiet --no-deps --require-hashes --requirement "$1"
  fi
}

set_up() {
  local lock=requirements/dev.txt stamp=.venv/.installed size='about 5 GB on disk (torch with CUDA)' wanted
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) ;;
    Linux-aarch64 | Darwin-arm64) size='about 2 GB on disk' ;;
    *)
      say "img-pod is developed on Linux (x86-64, aarch64) and on macOS 14 or newer (Apple silicon), not on $(uname -sm)."
      return 1
      ;;
  esac
  wanted=$(cksum <"$lock")
  if [ ! -x .venv/bin/python ] || [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    say "Setting up .venv: $size the first time, which takes a few minutes; later only what has changed …"
    [ -x .venv/bin/python ] || create_venv || return 1
    install_requirements "$lock"
    printf '%s\n' "$wanted" >"$stamp"
  fi
  # The libraries' own progress bars and advice are of no use here.
  TRANSFORMERS_VERBOSITY=error DIFFUSERS_VERBOSITY=error HF_HUB_DISABLE_PROGRESS_BARS=1 \
    .venv/bin/python -m core.weights fetch --profile embedded
  .venv/bin/python -m core.policy
}
