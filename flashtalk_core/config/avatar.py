"""One avatar model: its networks, and the defaults of a render with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from ..excerpt import excerpt
from ..limits import Width, Within
from .chunk import ChunkConfig
from .networks import (
    AudioEncoderConfig,
    ClipVisionConfig,
    DiTConfig,
    TextEncoderConfig,
    VAEConfig,
)
from .sampling import SamplingConfig

FitMode = Literal["cover", "pad"]
"""A portrait of another shape than the video is cut off, or gets borders."""


@dataclass(frozen=True, kw_only=True)
class AvatarConfig:
    """Everything needed to build one avatar model."""

    dit: DiTConfig = field(default_factory=DiTConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    text: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    clip: ClipVisionConfig = field(default_factory=ClipVisionConfig)
    audio: AudioEncoderConfig = field(default_factory=AudioEncoderConfig)
    chunk: ChunkConfig = field(default_factory=ChunkConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """Defaults of this model; a user may override each."""
    size_px: tuple[Width, Width] = (768, 448)
    """Default height and width, the one the model was trained at."""
    known_sizes_px: tuple[tuple[Width, Width], ...] = ((768, 448),)
    """Sizes known to work; any other one warns."""
    prompt: str = (
        "A person is talking. Only the foreground characters are moving, "
        "the background remains static."
    )
    """Default prompt. Source: SoulX-FlashTalk ``generate_video.py`` @ 688982e."""
    name: Annotated[str, Within(0, 200)] = "SoulX-FlashTalk-14B"

    def __repr__(self) -> str:
        height, width = self.size_px
        return f"AvatarConfig({excerpt(self.name)}, {width}x{height})"
