"""FlashTalk avatar for Pipecat."""

from .service import FlashTalkVideoService

__all__ = ["FlashTalkVideoService"]
