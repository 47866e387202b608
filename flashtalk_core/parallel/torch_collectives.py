"""Collectives of torch.distributed: NCCL between GPUs, gloo between processors.

Imported in worker processes only: ComfyUI's process never imports ``torch.distributed``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from math import prod

import torch
import torch.distributed as dist
from torch import Tensor

from .collectives import Collectives, Pending, Shape, joined


def _ignore(is_whole: bool) -> None:
    """Note nothing."""


class TorchCollectives:
    """A group of processes; see :class:`.collectives.Collectives`.

    gloo has no exchange of GPU tensors: they go through host memory, which shows that a result is
    right on one GPU, and is slow.
    """

    def __init__(
        self,
        group: dist.ProcessGroup | None = None,
        note: Callable[[bool], None] = _ignore,
        timeout: timedelta | None = None,
    ) -> None:
        """Use a group of processes.

        Args:
            group: By default that of all processes, which must be initialised.
            note: Called before each exchange of this group and its subgroups, in which this rank
                may wait for others, with whether all processes take part.
            timeout: How long an exchange of a subgroup may wait; ``None`` is PyTorch's own. That
                of ``group`` was set where it was made.
        """
        self.process_group = self._group = group if group is not None else dist.group.WORLD
        self._ranks = dist.get_process_group_ranks(self._group)
        self._is_gloo = dist.get_backend(self._group) == "gloo"
        self.rank = dist.get_rank(self._group)
        self.size = len(self._ranks)
        self._note = note
        self._timeout = timeout
        self._is_whole = self.size == dist.get_world_size()
        self._subgroups: dict[tuple[tuple[int, ...], ...], TorchCollectives | None] = {}

    @property
    def recordable(self) -> bool:
        """Whether calls may be recorded in a CUDA graph."""
        return not self._is_gloo

    def all_to_all(self, parts: Sequence[Tensor], shapes: Sequence[Shape]) -> list[Tensor]:
        """Exchange one part with each rank; see :class:`.collectives.Collectives`."""
        sent = joined(parts)
        counts = [prod(shape) for shape in shapes]
        source = self._stage(sent)
        received = source.new_empty(sum(counts))
        self._note(self._is_whole)
        dist.all_to_all_single(
            received, source, counts, [part.numel() for part in parts], group=self._group
        )
        pieces = received.to(sent.device).split(counts)
        return [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]

    def all_gather(self, part: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
        """Return every rank's part; see :class:`.collectives.Collectives`."""
        source = self._stage(part.contiguous())
        if len(set(shapes)) == 1:
            received = [source.new_empty(shape) for shape in shapes]
            self._note(self._is_whole)
            dist.all_gather(received, source, group=self._group)
            return [each.to(part.device) for each in received]
        return self.all_to_all([part] * self.size, shapes)

    def send(
        self, parts: Mapping[int, Tensor], shapes: Mapping[int, Shape], like: Tensor
    ) -> Pending:
        """Start point-to-point messages; see :class:`.collectives.Collectives`."""
        sources = {rank: self._stage(part.contiguous()) for rank, part in parts.items()}
        device = torch.device("cpu") if self._is_gloo else like.device
        received = {
            rank: torch.empty(shape, dtype=like.dtype, device=device)
            for rank, shape in shapes.items()
        }
        operations = [
            dist.P2POp(operation, tensor, self._ranks[rank], self._group)
            for operation, tensors in ((dist.isend, sources), (dist.irecv, received))
            for rank, tensor in tensors.items()
            if tensor.numel()
        ]
        self._note(self._is_whole)
        works = dist.batch_isend_irecv(operations) if operations else []
        return _TorchPending(works, sources, received, like.device)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all ranks; see :class:`.collectives.Collectives`."""
        return self._reduce(values, dist.ReduceOp.SUM)

    def max(self, values: Tensor) -> Tensor:
        """Return the maximum over all ranks; see :class:`.collectives.Collectives`."""
        return self._reduce(values, dist.ReduceOp.MAX)

    def broadcast(self, values: Tensor, root: int) -> Tensor:
        """Return the values of rank ``root``; see :class:`.collectives.Collectives`."""
        staged = self._stage(values.contiguous().clone())
        self._note(self._is_whole)
        dist.broadcast(staged, self._ranks[root], group=self._group)
        return staged.to(values.device)

    def subgroup(self, groups: Sequence[Sequence[int]]) -> Collectives | None:
        """Split the group; see :class:`.collectives.Collectives`.

        The same split is made once: processes keep what groups take until they end.
        """
        key = tuple(map(tuple, groups))
        if key not in self._subgroups:
            self._subgroups[key] = self._make_subgroup(groups)
        return self._subgroups[key]

    def _make_subgroup(self, groups: Sequence[Sequence[int]]) -> TorchCollectives | None:
        own = None
        for ranks in groups:  # every process takes part in making every group
            members = [self._ranks[rank] for rank in ranks]
            group = dist.new_group(
                members, timeout=self._timeout, backend=dist.get_backend(self._group)
            )
            if self.rank in ranks:
                own = TorchCollectives(group, self._note, self._timeout)
        return own

    def _reduce(self, values: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
        staged = self._stage(values.contiguous().clone())
        self._note(self._is_whole)
        dist.all_reduce(staged, operation, group=self._group)
        return staged.to(values.device)

    def _stage(self, values: Tensor) -> Tensor:
        """Return ``values`` where the backend can read them."""
        return values.cpu() if self._is_gloo else values


class _TorchPending:
    def __init__(
        self,
        works: Sequence[dist.Work],
        sent: Mapping[int, Tensor],
        received: Mapping[int, Tensor],
        device: torch.device,
    ) -> None:
        self._works = works
        self._sent = sent  # held until they have arrived
        self._received = received
        self._device = device

    def wait(self) -> Mapping[int, Tensor]:
        for work in self._works:
            work.wait()
        return {rank: each.to(self._device) for rank, each in self._received.items()}
