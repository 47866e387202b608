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

SpeakerRouting = Literal["rotary", "regions"]
"""How two speakers of one image are told apart.

``rotary``: each token hears both, by rotary positions that depend on how much it attends to their
masks; what the authors' code has, for weights trained with it. ``regions``: each token hears the
speaker in whose mask it is, and silence outside; for weights trained with one speaker."""
FitMode = Literal["cover", "pad", "face"]
"""A portrait of another shape than the video is cut off, or gets borders, or the part around its
face is taken."""


@dataclass(frozen=True, kw_only=True)
class FramingConfig:
    """Where a face lies in a frame, as in the pictures the model knows.

    Defaults are for head and shoulders; the authors publish no figure, and their code takes
    pictures as they are.
    """

    face_share: Annotated[float, Within(0.05, 0.9)] = 0.25
    """Side of the face's box, eyebrows to chin, as a share of the root of the frame's area."""
    face_y: Annotated[float, Within(0.1, 0.9)] = 0.36
    """Its middle, as a share of the frame's height from the top."""


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
    framing: FramingConfig = field(default_factory=FramingConfig)
    """Of a portrait that is cropped to its face."""
    prompt: str = (
        "A person is talking. Only the foreground characters are moving, "
        "the background remains static."
    )
    """Default prompt. Source: SoulX-FlashTalk ``generate_video.py`` @ 688982e."""
    name: Annotated[str, Within(0, 200)] = "SoulX-FlashTalk-14B"
    speaker_routing: SpeakerRouting = "rotary"
    """How it tells two speakers apart, unless a user says otherwise."""

    def __repr__(self) -> str:
        height, width = self.size_px
        return f"AvatarConfig({excerpt(self.name)}, {width}x{height})"
