"""Choice of device and dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..borders import is_out_of_memory
from ..errors import InvalidInputError, require
from ..excerpt import excerpt, first_line

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")
_KINDS = ("cuda", "mps", "xpu")
"""Kinds of GPU of which PyTorch states clearly why they cannot be used."""


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` takes a GPU where there is one.

    Raises:
        InvalidInputError: If the name is unknown or the device is not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shown = excerpt(name)
    # Back ends raise anything: not only names are unknown, packages are missing as well.
    try:
        device = torch.device(name)
    except Exception as error:
        raise InvalidInputError(
            f"device {shown!r}: no such kind of device; use 'cpu', 'auto', 'cuda:1' or 'mps', or "
            "see `python -m flashtalk_core doctor`",
            subject="device",
        ) from error
    try:
        torch.empty(1, device=device).sum().item()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise InvalidInputError(
            f"device {shown!r}: {_why_not(device, error)}; use 'cpu', or see `python -m "
            "flashtalk_core doctor`",
            subject="device",
        ) from error
    return device


def _why_not(device: torch.device, error: Exception) -> str:
    """Return the start of PyTorch's message: advice to its own developers follows."""
    message = first_line(error).partition(". ")[0]
    if device.type == "meta":
        return "it computes nothing"
    if (
        device.type not in _KINDS
        or message.startswith("Could not run")
        or "not compiled" in message
    ):
        return "this PyTorch is built without it"
    return excerpt(message, 120) or type(error).__name__


def device_name(device: torch.device) -> str:
    """Return what computes: kernels are chosen, and speeds differ, by the kind of GPU."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype called ``name``.

    ``auto`` is bfloat16 on CUDA, float16 on a GPU that only emulates it, else float32.

    Raises:
        InvalidInputError: If it is not one of :data:`DTYPES`, or the device computes wrongly in it.
    """
    import torch

    from ..models.half_precision import check_half_precision

    if name == "auto":
        name = _fast_dtype(device)
    names = ", ".join(("auto", *DTYPES))
    require(name in DTYPES, f"dtype {excerpt(name)!r}: use one of {names}", subject="dtype")
    dtype: torch.dtype = getattr(torch, name)
    check_half_precision(device, dtype)
    return dtype


def _fast_dtype(device: torch.device) -> str:
    import torch

    if device.type != "cuda":
        return "float32"
    with torch.cuda.device(device):
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if has_bfloat16 else "float16"
