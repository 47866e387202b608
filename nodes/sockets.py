"""What several nodes have: connections, which carry descriptions, never frames, and inputs."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..flashtalk_core.config.sampling import MOST_JOIN_FRAMES
from .graph.sizes import MAX_SEED, MODEL_JOINS, MODEL_RULE

CATEGORY = "video/FlashTalk"

ModelSocket = io.Custom("FLASHTALK_MODEL")
SpeechSocket = io.Custom("FLASHTALK_SPEECH")
ReferenceSocket = io.Custom("FLASHTALK_REFERENCE")
ChunksSocket = io.Custom("FLASHTALK_CHUNKS")
"""One type before and after Parallel Decode and Frame Stage, so that each can be bypassed or left
out."""
InterpolationSocket = io.Custom("INTERP_MODEL")
"""ComfyUI's frame interpolation models; versions without such nodes have none to connect."""


def seed_input(tooltip: str) -> io.Int.Input:
    """Return the input of the noise, which ComfyUI draws anew for each run where it is told to."""
    return io.Int.Input(
        "seed", default=0, min=0, max=MAX_SEED, control_after_generate=True, tooltip=tooltip
    )


def steps_input() -> io.Int.Input:
    """Return the input of how often a chunk is denoised."""
    return io.Int.Input(
        "steps",
        default=4,
        min=1,
        max=100,
        tooltip="Denoising steps of a chunk: 4 as trained, 2 is faster.",
    )


def shift_input(*, advanced: bool = False) -> io.Float.Input:
    """Return the input of the schedule."""
    return io.Float.Input(
        "shift",
        default=5.0,
        min=0.1,
        max=100.0,
        step=0.1,
        advanced=advanced or None,
        tooltip="Weight on noisy steps: 5 for FlashTalk, 3 for InfiniteTalk; 1 spreads them "
        "evenly.",
    )


def colour_input(*, advanced: bool = False) -> io.Float.Input:
    """Return the input of the colour match."""
    return io.Float.Input(
        "colour_strength",
        default=1.0,
        min=0.0,
        max=1.0,
        step=0.05,
        advanced=advanced or None,
        tooltip="How strongly colours are matched to the portrait: 1 as the authors do, 0 not at "
        "all.",
    )


def picture_inputs() -> list[Any]:
    """Return the inputs of what else is done to decoded frames; workflows may lack them."""
    return [
        io.Combo.Input(
            "colour_area",
            options=[MODEL_RULE, "frame", "no-mouth"],
            default=MODEL_RULE,
            optional=True,
            advanced=True,
            tooltip="Pixels whose colours are matched: 'frame', all, as the authors do; "
            "'no-mouth', those around the mouth, so that an open one shifts no colours.",
        ),
        io.Int.Input(
            "join_frames",
            default=MODEL_JOINS,
            min=MODEL_JOINS,
            max=MOST_JOIN_FRAMES,
            optional=True,
            advanced=True,
            tooltip="Frames over which the jump from chunk to chunk is faded out; 0 leaves it, as "
            "the authors do, and -1 is the model's own.",
        ),
    ]
