"""What a device's errors mean, and which device is chosen."""

from __future__ import annotations

import pytest
import torch

from core.backends.devices import choose_device, device_errors
from core.errors import DeviceLost, Misconfigured, OutOfDeviceMemory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    ],
)
def test_memory_that_ran_out_is_told_as_such(error: RuntimeError) -> None:
    with pytest.raises(OutOfDeviceMemory, match="while painting"), device_errors("painting"):
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
def test_a_lost_device_is_told_as_such(error: RuntimeError) -> None:
    with pytest.raises(DeviceLost), device_errors("painting"):
        raise error


@pytest.mark.parametrize("error", [RuntimeError("shapes don't match"), ValueError("no"), KeyError("x")])
def test_any_other_error_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, device_errors("painting"):
        raise error
    assert raised.value is error


def test_what_torch_said_does_not_leak_into_the_message() -> None:
    with pytest.raises(DeviceLost) as raised, device_errors("painting"):
        raise torch.AcceleratorError("CUDA error: an illegal memory access at /home/someone/secret.py")
    assert "secret" not in raised.value.message


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_a_configuration_error() -> None:
    assert choose_device(None).type == "cpu"
    with pytest.raises(Misconfigured, match="CUDA"):
        choose_device("cuda")
