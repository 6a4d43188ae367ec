"""The requirement locks fit pyproject.toml, and every fault of a lock is reported."""

from pathlib import Path

import pytest

from tools.lock import (
    ENVIRONMENTS,
    LOCKS,
    PLATFORMS,
    ROOT,
    Project,
    check,
    environment,
    fingerprint,
    pins,
    problems,
    without_foreign_pins,
)

SHA = "0" * 64
PROJECT = Project("img-pod", ("httpx>=0.28",), {"llm": ("numpy>=1.26,<2",), "dev": ("img-pod[llm]", "pytest")})


def lock_of(*lines: str, inputs: tuple[str, ...]) -> str:
    return "\n".join(
        [f"# Inputs: sha256:{fingerprint(inputs)}", *(f"{line} \\\n    --hash=sha256:{SHA}" for line in lines)]
    )


LLM = PROJECT.inputs("llm")
DEV = {"httpx": "0.28.1", "numpy": "1.26.4", "pytest": "9.2.0"}


def test_locks_of_the_repository_are_current() -> None:
    assert check(ROOT / "requirements", Project.read()) == []


def test_an_extra_that_names_another_takes_its_requirements() -> None:
    assert PROJECT.inputs("dev") == ("httpx>=0.28", "numpy>=1.26,<2", "pytest")


def test_correct_lock_has_no_problems() -> None:
    assert list(problems("llm", lock_of("httpx==0.28.1", "numpy==1.26.4", inputs=LLM), PROJECT, DEV)) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (lock_of("httpx==0.28.1", "numpy==1.26.4", inputs=("httpx",)), "other dependencies"),
        (lock_of("httpx==0.28.1", inputs=LLM), "has nothing where `numpy"),
        (lock_of("httpx==0.28.1", "numpy==2.0.0", inputs=LLM), "has 2.0.0 where `numpy"),
        (lock_of("httpx==0.28.1", inputs=LLM) + "\nnumpy==1.26.4\n", "without a hash"),
        (
            "--index-url https://index.invalid\n" + lock_of("httpx==0.28.1", "numpy==1.26.4", inputs=LLM),
            "names an index",
        ),
        (lock_of("httpx==0.28.0", "numpy==1.26.4", inputs=LLM), "development has 0.28.1"),
        ("", "has nothing where `httpx"),
    ],
)
def test_wrong_lock_is_reported(text: str, problem: str) -> None:
    assert any(problem in sentence for sentence in problems("llm", text, PROJECT, DEV))


def test_missing_lock_is_reported(tmp_path: Path) -> None:
    assert any(
        sentence.startswith(f"{tmp_path.name}/llm.txt has nothing") for sentence in check(tmp_path, Project.read())
    )


@pytest.mark.parametrize("image", ["selfie", "zimage", "llm"])
def test_gpu_images_contain_numpy_1_26_sentencepiece_and_the_cuda_12_8_torch(image: str) -> None:
    locked = pins((ROOT / "requirements" / f"{image}.txt").read_text())

    assert locked["numpy"].startswith("1.26.")
    assert "sentencepiece" in locked
    assert locked["torch"] == "2.10.0"
    assert locked["nvidia-cuda-runtime-cu12"].startswith("12.8.")


def test_only_the_headless_opencv_is_ever_installed() -> None:
    for lock in LOCKS:
        locked = pins((ROOT / "requirements" / f"{lock}.txt").read_text())
        assert not {"opencv-python", "opencv-contrib-python", "ultralytics"} & set(locked), lock


def test_orchestrator_lock_has_no_model_library() -> None:
    locked = pins((ROOT / "requirements" / "orchestrator.txt").read_text())
    assert not {"torch", "transformers", "diffusers", "onnxruntime", "numpy"} & set(locked)


DEVELOPMENT = (ROOT / "requirements" / "dev.txt").read_text()


@pytest.mark.parametrize("python", ["3.11", "3.12"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_development_lock_pins_every_requirement_on_every_platform(platform: str, python: str) -> None:
    locked = pins(DEVELOPMENT, environment(platform, python))

    assert {"torch", "transformers", "diffusers", "onnxruntime", "pytest"} <= set(locked)


@pytest.mark.parametrize("platform", sorted(set(PLATFORMS) - {"x86_64-manylinux_2_28"}))
def test_cuda_is_installed_on_x86_64_linux_only(platform: str) -> None:
    cuda = {name for name in pins(DEVELOPMENT) if name.startswith(("nvidia-", "cuda-", "triton"))} - {"nvidia-ml-py"}

    assert cuda
    assert not cuda & set(pins(DEVELOPMENT, environment(platform, "3.12")))


def test_every_pin_of_development_is_installed_somewhere() -> None:
    installed = {name for env in ENVIRONMENTS for name in pins(DEVELOPMENT, env)}

    assert len(installed) == sum(line[0].isalnum() for line in DEVELOPMENT.splitlines())


def test_pins_of_other_platforms_are_removed() -> None:
    marked = "pywin32==312 ; sys_platform == 'win32' \\\n    --hash=sha256:" + SHA + "\n"
    kept = "httpx==0.28.1 \\\n    --hash=sha256:" + SHA + "\n"

    assert without_foreign_pins(marked + kept) == kept


def test_platform_without_a_pin_is_reported() -> None:
    inputs = PROJECT.inputs("dev")
    text = lock_of("httpx==0.28.1", "numpy==1.26.4 ; sys_platform == 'linux'", "pytest==9.2.0", inputs=inputs) + "\n"

    assert "has nothing where `numpy>=1.26,<2` is asked for" in set(problems("dev", text, PROJECT, DEV))
