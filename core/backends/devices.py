"""Device choice, and the project's errors for a device's failures."""

from __future__ import annotations

import gc
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from core.errors import DeviceError, DeviceLost, Misconfigured, OutOfDeviceMemory, TooLarge

_LOST = (
    "illegal memory access",
    "unspecified launch failure",
    "device-side assert",
    "uncorrectable ecc",
    "unrecoverable error",
    "cuda driver error",
    "driver shutting down",
    "cublas_status_execution_failed",
    "cublas_status_internal_error",
    "cudnn_status_execution_failed",
    "context is destroyed",
    "gpu is lost",
    "device unavailable",
    "misaligned address",
)
"""Parts of CUDA's messages after which the process's context is unusable: the worker has to be replaced."""
_OUT_OF_MEMORY = ("out of memory", "cublas_status_alloc_failed", "can't allocate memory")


def choose_device(wanted: str | None) -> torch.device:
    """`wanted`, else the first CUDA device, else the CPU. Raises `Misconfigured` if `wanted` doesn't exist."""
    if wanted is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Misconfigured("A CUDA device is configured but torch finds none; check the GPU and driver, or use `cpu`.")
    return device


def cpu_quota(limit_file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Whole CPUs that this container may use: its cgroup's quota, at most the machine's number of CPUs."""
    cpus = os.cpu_count() or 1
    try:
        quota, period = limit_file.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cpus
    return cpus if quota == "max" else max(1, min(cpus, int(quota) // int(period)))


def use_threads(count: int | None) -> None:
    """Set how many CPU threads torch may use in this process; None keeps torch's default."""
    if count is not None:
        torch.set_num_threads(count)


def fast_bf16(device: torch.device) -> bool:
    """Whether the device computes in bf16 natively. A CPU that emulates it is slower than in fp32."""
    if device.type == "cuda":
        return True
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001  (torch has no public name for it)


def without_progress_bars() -> None:
    """Disable transformers' progress bars, which would break the worker's log of one JSON object per line."""
    from transformers.utils import logging

    logging.disable_progress_bar()


class DeviceMemory:
    """Memory of one device, and whether it is usable again after an allocation failed.

    `needed_bytes` is the memory for one request of ordinary size. On a CPU nothing is measured: a process that is still
    running can allocate again.
    """

    def __init__(self, device: torch.device, needed_bytes: int) -> None:
        self.device, self.needed_bytes = device, needed_bytes

    def free_bytes(self) -> int | None:
        return torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else None

    def reclaim(self) -> bool:
        """Return unused blocks to the device; return whether a request of ordinary size fits then."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        free = self.free_bytes()
        return free is None or free >= self.needed_bytes


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is a failed allocation, on any device."""
    message = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(sign in message for sign in _OUT_OF_MEMORY)


@contextmanager
def device_errors(
    doing: str, memory: DeviceMemory | None = None, advice: str = "ask for smaller sides"
) -> Iterator[None]:
    """Translate torch's errors for a failing device; all other errors are raised unchanged.

    Raises `DeviceLost`, or `OutOfDeviceMemory`. With `memory`, an allocation that failed while a request of ordinary
    size would still fit raises `TooLarge` for this request, with `advice` in the message.
    """
    try:
        yield
    except RuntimeError as error:
        meaning = _device_error_of(error, doing)
        if meaning is None:
            raise
        if isinstance(meaning, OutOfDeviceMemory) and memory is not None and _reclaimed(memory, error):
            raise TooLarge(f"The request needs more memory than the device has left for {doing}; {advice}.") from None
        raise meaning from None


def _reclaimed(memory: DeviceMemory, error: BaseException) -> bool:
    # The traceback's frames refer to the tensors of the failed call, so that their memory is not free.
    traceback.clear_frames(error.__traceback__)
    try:
        return memory.reclaim()
    except RuntimeError as failure:
        raise (_device_error_of(failure, "releasing memory") or failure) from None


def _device_error_of(error: RuntimeError, doing: str) -> DeviceError | None:
    if is_out_of_memory(error):
        return OutOfDeviceMemory(
            f"The device ran out of memory while {doing}; lower the batch or the picture's size, or use a larger GPU."
        )
    message = str(error).lower()
    if isinstance(error, torch.AcceleratorError) or any(sign in message for sign in _LOST):
        return DeviceLost(f"The device failed while {doing}; the worker has to be replaced.")
    return None
