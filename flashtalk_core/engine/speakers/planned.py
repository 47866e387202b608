"""A speaker whose audio was measured and whose mask was read."""

from __future__ import annotations

from dataclasses import dataclass

from PIL.Image import Image

from ...media.audio.info import AudioInfo


@dataclass(frozen=True)
class PlannedSpeaker:
    """One who talks: what is heard of them, and where they are."""

    audio: AudioInfo
    mask: Image | None = None
    """Where in the portrait this speaker is, white in an ``L`` of its size; ``None`` is
    everywhere."""
