"""xfuser's exchange of tokens with a kernel of this project.

xfuser is optional, and imported only in a worker that was asked for it. It divides nothing
unevenly: heads must divide by the degree of Ulysses, and tokens by the number of ranks.

Axis legend: B batch, l tokens of this rank, N heads, D head dim.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, cast

from torch import Tensor

from ..acceleration.lse_attention import attention_with_lse
from ..errors import InvalidInputError, require
from ..excerpt import first_line
from ..models.attention import Attention
from ..packages import missing_package
from .groups import SequenceGroups

_INSTEAD = "use exchange 'collectives'"


class XfuserAttention:
    """An :class:`Attention` over the tokens of all ranks by ``xFuserLongContextAttention``."""

    def __init__(
        self,
        groups: SequenceGroups,
        lengths: Callable[[], Sequence[int]],
        local: Attention,
        num_heads: int,
    ) -> None:
        """Set up xfuser's process groups, once a process, and its attention.

        Args:
            groups: Of all processes of ``torch.distributed``, which is initialised.
            lengths: Returns how many tokens each rank has.
            local: Kernel.
            num_heads: N.

        Raises:
            InvalidInputError: If xfuser is missing or broken, if heads do not divide, or if the
                kernel has no log-sum-exp.
        """
        require(
            num_heads % groups.ulysses.size == 0,
            f"exchange 'xfuser': {num_heads} heads do not divide by ulysses "
            f"{groups.ulysses.size}; {_INSTEAD}",
            subject="exchange",
        )
        self.local = local
        self._lengths = lengths
        kernel = attention_with_lse(local)

        def attend(q: Tensor, k: Tensor, v: Tensor, **_options: Any) -> tuple[Tensor, Tensor]:
            return kernel(q, k, v)

        self._exchange = _xfuser_attention(groups)(
            # xfuser calls the processor for a type that it does not know.
            attn_type="flashtalk",
            attn_processor=attend,
        )

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend; see :class:`Attention`; ``q``, ``k`` and ``v`` have l tokens each.

        Raises:
            InvalidInputError: On every rank alike, if ranks have unequal numbers of tokens.
        """
        lengths = self._lengths()
        require(
            len(set(lengths)) == 1,
            f"exchange 'xfuser': this size gives its {len(lengths)} ranks {min(lengths)} to "
            f"{max(lengths)} tokens, and they must be equal; {_INSTEAD}, or another size",
            subject="exchange",
        )
        return cast("Tensor", self._exchange(None, query=q, key=k, value=v))


def _xfuser_attention(groups: SequenceGroups) -> Callable[..., Callable[..., Any]]:
    """Return xfuser's class of attention, its process groups made."""
    require(
        importlib.util.find_spec("xfuser") is not None,
        f"exchange 'xfuser': {missing_package('xfuser')}, or {_INSTEAD}",
        subject="exchange",
    )
    try:
        from xfuser.core import distributed
        from xfuser.core.long_ctx_attention import xFuserLongContextAttention
    except Exception as error:  # whatever it or its many dependencies raise at import
        raise InvalidInputError(
            f"exchange 'xfuser': it is installed but cannot be imported ({first_line(error)}); "
            f"reinstall it or {_INSTEAD}",
            subject="exchange",
        ) from error
    if not distributed.model_parallel_is_initialized():
        distributed.init_distributed_environment(
            rank=groups.world.rank, world_size=groups.world.size
        )
        distributed.initialize_model_parallel(
            sequence_parallel_degree=groups.world.size,
            ulysses_degree=groups.ulysses.size,
            ring_degree=groups.ring.size,
        )
    return cast("Callable[..., Callable[..., Any]]", xFuserLongContextAttention)
