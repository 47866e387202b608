"""A transformer whose tokens are divided among ranks, each with all weights.

Every rank calls the same forward pass with the same inputs and gets the same velocity. Between two
attentions a rank computes its own tokens only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ..acceleration.kernel_options import Exchange
from ..models.attention import Attention
from ..models.transformer.block import AvatarBlock
from ..models.transformer.layout import WHOLE
from ..models.transformer.model import AvatarDiT
from .groups import ONE_RANK, SequenceGroups
from .plane import PlaneLayout
from .ring import RingAttention
from .shares import split_evenly
from .ulysses import UlyssesAttention
from .xfuser_attention import XfuserAttention, with_process_groups


def spread_transformer(
    dit: AvatarDiT, groups: SequenceGroups, exchange: Exchange = "collectives"
) -> None:
    """Divide the tokens of a loaded transformer among ranks, in place.

    Sessions that were projected before are of no use afterwards. Weights, names and execution
    mode stay as they are.

    Args:
        dit: With its attention kernel set; it may be divided in another way now.
        groups: :data:`~.groups.ONE_RANK` makes it whole again.
        exchange: What exchanges tokens.

    Raises:
        InvalidInputError: If the kernel cannot be used in this way, or xfuser not at all; the
            transformer is as it was.
    """
    blocks = cast("Sequence[AvatarBlock]", dit.blocks)
    kernels = [_local(block.self_attn.attention) for block in blocks]
    if groups.world.size == 1:
        groups, layout, slots = ONE_RANK, WHOLE, kernels
    else:
        layout = PlaneLayout(groups.world, recordable=exchange == "collectives")
        groups = with_process_groups(groups) if exchange == "xfuser" else groups
        slots = [
            _slot(groups, layout, kernel, exchange, dit.config.num_heads) for kernel in kernels
        ]
    dit.layout = layout
    for block, slot in zip(blocks, slots, strict=True):
        block.self_attn.attention = slot


def _slot(
    groups: SequenceGroups, layout: PlaneLayout, kernel: Attention, exchange: Exchange, heads: int
) -> Attention:
    """Return the attention between all ranks with a local kernel."""
    if exchange == "xfuser":
        return XfuserAttention(groups, lambda: layout.lengths, kernel, heads)
    num_ulysses, num_ring = groups.ulysses.size, groups.ring.size
    group_start = groups.world.rank - groups.ulysses.rank

    def lengths_of_neighbours() -> Sequence[int]:
        return layout.lengths[group_start : group_start + num_ulysses]

    def lengths_of_ring() -> Sequence[int]:
        starts = range(0, num_ulysses * num_ring, num_ulysses)
        return [sum(layout.lengths[start : start + num_ulysses]) for start in starts]

    inner = RingAttention(groups.ring, lengths_of_ring, kernel) if num_ring > 1 else kernel
    if num_ulysses == 1:
        return inner
    return UlyssesAttention(groups.ulysses, lengths_of_neighbours, inner)


def _local(attention: Attention) -> Attention:
    """Return the kernel in a slot, whatever divides its work."""
    if isinstance(attention, UlyssesAttention | RingAttention | XfuserAttention):
        return attention.local
    return attention


def exchanged_bytes(
    lengths: Sequence[int], heads: tuple[int, int], degrees: tuple[int, int], rank: int, size: int
) -> int:
    """Return how many bytes a rank sends in the self-attention of one layer.

    Where all numbers divide and a rank's queries have t bytes, that is ``4 t (U - 1) / U`` for
    Ulysses of U ranks (queries, keys, values, and the result) and ``2 t (R - 1)`` for Ring of R.

    Args:
        lengths: Tokens of each rank.
        heads: Heads, and the numbers of one.
        degrees: Of Ulysses and of Ring, see :func:`~.groups.sequence_degrees`.
        rank: Of all ranks.
        size: Bytes of a number.
    """
    (num_heads, head_dim), (num_ulysses, num_ring) = heads, degrees
    own_group, place = divmod(rank, num_ulysses)
    groups = [
        sum(lengths[start : start + num_ulysses])
        for start in range(0, num_ulysses * num_ring, num_ulysses)
    ]
    own_heads = split_evenly(num_heads, num_ulysses)[place]
    to_heads = 3 * lengths[rank] * (num_heads - own_heads)
    to_tokens = (groups[own_group] - lengths[rank]) * own_heads
    # A rank sends on all that arrives but for the last, which the rank after it began with.
    around = 2 * own_heads * (sum(groups) - groups[(own_group + 1) % num_ring])
    return size * head_dim * (to_heads + to_tokens + around)
