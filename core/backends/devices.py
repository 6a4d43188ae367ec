"""Which device and number format a model runs in, and what a device's own errors mean to the rest of the system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from core.errors import DeviceLost, Misconfigured, OutOfDeviceMemory

_LOST = (
    "illegal memory access",
    "unspecified launch failure",
    "device-side assert",
    "uncorrectable ecc",
    "unrecoverable error",
    "cuda driver",
    "driver shutting down",
    "cublas_status_execution_failed",
    "cublas_status_internal_error",
    "cudnn_status_execution_failed",
    "context is destroyed",
    "gpu is lost",
    "bus error",
    "device unavailable",
    "misaligned address",
)
"""What CUDA says when the process's context is gone: later calls fail too; the worker has to be replaced."""


def choose_device(wanted: str | None) -> torch.device:
    """`wanted`, else the first CUDA device, else the CPU. Raises `Misconfigured` where `wanted` isn't there."""
    if wanted is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Misconfigured("A CUDA device is wanted but torch sees none; check the GPU and the driver, or use `cpu`.")
    return device


def use_threads(count: int | None) -> None:
    """How many CPU threads torch may use in this process; None leaves torch's own choice."""
    if count is not None:
        torch.set_num_threads(count)


def fast_bf16(device: torch.device) -> bool:
    """Whether bf16 is computed by the device itself. A CPU that only emulates it is slower than in fp32."""
    if device.type == "cuda":
        return True
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001  (torch has no public name for it)


def without_progress_bars() -> None:
    """Loading is told by the worker's own log, one JSON object a line; a bar would break its lines."""
    from transformers.utils import logging

    logging.disable_progress_bar()


@contextmanager
def device_errors(doing: str) -> Iterator[None]:
    """Turn what torch raises for a failing device into `OutOfDeviceMemory` or `DeviceLost`; all else passes through."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise OutOfDeviceMemory(
            f"The device ran out of memory while {doing}; lower the batch or the picture's size, or use a larger GPU."
        ) from None
    except torch.AcceleratorError as error:
        raise _meaning(error, doing) from None
    except RuntimeError as error:
        told = _meaning(error, doing)
        if told is error:
            raise
        raise told from None


def _meaning(error: RuntimeError, doing: str) -> Exception:
    said = str(error).lower()
    if "out of memory" in said or "cublas_status_alloc_failed" in said or "can't allocate memory" in said:
        return OutOfDeviceMemory(
            f"The device ran out of memory while {doing}; lower the batch or the picture's size, or use a larger GPU."
        )
    if isinstance(error, torch.AcceleratorError) or any(sign in said for sign in _LOST):
        return DeviceLost(f"The device failed while {doing}; the worker has to be replaced.")
    return error
