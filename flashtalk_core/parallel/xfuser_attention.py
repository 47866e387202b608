"""xfuser's exchange of tokens with a kernel of this project.

xfuser is optional, and imported only in a worker that was asked for it. It divides nothing
unevenly: heads must divide by the degree of Ulysses, and tokens by the number of ranks.

Axis legend: B batch, l tokens of this rank, N heads, D head dim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from torch import Tensor

from ..acceleration.lse_attention import attention_with_lse
from ..errors import InvalidInputError
from ..excerpt import first_line
from ..models.attention import Attention
from .collectives import Collectives
from .exchange import INSTEAD, XFUSER, check_heads, check_installed, check_lengths
from .groups import SequenceGroups


class XfuserAttention:
    """An :class:`Attention` over the tokens of all ranks by ``xFuserLongContextAttention``."""

    def __init__(
        self,
        groups: SequenceGroups,
        lengths: Callable[[], Sequence[int]],
        local: Attention,
        num_heads: int,
    ) -> None:
        """Set up xfuser's attention.

        Args:
            groups: As :func:`with_process_groups` returns them.
            lengths: Returns how many tokens each rank has.
            local: Kernel.
            num_heads: N.

        Raises:
            InvalidInputError: If xfuser is missing or broken, if heads do not divide, or if the
                kernel has no log-sum-exp.
        """
        check_heads(num_heads, groups.ulysses.size)
        self.local = local
        self._lengths = lengths
        kernel = attention_with_lse(local)

        def attend(q: Tensor, k: Tensor, v: Tensor, **_options: Any) -> tuple[Tensor, Tensor]:
            return kernel(q, k, v)

        self._exchange = _xfuser_attention(groups, attend)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend; see :class:`Attention`; ``q``, ``k`` and ``v`` have l tokens each.

        Raises:
            InvalidInputError: On every rank alike, if ranks have unequal numbers of tokens.
        """
        check_lengths(self._lengths())
        return cast("Tensor", self._exchange(None, query=q, key=k, value=v))


def with_process_groups(groups: SequenceGroups) -> SequenceGroups:
    """Return groups that are processes of ``torch.distributed``, also those of one rank.

    Every rank makes the call.
    """
    if groups.ulysses.size > 1 and groups.ring.size > 1:
        return groups
    alone = groups.world.subgroup([[rank] for rank in range(groups.world.size)])
    assert alone is not None, "every rank is in a group"
    ulysses = groups.ulysses if groups.ulysses.size > 1 else alone
    return SequenceGroups(groups.world, ulysses, groups.ring if groups.ring.size > 1 else alone)


def _xfuser_attention(
    groups: SequenceGroups, processor: Callable[..., tuple[Tensor, Tensor]]
) -> Callable[..., Any]:
    """Return xfuser's attention with a kernel; parts of it are imported only when it is made."""
    check_installed()
    try:
        from xfuser.core.long_ctx_attention import xFuserLongContextAttention
        from yunchang.globals import PROCESS_GROUP

        # Its own function makes groups of the default backend, which is not that of the GPUs here.
        PROCESS_GROUP.ULYSSES_PG = _process_group(groups.ulysses)
        PROCESS_GROUP.RING_PG = _process_group(groups.ring)
        # xfuser calls the processor for a type that it does not know.
        made = xFuserLongContextAttention(attn_type="flashtalk", attn_processor=processor)
    except Exception as error:  # whatever it or its many dependencies raise at import
        raise InvalidInputError(
            f"exchange 'xfuser': it is installed but cannot be used ({first_line(error)}); install "
            f"{XFUSER} or {INSTEAD}",
            subject="exchange",
        ) from error
    return cast("Callable[..., Any]", made)


def _process_group(group: Collectives) -> object:
    """Return what ``torch.distributed`` calls a group; only its own have one."""
    return group.process_group  # type: ignore[attr-defined]
