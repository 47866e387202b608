"""Who is drawn: shapes and colours of a face, its hair, clothes and background."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Generator, Tensor

# No colour below comes near the dark red of an open mouth, by which the mouth is measured.
_SKIN = (
    (0.98, 0.86, 0.77), (0.95, 0.80, 0.68), (0.91, 0.72, 0.58),
    (0.80, 0.60, 0.45), (0.66, 0.47, 0.35), (0.50, 0.35, 0.27),
)  # fmt: skip
_HAIR = (
    (0.13, 0.11, 0.12), (0.25, 0.17, 0.13), (0.42, 0.29, 0.20), (0.62, 0.45, 0.27),
    (0.88, 0.74, 0.47), (0.62, 0.37, 0.22), (0.66, 0.66, 0.68), (0.80, 0.79, 0.78),
)  # fmt: skip
_CLOTHES = (
    (0.20, 0.33, 0.55), (0.18, 0.50, 0.52), (0.36, 0.55, 0.36), (0.85, 0.68, 0.30),
    (0.92, 0.92, 0.93), (0.24, 0.25, 0.30), (0.52, 0.44, 0.66), (0.45, 0.66, 0.83),
    (0.78, 0.62, 0.56), (0.60, 0.62, 0.60),
)  # fmt: skip
_IRIS = (
    (0.28, 0.18, 0.12), (0.42, 0.28, 0.15), (0.25, 0.42, 0.62),
    (0.30, 0.48, 0.36), (0.42, 0.46, 0.50),
)  # fmt: skip
# cap, volume, fringe, long, bun, curl
_STYLES = (
    (1.0, 0.04, 0.15, 0.0, 0.0, 0.0),  # short
    (1.0, 0.12, 0.55, 0.0, 0.0, 0.3),  # full
    (1.0, 0.08, 0.30, 1.0, 0.0, 0.0),  # long
    (1.0, 0.10, 1.00, 1.0, 0.0, 0.0),  # long with a fringe
    (1.0, 0.05, 0.00, 0.0, 1.0, 0.0),  # bun
    (0.0, 0.00, 0.00, 0.0, 0.0, 0.0),  # bald
    (0.4, 0.00, 0.05, 0.0, 0.0, 0.0),  # shaved
    (1.0, 0.30, 0.25, 0.0, 0.0, 1.0),  # curls
    (1.0, 0.10, 0.90, 0.5, 0.0, 0.0),  # bob with a fringe
)
_NUM_DRAWS = 48


class FaceIdentity(NamedTuple):
    """Everything that stays the same while a face talks.

    Scalars are ``(B,)``, colours ``(B, 3)`` in ``[0, 1]``, all float32. Lengths are in head
    units: the half-height of the head is 1.
    """

    skin: Tensor
    blush: Tensor
    """Strength of the cheeks' colour."""
    width: Tensor
    """Half-width of the head."""
    jaw: Tensor
    """How much the head narrows towards the chin."""
    hair: Tensor
    hair_cap: Tensor
    """Opacity of the hair on the head; 0 is bald."""
    hair_volume: Tensor
    hair_fringe: Tensor
    hair_long: Tensor
    hair_bun: Tensor
    hair_curl: Tensor
    hair_part: Tensor
    """Where the hair parts, -1 to 1."""
    iris: Tensor
    eye_width: Tensor
    eye_height: Tensor
    eye_spacing: Tensor
    eye_y: Tensor
    brow_thickness: Tensor
    brow_tilt: Tensor
    brow_height: Tensor
    nose_width: Tensor
    nose_y: Tensor
    lip: Tensor
    lip_thickness: Tensor
    mouth_width: Tensor
    mouth_y: Tensor
    clothes: Tensor
    trim: Tensor
    """Colour of the collar."""
    neck_width: Tensor
    collar_depth: Tensor
    shoulder_width: Tensor
    glasses: Tensor
    """Opacity of the glasses."""
    beard: Tensor
    """Opacity of the beard."""
    backdrop_a: Tensor
    backdrop_b: Tensor
    backdrop_angle: Tensor
    spot: Tensor
    """Colour of the soft shape behind the head."""
    spot_x: Tensor
    spot_y: Tensor
    spot_radius: Tensor
    light_x: Tensor
    light_y: Tensor

    def to(self, device: torch.device | str) -> Self:
        """Return the identity on ``device``."""
        return type(self)(*(value.to(device) for value in self))

    def pick(self, index: Tensor | slice | list[int]) -> Self:
        """Return the faces ``index`` of the batch."""
        return type(self)(*(value[index] for value in self))


def sample_identity(batch: int, generator: Generator) -> FaceIdentity:
    """Draw faces.

    Args:
        batch: Number of faces B.
        generator: CPU generator; the same state gives the same faces on any device.

    Returns:
        Faces on the CPU; :meth:`FaceIdentity.to` moves them.
    """
    draws = iter(torch.rand(_NUM_DRAWS, batch, generator=generator))

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * next(draws)

    def chance(probability: float, low: float, high: float) -> Tensor:
        return (next(draws) < probability) * between(low, high)

    skin = _between_neighbours(_SKIN, next(draws))
    hair = (choose(_HAIR, next(draws)) * between(0.85, 1.15)[:, None]).clamp(0.04, 0.95)
    style = choose(_STYLES, next(draws))
    clothes = (choose(_CLOTHES, next(draws)) * between(0.85, 1.1)[:, None]).clamp(0.0, 1.0)
    lightness = torch.where(next(draws) < 0.5, 1.25, 0.7)[:, None]
    backdrop_a = _hue(between(0.1, 0.82), between(0.05, 0.45), between(0.55, 0.95))
    backdrop_b = 0.35 * backdrop_a + 0.65 * _hue(
        between(0.1, 0.82), between(0.05, 0.4), between(0.5, 0.95)
    )
    return FaceIdentity(
        skin=skin,
        blush=between(0.0, 0.35),
        width=between(0.72, 0.86),
        jaw=between(0.08, 0.26),
        hair=hair,
        hair_cap=style[:, 0],
        hair_volume=style[:, 1] * between(0.7, 1.3),
        hair_fringe=style[:, 2],
        hair_long=style[:, 3],
        hair_bun=style[:, 4],
        hair_curl=style[:, 5],
        hair_part=between(-1.0, 1.0),
        iris=choose(_IRIS, next(draws)),
        eye_width=between(0.145, 0.18),
        eye_height=between(0.075, 0.105),
        eye_spacing=between(0.30, 0.38),
        eye_y=between(-0.10, -0.02),
        brow_thickness=between(0.022, 0.045),
        brow_tilt=between(-0.12, 0.22),
        brow_height=between(0.20, 0.27),
        nose_width=between(0.08, 0.14),
        nose_y=between(0.20, 0.27),
        lip=_lips(skin, between(0.0, 1.0)),
        lip_thickness=between(0.75, 1.25),
        mouth_width=between(0.90, 1.12),
        mouth_y=between(0.48, 0.53),
        clothes=clothes,
        trim=(clothes * lightness).clamp(0.0, 0.97),
        neck_width=between(0.30, 0.40),
        collar_depth=between(0.0, 0.16),
        shoulder_width=between(0.82, 1.02),
        glasses=chance(0.22, 0.75, 1.0),
        beard=chance(0.35, 0.45, 0.85) * (1.0 - style[:, 3:5].amax(dim=1).ceil()),
        backdrop_a=backdrop_a,
        backdrop_b=backdrop_b,
        backdrop_angle=between(-3.14159, 3.14159),
        spot=0.55 * backdrop_a
        + 0.45 * _hue(between(0.1, 0.82), between(0.0, 0.4), between(0.7, 1)),
        spot_x=between(-0.8, 0.8),
        spot_y=between(-0.8, 0.3),
        spot_radius=between(0.5, 1.0),
        light_x=between(-1.0, 1.0),
        light_y=between(-1.0, -0.2),
    )


def choose(rows: tuple[tuple[float, ...], ...], draw: Tensor) -> Tensor:
    """Return for each draw of ``(B,)`` in ``[0, 1)`` the row that it falls on, ``(B, n)``."""
    table = torch.tensor(rows)
    return table[(draw * len(rows)).long().clamp(max=len(rows) - 1)]


def _between_neighbours(rows: tuple[tuple[float, ...], ...], draw: Tensor) -> Tensor:
    table = torch.tensor(rows)
    place = draw * (len(rows) - 1)
    low = place.long().clamp(max=len(rows) - 2)
    return torch.lerp(table[low], table[low + 1], (place - low)[:, None])


def _lips(skin: Tensor, draw: Tensor) -> Tensor:
    rose = torch.tensor((0.80, 0.44, 0.45))
    natural = skin * torch.tensor((0.90, 0.70, 0.72))
    return torch.lerp(natural, rose, (0.25 + 0.5 * draw)[:, None])


def _hue(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Return colours ``(B, 3)`` of hue, saturation and value in ``[0, 1]``."""
    offset = torch.tensor((5.0, 3.0, 1.0))
    k = (offset + 6.0 * hue[:, None]) % 6.0
    ramp = torch.minimum(k, 4.0 - k).clamp(0.0, 1.0)
    return value[:, None] * (1.0 - saturation[:, None] * ramp)
