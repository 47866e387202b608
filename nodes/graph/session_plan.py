"""What a live session is a render of: speech of which nothing is known yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...flashtalk_core.errors import require
from ...flashtalk_core.live.audio.sound import LiveSound
from ...flashtalk_core.media.audio.info import AudioInfo
from .descriptions import ReferenceDescription, SpeechDescription
from .sizes import MIN_CHUNK_FRAMES, MODEL_RULE

_SAMPLER = ("seed", "steps", "shift", "colour_strength", "chunk_frames")
_OPTIONAL = ("colour_area", "join_frames")


def unknown_speech() -> SpeechDescription:
    """Return speech that is still to come."""
    return SpeechDescription(AudioInfo.growing(LiveSound()), 1.0, 0.0, None)


def sampler_settings(reference: ReferenceDescription, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node's widgets as those of the Chunk Sampler; motion frames are the model's own.

    Raises:
        InvalidInputError: If a live session cannot have such chunks, or prompts that change.
    """
    changes = len(reference.prompt_changes)
    require(
        not changes,
        f"{changes} prompt change(s): a live session has no times to change at; leave "
        "prompt_changes in FlashTalk Reference empty",
        subject="prompt_changes",
    )
    num_frames = values["chunk_frames"]
    require(
        num_frames >= MIN_CHUNK_FRAMES,
        f"chunk of {num_frames} frames: a live session needs {MIN_CHUNK_FRAMES} or more; 33 "
        "(FlashTalk) or 81 (InfiniteTalk) is as trained",
        subject="chunk_frames",
    )
    settings = {name: values[name] for name in _SAMPLER}
    settings |= {name: values[name] for name in _OPTIONAL if name in values}
    return settings | {"rule": MODEL_RULE, "motion_frames": None}
