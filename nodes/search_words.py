"""What people type into the node search who want a talking video."""

from __future__ import annotations

TALKING_VIDEO = (
    "talking head",
    "talking avatar",
    "talking portrait",
    "lip sync",
    "lipsync",
    "digital human",
    "speech to video",
    "audio to video",
    "TTS",
    "wav2lip",
    "sadtalker",
    "multitalk",
    "infinitetalk",
    "数字人",
    "对口型",
)
"""Both ends of the graph are found by them: the Model Loader and Stream Preview."""

LIVE_TALK = (
    "live avatar",
    "microphone",
    "real time",
    "realtime",
    "voice chat",
    "barge-in",
    "streaming TTS",
    "talking head",
    "talking avatar",
    "digital human",
    "lip sync",
    "livestream",
    "麦克风",
    "实时",
    "数字人",
    "直播",
)
