"""Types of the pack's own connections; each carries a description, never frames."""

from __future__ import annotations

from comfy_api.latest import io

CATEGORY = "video/FlashTalk"

ModelSocket = io.Custom("FLASHTALK_MODEL")
SpeechSocket = io.Custom("FLASHTALK_SPEECH")
ReferenceSocket = io.Custom("FLASHTALK_REFERENCE")
ChunksSocket = io.Custom("FLASHTALK_CHUNKS")
"""One type before and after Parallel Decode, so that it can be bypassed or left out."""
