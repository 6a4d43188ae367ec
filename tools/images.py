"""Build the images, run each one with its own test input, and list the largest folders.

    python -m tools.images                            all four with the embedded weights
    python -m tools.images --only llm --weights full  one image with full weights
    python -m tools.images --keep                     don't remove the images afterwards

Uses docker, podman or buildah. If no registry is reachable, name a local base image with Python 3.11 with `--base`. The
orchestrator's test input needs workers, so in its image the expected result is the error that says so.

May import: nothing of the project.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILDERS = ("docker", "podman", "buildah")
COMMANDS = {
    "orchestrator": "orchestrator",
    "llm": "handlers.llm",
    "selfie": "handlers.selfie",
    "zimage": "handlers.zimage",
}
MB = 1_000_000
_LISTED_LAYER_BYTES = 500_000
_TEN_BIGGEST = (
    "du -x --block-size=MB --max-depth=1 /weights"
    " $(python -c 'import site; print(site.getsitepackages()[0])')/. 2>/dev/null | sort -rn | head -n 12"
)


class BuildFailed(Exception):
    """A builder's command failed; the message says which."""


@dataclass(frozen=True)
class Builder:
    """A container builder: docker, podman or buildah. `network`: for machines whose builds need the host network."""

    program: str
    network: str | None = None

    def build(self, image: str, tag: str, build_args: dict[str, str]) -> None:
        # Without `--layers`, buildah puts all weights into one layer. docker and podman have a layer per instruction.
        words = ["build"] if self.program != "buildah" else ["build", "--layers"]
        words += [word for pair in build_args.items() for word in ("--build-arg", "=".join(pair))]
        self._run(*words, *self._network(), "--tag", tag, "--file", f"Dockerfile.{image}", ".")

    def size_mb(self, tag: str) -> float:
        """Size of the whole image, unpacked, in bytes."""
        if self.program == "buildah":
            [image] = json.loads(self._output("images", "--json", tag))
            return _buildah_mb(str(image["size"]))
        return int(self._output("image", "inspect", "--format", "{{.Size}}", tag)) / MB

    def layers_mb(self, tag: str) -> list[float]:
        """Size of each layer of at least 0.5 MB, unpacked, from the base upwards."""
        if self.program == "buildah":
            manifest = json.loads(json.loads(self._output("inspect", "--type", "image", tag))["Manifest"])
            sizes = [layer["size"] for layer in manifest["layers"]]
        else:
            history = self._output("history", "--human=false", "--format", "{{.Size}}", tag)
            sizes = [int(size) for size in reversed(history.split())]
        return [size / MB for size in sizes if size >= _LISTED_LAYER_BYTES]

    @contextmanager
    def container(self, tag: str) -> Iterator[list[str]]:
        """The command line that runs a command in a new container of `tag` and removes the container."""
        if self.program != "buildah":
            yield [self.program, "run", "--rm", *self._network(), tag]
            return
        name = self._output("from", tag).strip()
        try:
            yield [self.program, "run", *self._network(), name, "--"]
        finally:
            self._output("rm", name)

    def remove(self, tag: str) -> None:
        self._output("rmi", tag)

    def _network(self) -> list[str]:
        return ["--network", self.network] if self.network else []

    def _run(self, *words: str) -> None:
        done = subprocess.run([self.program, *words], cwd=ROOT, check=False, env=self._env())  # noqa: S603 (a builder found on the path)
        if done.returncode:
            raise BuildFailed(f"`{self.program} {' '.join(words)}` ended with exit status {done.returncode}.")

    def _output(self, *words: str) -> str:
        done = subprocess.run([self.program, *words], cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S603 (as above)
        if done.returncode:
            raise BuildFailed(f"`{self.program} {' '.join(words)}`: {done.stderr.strip()[-500:]}")
        return done.stdout

    def _env(self) -> dict[str, str]:
        return {**os.environ, "DOCKER_BUILDKIT": "1"}


def _buildah_mb(size: str) -> float:
    number, unit = size.split()
    return float(number) * {"KB": 0.001, "MB": 1, "GB": 1000}[unit.upper()]


def choose(named: str | None, network: str | None) -> Builder:
    """The requested builder, else the first one that works. Raises `BuildFailed`."""
    for program in (named,) if named else BUILDERS:
        if shutil.which(program) and _is_available(program):
            return Builder(program, network)
    raise BuildFailed(f"{named or 'None of docker, podman and buildah'} can be used here: install one, or start it.")


def _is_available(program: str) -> bool:
    probe = [program, "images", "--quiet"]  # unlike `version`, this command needs docker's daemon
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0  # noqa: S603 (as above)


@dataclass(frozen=True)
class Built:
    image: str
    megabytes: float
    layers_mb: list[float]
    build_s: float
    test_s: float
    answer: str
    parts: str


def build_and_try(builder: Builder, image: str, tag: str, build_args: dict[str, str]) -> Built:
    """Build and run an image. Raises `BuildFailed` if the build or the test input fails."""
    started = time.monotonic()
    builder.build(image, tag, build_args)
    built = time.monotonic()
    with builder.container(tag) as prefix:
        answer = _run_test_input(image, [*prefix, "python", "-m", COMMANDS[image]])
        tried = time.monotonic()
        parts = subprocess.run([*prefix, "sh", "-c", _TEN_BIGGEST], check=False, capture_output=True, text=True)  # noqa: S603 (as above)
    return Built(
        image, builder.size_mb(tag), builder.layers_mb(tag), built - started, tried - built, answer, parts.stdout
    )


def _run_test_input(image: str, command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 (as above)
    output = done.stderr + done.stdout
    if image == "orchestrator":
        if done.returncode == 0 or "localpod" not in output or "Traceback" in output:
            raise BuildFailed(f"The orchestrator's image doesn't say what it needs:\n{output[-2000:]}")
    elif done.returncode:
        raise BuildFailed(f"The {image} image's own test input failed inside it:\n{output[-4000:]}")
    return _shortened(output)


def _shortened(output: str, characters: int = 300) -> str:
    """The end of the output, in one line."""
    return " ".join(output.split())[-characters:]


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.images", description="Build and test the images.")
    parser.add_argument("--only", choices=list(COMMANDS), action="append", help="only this image (may be repeated)")
    parser.add_argument("--weights", choices=["full", "embedded"], default="embedded")
    parser.add_argument("--base", help="local base image, if the pinned one can't be pulled")
    parser.add_argument("--builder", choices=BUILDERS)
    parser.add_argument("--network", help="network of builds and runs, such as `host`")
    parser.add_argument("--tag", default="local", help="tag of the images")
    parser.add_argument("--keep", action="store_true", help="don't remove the images afterwards")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    chosen = _arguments(argv)
    build_args = {"WEIGHTS": chosen.weights} | ({"BASE_IMAGE": chosen.base} if chosen.base else {})
    try:
        builder = choose(chosen.builder, chosen.network)
        for image in chosen.only or COMMANDS:
            tag = f"img-pod-{image}:{chosen.tag}"
            built = build_and_try(builder, image, tag, build_args)
            print(
                f"{tag}: {built.megabytes:.0f} MB, built in {built.build_s:.0f} s, "
                f"test input ran in {built.test_s:.0f} s\n  … {built.answer}\n"
                f"layers in MB: {', '.join(f'{size:.0f}' for size in built.layers_mb)}\n{built.parts}",
                flush=True,
            )
            if not chosen.keep:
                builder.remove(tag)
    except BuildFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
