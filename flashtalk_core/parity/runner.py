"""All comparisons of one folder of golden files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from ..models.half_precision import check_half_precision
from .bounds import ParityResult, Placement
from .golden import check_folder
from .media import check_audio, check_colour, check_image
from .networks import check_clip, check_dit, check_text, check_two_speakers, check_vae
from .pipeline import check_pipeline
from .precision import exact_float32

_CHECKS: tuple[Callable[[Path, Placement], Iterator[ParityResult]], ...] = (
    check_dit,
    check_two_speakers,
    check_vae,
    check_text,
    check_clip,
    check_audio,
    check_colour,
    check_image,
    check_pipeline,
)


@torch.no_grad()
def run_parity(
    folder: Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> list[ParityResult]:
    """Compare every result of the golden files in ``folder``.

    Args:
        folder: Folder with all golden files; every size is read from them.
        device: Where the networks run. Loudness and image fit always run on the CPU.
        dtype: Of the networks: float32, bfloat16 or float16.

    Returns:
        Every comparison, in a fixed order of components.

    Raises:
        InvalidInputError: If golden files are missing or damaged, or the device computes wrongly in
            ``dtype``.
        WeightsError: If weights disagree with the sizes next to them.
    """
    check_folder(folder)
    place = Placement(torch.device(device), dtype)
    check_half_precision(place.device, place.dtype)
    with exact_float32():
        return [result for check in _CHECKS for result in check(folder, place)]
