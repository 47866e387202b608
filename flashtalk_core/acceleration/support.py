"""Which execution modes a device and this installation support; no network is needed for it."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Sequence

import torch

from ..errors import InvalidInputError, require
from ..excerpt import first_line
from ..log import printable_log
from ..packages import missing_package
from .kernel_options import KernelOptions, speed_of

logger = printable_log(logging.getLogger(__name__))

_TRITON = "triton-windows" if sys.platform == "win32" else "triton"
_MIN_CAPABILITY = (8, 0)
"""Triton's kernels here use bfloat16, which older GPUs lack."""
_AMD_WITHOUT_PRODUCTS = "gfx10"
"""RDNA 1 and 2, which call themselves 10.1 and 10.3; ComfyUI keeps ``tl.dot`` from them, too."""


def choose_kernel_options(
    speed: str, device: torch.device, others: Sequence[torch.device] = ()
) -> KernelOptions:
    """Return the execution mode that ``speed`` stands for.

    Args:
        speed: ``plain`` or ``eager``, which are the same; ``fused`` (Triton's kernels, quick to
            build); ``compiled`` (blocks by ``torch.compile``, slow to build); ``auto`` is
            ``fused`` on a GPU that supports it, and ``plain`` elsewhere, with a warning if it is
            a GPU.
        device: Where the networks will run.
        others: Devices of other generations that render together with it. Only their generation
            is looked at.

    Raises:
        InvalidInputError: If a mode that was named cannot run here.
    """
    speed = speed_of(speed)
    if speed == "auto":
        speed = _choose_automatically(device, others)
    known = {
        "plain": KernelOptions.eager(),
        "fused": KernelOptions(),
        "compiled": KernelOptions(fused_blocks=False, compiled_blocks=True),
    }
    options = known[speed]
    check_kernel_options(options, device)
    if options.needs_triton:
        _check_generations(others)
    return options


def _choose_automatically(device: torch.device, others: Sequence[torch.device]) -> str:
    if device.type != "cuda":
        return "plain"
    try:
        check_kernel_options(KernelOptions(), device)
        _check_generations(others)
    except InvalidInputError as error:
        logger.warning("using eager execution, about 1.7 times slower: %s", error)
        return "plain"
    return "fused"


def graphs_work() -> bool:
    """Whether CUDA graphs work on this kind of GPU and with this allocator of its memory.

    With CUDA's own allocator, which ComfyUI takes by default, recording ends the process (PyTorch
    2.11). AMD's GPUs were not tried.
    """
    if torch.version.hip is not None:
        return False
    return not torch.cuda.is_available() or torch.cuda.get_allocator_backend() == "native"


def default_decode_latents(options: KernelOptions, *, is_light_on_cpu: bool = False) -> int:
    """Return how many latent frames are decoded at once by default.

    On a GPU two at a time are nearly as fast as eight, and the first image comes sooner.

    Args:
        options: As the decoder runs.
        is_light_on_cpu: Whether a small decoder runs on a CPU: three at a time are as fast as
            nine there, and the first image comes no later than with one.
    """
    if options.fused_layers:
        return 2
    return 3 if is_light_on_cpu else 1


def is_supported(options: KernelOptions, device: torch.device) -> bool:
    """Whether ``device`` supports ``options``."""
    try:
        check_kernel_options(options, device)
    except InvalidInputError:
        return False
    return True


def check_kernel_options(options: KernelOptions, device: torch.device) -> None:
    """Raise :class:`InvalidInputError` if the device or installation does not support them."""
    if not options.needs_triton or device.type == "cpu":
        return
    require(
        device.type == "cuda",
        f"fused and compiled execution on {device}: it runs on NVIDIA and AMD GPUs; "
        "use speed 'plain' or 'auto'",
        subject="speed",
    )
    require(
        importlib.util.find_spec("triton") is not None,
        f"fused and compiled execution: {missing_package(_TRITON)}, or use speed 'plain'",
        subject="speed",
    )
    _check_generations([device])
    _try_triton(device)


def _check_generations(devices: Sequence[torch.device]) -> None:
    for device in devices:
        architecture = _amd_architecture(device)
        require(
            not architecture.startswith(_AMD_WITHOUT_PRODUCTS),
            f"fused and compiled execution on {torch.cuda.get_device_name(device)} "
            f"({architecture}): AMD's GPUs before RDNA 3 have no matrix products for its kernels; "
            "use speed 'plain'",
            subject="speed",
        )
        capability = torch.cuda.get_device_capability(device)
        require(
            capability >= _MIN_CAPABILITY,
            f"fused and compiled execution on {torch.cuda.get_device_name(device)}: it needs "
            f"compute capability 8.0, this GPU has {'.'.join(map(str, capability))}; use speed "
            "'plain'",
            subject="speed",
        )


def _amd_architecture(device: torch.device) -> str:
    """Return the name of an AMD GPU's architecture, such as ``gfx1030``, empty for others."""
    if torch.version.hip is None:
        return ""
    return str(torch.cuda.get_device_properties(device).gcnArchName)


def _try_triton(device: torch.device) -> None:
    """Run a small kernel: Triton needs a compiler, headers and libraries that may be missing."""
    try:
        from .triton.pixels import shift_rows

        shift_rows(torch.zeros(1, 4, device=device), torch.zeros(4, device=device))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever Triton, its compiler or the driver raise
        reason = first_line(error)
        raise InvalidInputError(
            f"fused and compiled execution: Triton is installed but its kernels cannot be built "
            f"({reason}); install a C compiler, or use speed 'plain'",
            subject="speed",
        ) from error
