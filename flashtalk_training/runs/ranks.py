"""Several processes that train one model together; alone, nothing is exchanged."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from flashtalk_core.errors import require


def num_processes() -> int:
    """Return how many processes ``torchrun`` has started, 1 without it.

    Raises:
        InvalidInputError: If ``WORLD_SIZE``, where the number is passed, is no number.
    """
    size = os.environ.get("WORLD_SIZE", "1")
    require(
        size.isdecimal() and int(size) > 0,
        f"WORLD_SIZE {size!r} is no number of processes; unset it, or start them with torchrun",
    )
    return int(size)


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Train together with the other processes that ``torchrun`` has started, if it has.

    Args:
        device: The device that was asked for, the same in each of them.

    Yields:
        The device of this one: GPUs in turn.
    """
    if num_processes() == 1:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
        torch.distributed.barrier()  # who leaves first would cut off those that still talk to it
    finally:
        torch.distributed.destroy_process_group()


def rank() -> int:
    """Return the number of this process, 0 if it is alone."""
    return torch.distributed.get_rank() if _is_shared() else 0


def from_first(drawn: Tensor) -> Tensor:
    """Return what rank 0 has drawn, a CPU tensor of any shape."""
    if not _is_shared():
        return drawn
    there = drawn.to(_collective_device())
    torch.distributed.broadcast(there, src=0)
    return there.cpu()


def agreed(flag: bool) -> bool:
    """Return the flag of rank 0."""
    return bool(from_first(torch.tensor(flag)))


def from_all(value: Tensor) -> list[Tensor]:
    """Return what every rank has, of one shape and dtype, in the order of ranks."""
    if not _is_shared():
        return [value]
    here = value.to(_collective_device())
    parts = [torch.empty_like(here) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, here)
    return parts


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over all ranks, unless weights are spread over them."""
    if not _is_shared():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    if is_sharded(gradients[0]):
        return  # they are the mean already
    together = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(together)
    together /= torch.distributed.get_world_size()
    parts = together.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def is_sharded(value: Tensor) -> bool:
    """Return whether a tensor is spread over ranks."""
    return hasattr(value, "full_tensor")


def _is_shared() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _collective_device() -> torch.device:
    """Return where the backend wants its tensors."""
    is_nccl = torch.distributed.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if is_nccl else torch.device("cpu")
