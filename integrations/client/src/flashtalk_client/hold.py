"""A few frames in hand while there is speech, for whoever plays its sound."""

from __future__ import annotations

from collections.abc import Iterator

from .items import Frame, Idle, Item, Played, Speaking

HOLD_FRAMES = 2


class Hold:
    """Gathers frames before speech begins, and leaves as many out in the silence after it.

    Frames arrive as they are due, so without any in hand one that comes late is heard as a click;
    pictures that were gathered once and never left out would lag from then on.
    """

    def __init__(self, num_frames: int = HOLD_FRAMES) -> None:
        """Begin in silence; 40 ms a frame."""
        self._num_frames = num_frames
        self._held: list[Frame] = []
        self._is_silent = True
        self._num_to_hold = 0
        self._num_to_skip = 0

    def take(self, item: Item) -> Iterator[Item]:
        """Yield what is to be shown now; nothing is overtaken but frames by :class:`Speaking`."""
        if isinstance(item, Frame):
            if self._num_to_hold and item.is_speech:
                self._num_to_hold -= 1
                self._held.append(item)
                return
            if self._num_to_skip and not item.is_speech:
                self._num_to_skip -= 1
                return
            yield from self._release()
        elif isinstance(item, Speaking):
            yield from self._release()
            if self._is_silent:  # what was not left out yet is still in hand
                self._num_to_hold = self._num_frames - self._num_to_skip
            self._is_silent, self._num_to_skip = False, 0
        elif isinstance(item, Played | Idle):
            yield from self._release()
        if isinstance(item, Idle):
            self._is_silent = True
            self._num_to_skip = self._num_frames
        yield item

    def _release(self) -> Iterator[Item]:
        self._num_to_hold = 0
        held, self._held = self._held, []
        yield from held
