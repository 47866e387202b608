"""What decoding in overlapping tiles costs: ``python -m tools.tile_error`` prints a table.

The bundled model's autoencoder, with the decoder of its own that it was trained with, encodes the
example portrait and decodes it whole, in bands with a halo (eight ranks, as threads), and in eight
tiles as SoulX-FlashTalk does on eight GPUs: every tile sees some latent cells of its neighbours,
attends to nothing else, and is cut off where the next one begins; nothing is blended. Errors are
against decoding and encoding the whole image. The small decoder that the bundled model has would
show nothing: each rank that has a band runs it whole.
``docs/parallel_vae.webp`` shows the whole, the tiles, and their difference, amplified.

Source of the tiles: SoulX-FlashTalk ``decode_dist_2d`` and ``encode_dist_2d`` @ 688982e, whose
overlaps are two cells and one. Their one-axis functions take one cell in both.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image
from torch import Tensor

from flashtalk_core.geometry import SPATIAL_STRIDE
from flashtalk_core.media.image.portrait import fit_image, open_image
from flashtalk_core.media.pixels import from_model_range, to_model_range
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.parallel.banded_images import BandedImages
from flashtalk_core.parallel.bands import choose_grid
from flashtalk_core.placement.place import Placement
from flashtalk_core.placement.residency import CachedNetworks
from flashtalk_core.weights.load import open_avatar
from tests.own_decoder import write_model
from tests.unit.parallel.thread_ranks import run_ranks

ROOT = Path(__file__).parents[1]
PORTRAIT = ROOT / "flashtalk_core" / "assets" / "example" / "portrait.png"
DRAWING = ROOT / "docs" / "parallel_vae.webp"
SIZE_PX = (768, 448)
"""Height and width."""
GRID = (4, 2)
"""Rows and columns of tiles: what SoulX-FlashTalk takes for eight GPUs at this size."""
GAIN = 16
"""The difference is shown so many times larger, around mid grey."""
SHOWN_WIDTH_PX = 320
LEVELS = 127.5
"""Levels of 8-bit colour in 1.0 of the model's range, which is [-1, 1]."""


def main() -> None:
    """Print the errors, and draw those of decoding with two cells of overlap."""
    vae = read_vae()
    image = to_model_range(fit_image(open_image(PORTRAIT), SIZE_PX, "cover"))[None, :, None]
    with torch.no_grad():
        latent = vae.encode(image)
        whole = decode(vae, latent)
        tiles = {n: decode_tiles(vae, latent, n) for n in (1, 2, 4)}
        tiled_latents = {n: encode_tiles(vae, image, n) for n in (1, 2)}
    bands, banded_latent = run_bands(vae, image, latent)
    lines = [f"{'decoding, levels of 255':32}      max     mean     PSNR"]
    for name, found in {"bands": bands, **named(tiles)}.items():
        lines.append(row(name, found, whole, LEVELS, 2.0))
    lines.append(f"encoding, latents of deviation {latent.std():.2f}")
    peak = float(latent.max() - latent.min())
    for name, found in {"bands": banded_latent, **named(tiled_latents)}.items():
        lines.append(row(name, found, latent, 1.0, peak))
    sys.stdout.write("\n".join(lines) + "\n")
    draw(whole, tiles[2])


def named(tiles: dict[int, Tensor]) -> dict[str, Tensor]:
    """Name tiles by their overlap."""
    return {f"tiles, overlap of {n}": found for n, found in tiles.items()}


def row(name: str, found: Tensor, expected: Tensor, unit: float, peak: float) -> str:
    """Return a line of the table."""
    error = (found - expected).double()
    largest, mean = (float(value) * unit for value in (error.abs().max(), error.abs().mean()))
    square = float(error.square().mean())
    psnr = f"{10 * math.log10(peak**2 / square):6.1f} dB" if square else "    equal"
    return f"{name:32} {largest:8.3g} {mean:8.2g} {psnr}"


def read_vae() -> VideoVAE:
    """Return the bundled model's autoencoder with its own decoder, eager, in float32."""
    place = Placement(torch.device("cpu"), torch.float32)
    with TemporaryDirectory() as folder:
        avatar = open_avatar(str(write_model(Path(folder) / "model")))
        with CachedNetworks(avatar, place).acquire(VideoVAE) as vae:
            return vae


def decode(vae: VideoVAE, latent: Tensor) -> Tensor:
    """Return all frames of ``latent``."""
    return torch.cat(list(vae.decode_groups(latent)), dim=2)


def run_bands(vae: VideoVAE, image: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
    """Return frames and latents of eight ranks."""

    def work(group) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]  # noqa: ANN001
        spread = BandedImages.over(choose_grid("auto", SIZE_PX, group.size), group)
        own = copy(vae)
        frames = torch.cat(list(spread.decode(own, latent)), dim=2)
        return spread.join(frames), spread.encode(own, image)

    found: tuple[Tensor, Tensor] = run_ranks(math.prod(GRID), work)[0]
    return found


def decode_tiles(vae: VideoVAE, latent: Tensor, overlap: int) -> Tensor:
    """Decode tiles that see ``overlap`` cells of each neighbour."""
    return over_tiles(lambda part: decode(vae, part), latent, overlap, 1, SPATIAL_STRIDE)


def encode_tiles(vae: VideoVAE, image: Tensor, overlap: int) -> Tensor:
    """Encode tiles that see ``overlap`` cells of each neighbour."""
    return over_tiles(vae.encode, image, overlap, SPATIAL_STRIDE, 1)


def over_tiles(
    function: Callable[[Tensor], Tensor], x: Tensor, overlap: int, scale: int, out_scale: int
) -> Tensor:
    """Apply a function to tiles, and put the results together.

    Args:
        function: Of tiles, with ``scale`` pixels a latent cell, to ``out_scale`` pixels.
        x: The whole, ``(..., H, W)``.
        overlap: Cells of a neighbour that a tile sees.
        scale: Pixels of ``x`` for a latent cell, each way.
        out_scale: The same of what the function returns.
    """
    cells = [side // SPATIAL_STRIDE for side in SIZE_PX]
    axes = [tiles_of(total, parts, overlap) for total, parts in zip(cells, GRID, strict=True)]
    rows = []
    for tile_row in range(GRID[0]):
        parts = []
        for tile_column in range(GRID[1]):
            reads, keeps = zip(axes[0][tile_row], axes[1][tile_column], strict=True)
            part = function(x[..., scaled(reads[0], scale), scaled(reads[1], scale)])
            parts.append(part[..., scaled(keeps[0], out_scale), scaled(keeps[1], out_scale)])
        rows.append(torch.cat(parts, dim=-1))
    return torch.cat(rows, dim=-2)


def tiles_of(total: int, parts: int, overlap: int) -> list[tuple[slice, slice]]:
    """Return what each tile reads, and what of that is kept, in cells.

    All tiles read equally many; those at the border see twice the overlap of their one neighbour.
    """
    assert total % parts == 0, (total, parts)
    size = total // parts
    found = []
    for index in range(parts):
        first = min(max(0, index * size - overlap), total - size - 2 * overlap)
        start = index * size - first
        found.append((slice(first, first + size + 2 * overlap), slice(start, start + size)))
    return found


def scaled(cells: slice, scale: int) -> slice:
    """Return a range of cells in pixels."""
    return slice(cells.start * scale, cells.stop * scale)


def draw(whole: Tensor, tiles: Tensor) -> None:
    """Write the whole, the tiles and their amplified difference, side by side."""
    frames: Sequence[Tensor] = [whole, tiles, ((tiles - whole) * GAIN).clamp(-1, 1)]
    images = [
        Image.fromarray(from_model_range(each[0]).permute(1, 2, 3, 0)[0].contiguous().numpy())
        for each in frames
    ]
    height = SHOWN_WIDTH_PX * SIZE_PX[0] // SIZE_PX[1]
    strip = Image.new("RGB", (SHOWN_WIDTH_PX * len(images), height))
    for index, image in enumerate(images):
        small = image.resize((SHOWN_WIDTH_PX, height), Image.Resampling.LANCZOS)
        strip.paste(small, (SHOWN_WIDTH_PX * index, 0))
    strip.save(DRAWING, quality=82, method=6)


if __name__ == "__main__":
    main()
