# Sourced by ./demo and ./test: a virtual environment with the locked requirements, and the embedded weights.
# It needs git, python3 (3.11 or 3.12) and python3-venv, and does nothing the second time.

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

find_python() {
  local candidate
  for candidate in python3.11 python3.12 python3; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then
      if "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
        printf '%s\n' "$candidate"
        return
      fi
    fi
  done
  say 'Python 3.11 or 3.12 with its venv module is needed. On Debian 12:'
  say '  sudo apt-get install -y git python3 python3-venv'
  return 1
}

set_up() {
  local lock=requirements/dev.txt stamp=.venv/.installed python
  local wanted
  wanted=$(sha256sum "$lock" | cut -d' ' -f1)
  if [ ! -x .venv/bin/python ] || [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    python=$(find_python) || return 1
    say 'Setting up .venv: about 5 GB the first time, which takes a few minutes; later only what has changed …'
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/pip install --quiet --no-deps --require-hashes --requirement "$lock"
    printf '%s\n' "$wanted" >"$stamp"
  fi
  # The libraries' own progress bars and advice say nothing to whoever waits here.
  TRANSFORMERS_VERBOSITY=error DIFFUSERS_VERBOSITY=error HF_HUB_DISABLE_PROGRESS_BARS=1 \
    .venv/bin/python -m core.weights fetch --profile embedded
}
