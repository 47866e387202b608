"""Asyncio client of a FlashTalk live server."""

from .avatar import LiveAvatar
from .hold import Hold
from .items import Frame, Idle, Item, Played, Ready, Refused, RefusedError, Speaking
from .start import Start, read_portrait

__all__ = [
    "Frame",
    "Hold",
    "Idle",
    "Item",
    "LiveAvatar",
    "Played",
    "Ready",
    "Refused",
    "RefusedError",
    "Speaking",
    "Start",
    "read_portrait",
]
