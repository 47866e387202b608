"""Choice of device and dtype."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
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


def parse_devices(text: str) -> tuple[str, ...]:
    """Read a list of devices such as ``0,1,2``, numbers of GPUs, or ``cuda:0,cuda:1``.

    Returns:
        Names of devices; none of an empty text.

    Raises:
        InvalidInputError: If something in it is neither a number nor can be the name of a device.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        require(
            re.fullmatch(r"[0-9]{1,3}|[a-z]+(:[0-9]{1,3})?", name) is not None,
            f"devices {excerpt(text)!r}: {excerpt(name)!r} is no device; use numbers of GPUs with "
            "commas between, such as 0,1,2,3",
            subject="devices",
        )
    return tuple(f"cuda:{int(name)}" if name.isdecimal() else name for name in names)


def parse_numbers(text: str) -> tuple[int, ...]:
    """Read numbers of devices of a render, as in ``0,1``; none of an empty text.

    Raises:
        InvalidInputError: If it is anything else.
    """
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    for word in words:
        require(
            re.fullmatch(r"[0-9]{1,3}", word) is not None,
            f"devices {excerpt(text)!r}: use numbers from 0 with commas between, such as 0,1, or "
            "nothing for all",
            subject="vae_devices",
        )
    return tuple(map(int, words))


def check_cluster(address: str) -> None:
    """Check the address of a Ray cluster; nothing is connected to.

    Raises:
        InvalidInputError: If it can be none, or what speaks with it is missing.
    """
    shown = excerpt(address)
    host, _, port = address.rpartition(":")
    require(
        address == "auto" or (bool(host) and "/" not in address and port.isdecimal()),
        f"cluster {shown!r}: use host:port of its head, such as 10.0.0.1:6379, or 'auto' on a "
        "host that is in it",
        subject="cluster",
    )
    require(
        sys.platform == "linux",
        f"cluster {shown}: Ray joins several hosts on Linux only; leave it out",
        subject="cluster",
    )
    require(
        _has_runtime(),
        f"cluster {shown}: this copy is the published pack, which renders on its own host; take "
        "the project's repository",
        subject="cluster",
    )
    require(
        find_spec("ray") is not None,
        f"cluster {shown}: Ray is missing; install it here and on the other hosts, in one "
        "version: pip install ray",
        subject="cluster",
    )


def check_devices(
    names: Sequence[str], device: str = "auto", *, are_elsewhere: bool = False
) -> None:
    """Check a list of devices that render together; none of them is used for that.

    Args:
        names: As :func:`parse_devices` returns them; none or one is for one device.
        device: What is named as the only device.
        are_elsewhere: Whether they are of other hosts, which may have more.

    Raises:
        InvalidInputError: If they are not there, or cannot work together.
    """
    shown = excerpt(", ".join(names))
    require(
        not names or device == "auto",
        f"devices {shown}: the device is set to {excerpt(device)!r} as well; leave one of them out",
        subject="devices",
    )
    if len(names) < 2:
        return
    require(
        sys.platform == "linux",
        f"devices {shown}: several work together on Linux only; use one, or WSL2",
        subject="devices",
    )
    require(
        _has_runtime(),
        f"devices {shown}: this copy is the published pack, which renders on one; take the "
        "project's repository for several",
        subject="devices",
    )
    kinds = {name.partition(":")[0] for name in names}
    require(
        kinds <= {"cuda"} or kinds <= {"cpu"},
        f"devices {shown}: several are all GPUs of NVIDIA, such as 0,1",
        subject="devices",
    )
    if kinds == {"cpu"}:
        return  # to try it out
    import torch

    count = torch.cuda.device_count()
    for name in names:
        index = name.partition(":")[2]
        require(
            index.isdecimal() and (are_elsewhere or int(index) < count),
            f"device {excerpt(name)!r} of devices {shown}: {_gpus(count)}; see `python -m "
            "flashtalk_core doctor`",
            subject="devices",
        )
    require(
        len(set(names)) == len(names),
        f"devices {shown}: name each GPU once",
        subject="devices",
    )
    require(
        are_elsewhere or bool(nccl_version()),
        f"devices {shown}: this PyTorch is built without NCCL, over which GPUs exchange; install "
        "a build of it for CUDA (pytorch.org), or use one GPU",
        subject="devices",
    )


def _gpus(count: int) -> str:
    """Say how many GPUs there are, and their numbers."""
    if count > 1:
        return f"there are {count} GPUs, 0 to {count - 1}"
    return "there is one GPU, 0" if count else "PyTorch sees no GPU here"


def nccl_version() -> str:
    """Return the version of NCCL that PyTorch has, empty if it has none."""
    import torch

    try:
        found = torch.cuda.nccl.version()
    except (AttributeError, RuntimeError):  # of a PyTorch without CUDA, or without it
        return ""
    return ".".join(map(str, found if isinstance(found, tuple) else (found,)))


def _has_runtime() -> bool:
    return find_spec(f"{(__package__ or '').rpartition('.')[0]}.runtime") is not None


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


def other_generations(names: Sequence[str]) -> tuple[torch.device, ...]:
    """Return one GPU for each compute capability that the first one does not have.

    Args:
        names: GPUs of this host, or CPUs; they were checked, and none of them is used.
    """
    import torch

    found: dict[tuple[int, int], torch.device] = {}
    for name in names:
        device = torch.device(name)
        if device.type == "cuda":
            found.setdefault(_generation(device), device)
    return tuple(found.values())[1:]


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


def common_dtype(found: Iterable[torch.dtype]) -> torch.dtype:
    """Return the one of several dtypes that all GPUs compute in: older ones lack bfloat16."""
    import torch

    return max(found, key=(torch.bfloat16, torch.float16, torch.float32).index)


def _fast_dtype(device: torch.device) -> str:
    import torch

    if device.type != "cuda":
        return "float32"
    # As torch.cuda.is_bf16_supported has it, which takes memory of the GPU that it is asked of.
    has_bfloat16 = torch.version.hip is not None or _generation(device) >= (8, 0)
    return "bfloat16" if has_bfloat16 else "float16"


def _generation(device: torch.device) -> tuple[int, int]:
    """Return the compute capability of a GPU, which is not used for that."""
    import torch

    return torch.cuda.get_device_capability(device)
