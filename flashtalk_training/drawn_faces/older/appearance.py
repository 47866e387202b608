"""Who is drawn in the older style: shapes and colours of a face, its hair, clothes and room."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Generator, Tensor

from ..appearance import choose

# No colour below comes near the dark red of an open mouth, by which the mouth is measured.
_SKIN = (
    (0.96, 0.84, 0.76), (0.90, 0.74, 0.63), (0.84, 0.67, 0.54),
    (0.72, 0.54, 0.42), (0.58, 0.43, 0.34), (0.44, 0.33, 0.27),
)  # fmt: skip
_HAIR = (
    (0.93, 0.92, 0.90), (0.82, 0.82, 0.83), (0.70, 0.70, 0.72), (0.58, 0.57, 0.58),
    (0.44, 0.42, 0.42), (0.80, 0.75, 0.66), (0.36, 0.31, 0.28),
)  # fmt: skip
_CLOTHES = (
    (0.30, 0.36, 0.32), (0.36, 0.33, 0.42), (0.47, 0.43, 0.36), (0.22, 0.27, 0.36),
    (0.62, 0.58, 0.50), (0.40, 0.46, 0.50), (0.55, 0.50, 0.56),
)  # fmt: skip
_WALLS = (
    (0.72, 0.76, 0.72), (0.80, 0.76, 0.66), (0.62, 0.68, 0.74), (0.74, 0.70, 0.76),
    (0.52, 0.58, 0.56), (0.84, 0.82, 0.78),
)  # fmt: skip
_IRIS = ((0.30, 0.24, 0.20), (0.36, 0.44, 0.50), (0.38, 0.42, 0.36), (0.24, 0.20, 0.18))
_FRAMES = ((0.70, 0.58, 0.30), (0.62, 0.64, 0.67), (0.34, 0.24, 0.18), (0.20, 0.22, 0.30))
# top, sides, curl, long, bun, cap
_HAIR_STYLES = (
    (0.0, 1.0, 0.0, 0.0, 0.0, 0.0),  # a ring of hair around a bald head
    (1.0, 1.0, 0.0, 0.0, 0.0, 0.0),  # swept back
    (1.0, 1.0, 1.0, 0.0, 0.0, 0.0),  # a cloud of curls
    (1.0, 1.0, 0.0, 1.0, 0.0, 0.0),  # long, parted in the middle
    (1.0, 0.6, 0.0, 0.0, 1.0, 0.0),  # a bun
    (0.0, 1.0, 0.4, 0.0, 0.0, 1.0),  # a flat cap
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),  # bald
)
# beard, half-width, length, moustache
_BEARDS = (
    (0.0, 0.80, 0.00, 0.0),  # shaved
    (1.0, 0.84, 0.42, 1.0),  # long and full
    (1.0, 0.86, 0.14, 1.0),  # full
    (1.0, 0.36, 0.22, 1.0),  # on the chin
    (0.0, 0.80, 0.00, 1.0),  # a moustache
)
_NUM_DRAWS = 48


class OlderFace(NamedTuple):
    """Everything that stays the same while a face talks.

    Scalars are ``(B,)``, colours ``(B, 3)`` in ``[0, 1]``, all float32. Lengths are in head
    units: the half-height of the head is 1.
    """

    skin: Tensor
    width: Tensor
    """Half-width of the head."""
    jowl: Tensor
    """How much the cheeks hang over the jaw."""
    jaw: Tensor
    """How much the head narrows towards the chin."""
    ear: Tensor
    """Half-height of the ears."""
    wrinkle: Tensor
    """Opacity of the wrinkles."""
    bags: Tensor
    """Opacity of the bags under the eyes."""
    hair: Tensor
    hair_top: Tensor
    """Opacity of the hair above the forehead; 0 is bald."""
    hair_sides: Tensor
    hair_curl: Tensor
    hair_long: Tensor
    hair_bun: Tensor
    hair_cap: Tensor
    hair_volume: Tensor
    hair_line: Tensor
    """How far the hair has receded."""
    iris: Tensor
    eye_width: Tensor
    eye_height: Tensor
    eye_spacing: Tensor
    eye_y: Tensor
    eye_droop: Tensor
    """How far the outer corners hang."""
    brow_thickness: Tensor
    brow_height: Tensor
    nose_width: Tensor
    nose_y: Tensor
    lip: Tensor
    lip_thickness: Tensor
    mouth_width: Tensor
    mouth_y: Tensor
    beard: Tensor
    """Opacity of the beard."""
    beard_width: Tensor
    beard_length: Tensor
    """How far it hangs below the chin."""
    moustache: Tensor
    """Opacity of the moustache."""
    clothes: Tensor
    shirt: Tensor
    tie: Tensor
    """Opacity of the tie."""
    tie_colour: Tensor
    shoulder_width: Tensor
    glasses: Tensor
    """Opacity of the glasses."""
    glasses_half: Tensor
    """1 for rims below the eyes alone, 0 for whole ones."""
    glasses_colour: Tensor
    glasses_size: Tensor
    wall: Tensor
    panel_y: Tensor
    """Where the panelling of the wall begins, in half-heights of the image."""
    picture_x: Tensor
    """Where a picture hangs, likewise."""
    light_side: Tensor
    """Where light comes from: -1 left, 1 right."""
    light: Tensor
    """How dark the other side is, 0 to 1."""

    def to(self, device: torch.device | str) -> Self:
        """Return the face on ``device``."""
        return type(self)(*(value.to(device) for value in self))

    def pick(self, index: Tensor | slice | list[int]) -> Self:
        """Return the faces ``index`` of the batch."""
        return type(self)(*(value[index] for value in self))


def sample_older(batch: int, generator: Generator) -> OlderFace:
    """Draw older faces.

    Args:
        batch: Number of faces B.
        generator: CPU generator; the same state gives the same faces on any device.

    Returns:
        Faces on the CPU; :meth:`OlderFace.to` moves them.
    """
    draws = iter(torch.rand(_NUM_DRAWS, batch, generator=generator))

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * next(draws)

    def one_of(rows: tuple[tuple[float, ...], ...]) -> Tensor:
        return choose(rows, next(draws))

    def chance(probability: float) -> Tensor:
        return (next(draws) < probability).float()

    def shade(rows: tuple[tuple[float, ...], ...]) -> Tensor:
        return (one_of(rows) * between(0.88, 1.08)[:, None]).clamp(0.0, 0.97)

    skin, style, beard = shade(_SKIN), one_of(_HAIR_STYLES), one_of(_BEARDS)
    # Long hair and buns go without a beard.
    is_bearded = 1.0 - style[:, 3:5].amax(dim=1)
    natural = torch.tensor((0.88, 0.68, 0.68))
    return OlderFace(
        skin=skin,
        width=between(0.66, 0.92),
        jowl=between(0.02, 0.10),
        jaw=between(0.10, 0.24),
        ear=between(0.22, 0.30),
        wrinkle=between(0.45, 0.95),
        bags=between(0.3, 0.9),
        hair=shade(_HAIR),
        hair_top=style[:, 0],
        hair_sides=style[:, 1],
        hair_curl=style[:, 2],
        hair_long=style[:, 3],
        hair_bun=style[:, 4],
        hair_cap=style[:, 5],
        hair_volume=between(0.05, 0.13) + 0.12 * style[:, 2],
        hair_line=between(0.0, 0.12),
        iris=one_of(_IRIS),
        eye_width=between(0.12, 0.15),
        eye_height=between(0.050, 0.068),
        eye_spacing=between(0.30, 0.37),
        eye_y=between(-0.10, -0.02),
        eye_droop=between(0.0, 0.25),
        brow_thickness=between(0.030, 0.055),
        brow_height=between(0.16, 0.21),
        nose_width=between(0.13, 0.19),
        nose_y=between(0.22, 0.29),
        lip=torch.lerp(skin * natural, natural, between(0.0, 0.25)[:, None]),
        lip_thickness=between(0.55, 0.85),
        mouth_width=between(0.88, 1.10),
        mouth_y=between(0.50, 0.54),
        beard=beard[:, 0] * is_bearded,
        beard_width=beard[:, 1],
        beard_length=beard[:, 2] * between(0.8, 1.2),
        moustache=beard[:, 3] * is_bearded,
        clothes=shade(_CLOTHES),
        shirt=shade(_WALLS),
        tie=chance(0.35),
        tie_colour=shade(_CLOTHES),
        shoulder_width=between(0.86, 1.10),
        glasses=chance(0.5),
        glasses_half=chance(0.35),
        glasses_colour=one_of(_FRAMES),
        glasses_size=between(0.19, 0.23),
        wall=shade(_WALLS),
        panel_y=between(0.1, 0.5),
        picture_x=between(-0.9, 0.9),
        light_side=2.0 * chance(0.5) - 1.0,
        light=between(0.45, 0.95),
    )
