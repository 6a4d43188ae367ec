"""The choice of a device, and the errors that a device's failures are translated to."""

from __future__ import annotations

import pytest
import torch

from core.backends.devices import DeviceMemory, choose_device, device_errors
from core.errors import DeviceLost, Misconfigured, OutOfDeviceMemory, TooLarge


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    ],
)
def test_failed_allocation_is_out_of_device_memory(error: RuntimeError) -> None:
    with pytest.raises(OutOfDeviceMemory, match="while generating"), device_errors("generating"):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    ],
)
def test_lost_context_is_a_lost_device(error: RuntimeError) -> None:
    with pytest.raises(DeviceLost), device_errors("generating"):
        raise error


@pytest.mark.parametrize("error", [RuntimeError("shapes don't match"), ValueError("no"), KeyError("x")])
def test_other_errors_are_reraised_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, device_errors("generating"):
        raise error
    assert raised.value is error


def test_torch_error_message_is_not_repeated() -> None:
    with pytest.raises(DeviceLost) as raised, device_errors("generating"):
        raise torch.AcceleratorError("CUDA error: an illegal memory access at /home/someone/secret.py")
    assert "secret" not in raised.value.message


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_missing_gpu_is_a_configuration_error() -> None:
    assert choose_device(None).type == "cpu"
    with pytest.raises(Misconfigured, match="CUDA"):
        choose_device("cuda")


def failing() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory.")


def test_failed_allocation_with_free_memory_fails_the_request() -> None:
    memory = DeviceMemory(torch.device("cpu"), needed_bytes=2**30)
    with pytest.raises(TooLarge, match="send a shorter text"), device_errors("reading", memory, "send a shorter text"):
        failing()


def test_failed_allocation_with_full_memory_replaces_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = DeviceMemory(torch.device("cpu"), needed_bytes=2**30)
    monkeypatch.setattr(memory, "free_bytes", lambda: 2**20)
    with pytest.raises(OutOfDeviceMemory), device_errors("reading", memory):
        failing()


def test_device_that_is_lost_while_memory_is_released_is_a_lost_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> int:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    memory = DeviceMemory(torch.device("cpu"), needed_bytes=2**30)
    monkeypatch.setattr(memory, "free_bytes", lost)
    with pytest.raises(DeviceLost), device_errors("reading", memory):
        failing()


def test_old_driver_at_start_is_not_a_lost_device() -> None:
    with pytest.raises(RuntimeError, match="insufficient"), device_errors("loading"):
        raise RuntimeError("CUDA driver version is insufficient for CUDA runtime version")
