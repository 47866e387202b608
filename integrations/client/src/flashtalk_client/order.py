"""Events in their place among the frames: a server sends both as they become ready."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from .items import Frame

Event: TypeAlias = dict[str, Any]
"""A text message."""


class Order:
    """Holds an event back until the frame that it belongs to has come."""

    def __init__(self, *, has_frames: bool) -> None:
        """Begin with a session; without frames nothing is held back."""
        self._has_frames = has_frames
        self._held: list[tuple[int, Event]] = []
        self._reached = 0
        """Twice the number of the last frame, and one: odd places lie between frames."""

    def before(self, frame: int, event: Event) -> Iterator[Event]:
        """Take an event that comes before a frame; yield what is due."""
        return self._hold(2 * frame - 1, event)

    def after(self, frame: int, event: Event) -> Iterator[Event]:
        """Take an event that comes after a frame; yield what is due."""
        return self._hold(2 * frame + 1, event)

    def frame(self, frame: Frame) -> Iterator[Frame | Event]:
        """Take a frame; yield it among the events that are due with it."""
        yield from self._due(2 * frame.number)
        yield frame
        yield from self._due(2 * frame.number + 1)

    def rest(self) -> Iterator[Event]:
        """Yield what is held: its frames will not come."""
        held, self._held = self._held, []
        return (event for _, event in held)

    def _hold(self, place: int, event: Event) -> Iterator[Event]:
        self._held.append((place, event))
        return self._due(self._reached) if self._has_frames else self.rest()

    def _due(self, place: int) -> Iterator[Event]:
        self._reached = place
        while self._held and self._held[0][0] <= place:
            yield self._held.pop(0)[1]
