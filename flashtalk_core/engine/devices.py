"""Choice of devices and number format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InvalidInputError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` takes a GPU where there is one.

    Raises:
        InvalidInputError: If the name is unknown or the device is not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).sum().item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InvalidInputError(
            f"device {name!r}: {reason}; use 'cpu', or see `python -m flashtalk_core doctor`"
        ) from error
    return device


def device_name(device: torch.device) -> str:
    """Return what computes: kernels are chosen, and speeds differ, by the kind of GPU."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the number format called ``name``.

    ``auto`` is bfloat16 on CUDA, float16 on a GPU that only emulates it, else float32.

    Raises:
        InvalidInputError: If the device computes wrongly in it.
    """
    import torch

    from ..models.half_precision import check_half_precision

    if name == "auto":
        name = _fast_dtype(device)
    dtype = getattr(torch, name)
    assert isinstance(dtype, torch.dtype), name
    check_half_precision(device, dtype)
    return dtype


def _fast_dtype(device: torch.device) -> str:
    import torch

    if device.type != "cuda":
        return "float32"
    with torch.cuda.device(device):
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if has_bfloat16 else "float16"
