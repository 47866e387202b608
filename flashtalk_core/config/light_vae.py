"""Sizes of a light autoencoder: one that decodes the same latents as a model's own, faster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ..errors import require
from ..limits import Count, Within
from .networks import VAEConfig

MotionVAE = Literal["full", "shown", "light"]
"""What makes the motion frames of the next chunk, and their latents, where a light autoencoder
decodes: the model's own autoencoder both; the frames that are shown, which its own encodes; the
frames that are shown, which the light one encodes."""


@dataclass(frozen=True, kw_only=True)
class LightVAEConfig:
    """Sizes of a light autoencoder."""

    vae: VAEConfig
    """Of the whole where it has the autoencoder's layers, fewer of each (LightVAE); with widths of
    a small decoder it is that decoder, and maybe an encoder of the same kind (TAE)."""
    encoder_width: Annotated[int, Within(0, 4096)] = 0
    """Channels of a TAE's encoder; 0 is none."""
    encoder_blocks: Count = 3
    """Blocks of each of its levels."""
    has_raw_latents: bool = False
    """Whether a TAE was trained on latents that are not normalised, as LightX2V's were."""

    def __post_init__(self) -> None:
        require(
            not self.encoder_width or self.vae.light_patch == 1,
            f"encoder beside a small decoder of {self.vae.light_patch} pixels a place: 1 is known",
        )

    @property
    def is_tae(self) -> bool:
        """Whether it is of images that see the one before them, not of the autoencoder's layers."""
        return bool(self.vae.light_widths)

    @property
    def has_encoder(self) -> bool:
        """Whether it can encode frames, too."""
        return not self.is_tae or bool(self.encoder_width)
