"""Attention to prompt and image with tiles of several sizes.

Axis legend: L tokens, N heads, D head dim, K keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ...acceleration.block_ops import ContextKeys, EagerKernels
from ...excerpt import first_line
from ..stage_clock import measure_one

TILES = (
    (64, 32, 4, 3),
    (64, 64, 4, 2),
    (64, 64, 4, 3),
    (64, 128, 4, 2),
    (128, 64, 8, 2),
    (128, 64, 8, 3),
    (128, 128, 8, 2),
)
"""Queries, keys, warps and stages; the first are those of the fused block."""
_PROMPT, _PADDING, _WARMUPS = 20, 492, 3


@dataclass(frozen=True)
class ContextRow:
    """One size of tiles."""

    tile: str
    attend_ms: float | None
    error: float
    """Relative root mean square of the difference from eager attention, percent."""
    failure: str = ""


@torch.no_grad()
def measure_tiles(
    num_tokens: int,
    num_heads: int,
    head_dim: int,
    num_image: int,
    device: torch.device,
    repeats: int,
) -> Iterator[ContextRow]:
    """Measure each; one that fails does not end the run.

    Args:
        num_tokens: L.
        num_heads: N.
        head_dim: D.
        num_image: Keys of the image.
        device: Where.
        repeats: Measured calls.
    """
    generator = torch.Generator(device).manual_seed(0)

    def draw(count: int) -> Tensor:
        shape = (count, num_heads, head_dim)
        return torch.randn(shape, generator=generator, device=device, dtype=torch.bfloat16)

    q = draw(num_tokens)
    text = ContextKeys(draw(_PROMPT + 1), draw(_PROMPT + 1), _PADDING)
    image = ContextKeys(draw(num_image), draw(num_image))
    expected = EagerKernels().attend(q, text, image).float()
    for tile in TILES:
        name = " x ".join(map(str, tile))
        try:
            run = partial(_attend, q, text, image, tile)
            error = float((run().float() - expected).norm() / expected.norm())
            found = measure_one(run, device, _WARMUPS, repeats)
            yield ContextRow(name, found.median_ms, 100 * error)
        except Exception as error:  # whatever Triton, its compiler or the driver raise
            yield ContextRow(name, None, 0.0, f"{type(error).__name__}: {first_line(error)}")


def _attend(
    q: Tensor, text: ContextKeys, image: ContextKeys, tile: tuple[int, int, int, int]
) -> Tensor:
    from ...acceleration.triton.block import attend_context

    block_q, block_k, num_warps, num_stages = tile
    return attend_context(
        q, text, image, block_q, block_k, num_warps=num_warps, num_stages=num_stages
    )
