"""The command that builds the images, with a builder that only records its arguments."""

from pathlib import Path

import pytest

from tools.images import BuildFailed, choose, main

SAYS = {
    "docker": 'case "$1" in image) echo 449000000;; history) printf "4000000000\\n0\\n249000000\\n";; esac',
    "buildah": """case "$1" in
        from) echo ctr;;
        images) echo '[{"size": "8.27 GB"}]';;
        inspect) echo '{"Manifest": "{\\\\"layers\\\\": [{\\\\"size\\\\": 249000000}, {\\\\"size\\\\": 1024}]}"}';;
    esac""",
}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file to which builders write their arguments, one call per line; nothing else is on the path."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()
    return tmp_path / "asked"


def install(asked: Path, name: str, *, exit_status: int = 0, says: str = "") -> None:
    program = asked.parent / "bin" / name
    script = f'#!/bin/sh\necho "$*" >> {asked}\n{SAYS.get(name, "")}\n{says}\nexit {exit_status}\n'
    program.write_text(script)
    program.chmod(0o755)


def test_first_available_builder_is_used(asked: Path) -> None:
    install(asked, "docker", exit_status=1)
    install(asked, "podman")

    assert choose(None, None).program == "podman"


def test_a_missing_builder_is_reported_in_one_sentence(asked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(asked, "docker", exit_status=1)
    install(asked, "podman", exit_status=1)
    install(asked, "buildah", exit_status=1)

    assert main([]) == 1
    assert "None of docker, podman and buildah" in capsys.readouterr().err


def test_docker_image_is_built_tested_measured_and_removed(asked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(asked, "docker")

    assert main(["--builder", "docker", "--only", "llm", "--weights", "full"]) == 0

    calls = asked.read_text().splitlines()
    assert "build --build-arg WEIGHTS=full --tag img-pod-llm:local --file Dockerfile.llm ." in calls
    assert "run --rm img-pod-llm:local python -m handlers.llm" in calls
    assert calls[-1] == "rmi img-pod-llm:local"
    said = capsys.readouterr().out
    assert "img-pod-llm:local: 449 MB" in said
    assert "layers in MB: 249, 4000\n" in said


def test_buildah_makes_a_layer_of_each_instruction_and_lists_them(
    asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(asked, "buildah")

    assert main(["--builder", "buildah", "--only", "llm"]) == 0

    assert any(call.startswith("build --layers --build-arg") for call in asked.read_text().splitlines())
    assert "layers in MB: 249\n" in capsys.readouterr().out


def test_buildah_container_is_removed_even_if_the_test_input_fails(
    asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(asked, "buildah", says='if [ "$1" = run ]; then echo broken >&2; exit 3; fi')

    assert main(["--builder", "buildah", "--only", "zimage", "--base", "localhost/base", "--network", "host"]) == 1

    calls = asked.read_text().splitlines()
    assert any("--build-arg BASE_IMAGE=localhost/base --network host" in call for call in calls)
    assert calls[-1] == "rm ctr"
    assert "broken" in capsys.readouterr().err


def test_orchestrator_image_test_fails_without_the_expected_message(
    asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(asked, "docker", says='if [ "$1" = run ]; then echo "Traceback: localpod"; exit 1; fi')

    assert main(["--builder", "docker", "--only", "orchestrator"]) == 1
    assert "doesn't say what it needs" in capsys.readouterr().err


def test_failed_build_stops_the_command(asked: Path) -> None:
    install(asked, "docker", says='if [ "$1" = build ]; then exit 7; fi')

    with pytest.raises(BuildFailed, match="exit status 7"):
        choose("docker", None).build("llm", "t", {})
