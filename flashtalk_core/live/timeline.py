"""What is drawn and not yet shown; all of it can be replaced until it leaves.

Axis legend: F frames, M motion frames, H W pixels; pictures are uint8, channel last.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from ..engine.state import SessionState
from ..media.pixels import to_model_range
from .idle import IdleLoop, blend


class Timeline:
    """Pictures by the number of their frame, idle ones where nothing was drawn."""

    def __init__(self, idle: IdleLoop, num_motion: int, fade: int) -> None:
        """Begin with idle frames at frame 0.

        Args:
            idle: What is shown while nothing is drawn.
            num_motion: M, pictures that a chunk continues.
            fade: Frames of a fade into the idle ones.
        """
        self._idle = idle
        self._num_motion = num_motion
        self._fade = fade
        self._drawn: dict[int, Tensor] = {}
        self._shown: deque[tuple[int, Tensor]] = deque(maxlen=max(num_motion, fade) + 1)
        self._rest: tuple[int, int | None] | None = (0, None)
        self._offset = 0
        self._state: tuple[int, SessionState] | None = None
        self.playhead = 0
        """The next frame that leaves."""
        self.stop = 0
        """Frame after the last drawn one."""

    @property
    def is_resting(self) -> bool:
        """Whether idle frames follow what is drawn, for as long as nothing else is."""
        return self._rest is not None and self._rest[1] is None

    @property
    def num_drawn(self) -> int:
        """Pictures that are held and were not shown."""
        return len(self._drawn)

    def has(self, frame: int) -> bool:
        """Return whether there is a picture for a frame that did not leave."""
        return frame in self._drawn or self._is_idle(frame)

    def take(self) -> tuple[Tensor, bool]:
        """Return the picture of the next frame, and whether the last one is held for want of it."""
        frame = self.playhead
        is_held = not self.has(frame)
        picture = self._picture(frame)
        self._drawn.pop(frame, None)
        self._shown.append((frame, picture))
        self.playhead += 1
        return picture, is_held

    def add(self, first: int, frames: Tensor) -> int:
        """Put ``(f, H, W, 3)`` at their place; return how many came too late."""
        late = 0
        for frame, picture in enumerate(frames, first):
            if frame < self.playhead:
                late += 1
            else:
                self._drawn[frame] = picture
                self.stop = max(self.stop, frame + 1)
        return late

    def keep_state(self, frame: int, state: SessionState) -> None:
        """Remember the state after a chunk whose last frame is before ``frame``."""
        self._state = frame, state

    def cut(self, at: int, chunk_index: int, fingerprint: str) -> SessionState:
        """Drop what is drawn from frame ``at`` on, and return the state a chunk goes on with there.

        It is the state that the last chunk ended with if that ended there, else made of the
        pictures before ``at``, whatever they are; where those are one still portrait, it is that
        of a first chunk.
        """
        kept = self._state
        is_whole = at == self.stop and kept is not None and kept[0] == at
        motion = [self._picture(frame) for frame in range(at - self._num_motion, at)]
        is_start = self._idle.is_still and all(self._is_portrait(one) for one in motion)
        self._drop_from(at)
        if self._rest is not None:
            start, stop = self._rest
            stop = at if stop is None else min(stop, at)
            self._rest = (start, stop) if start < stop else None
        if is_whole:
            assert kept is not None
            frames = kept[1].motion_frames
        else:
            frames = None if is_start else _motion_frames(motion)
        return SessionState(chunk_index, frames, fingerprint)

    def rest(self, at: int) -> None:
        """Fade into the idle frames from ``at`` on, or as soon as a frame has not left."""
        if self.is_resting:
            return
        at = max(at, self.playhead)
        if self._is_idle(at):  # a chunk was begun after it, and none of its frames was shown
            self._drop_from(at)
            assert self._rest is not None
            self._rest = self._rest[0], None
            return
        pictures = [self._picture(frame) for frame in range(at, at + self._fade)]
        self._drop_from(at)
        self._offset = self._idle.nearest(pictures[0]) - at
        stop = at + self._fade
        for step, picture in enumerate(pictures):
            share = (step + 1) / (self._fade + 1)
            idle = self._idle.at(at + step + self._offset)
            self._drawn[at + step] = blend(picture, idle, share)
        self.stop = max(at, stop)
        self._rest = stop, None

    def give_up(self) -> None:
        """Go on with idle frames that were to end where a chunk began of which nothing came."""
        if self._rest is not None and self.stop <= self.playhead:
            start, stop = self._rest
            if stop is not None and self.playhead <= stop:
                self._rest = start, None

    def _is_portrait(self, picture: Tensor) -> bool:
        return picture.data_ptr() == self._idle.frames.data_ptr()

    def _is_idle(self, frame: int) -> bool:
        if self._rest is None or frame in self._drawn:
            return False
        start, stop = self._rest
        return start <= frame and (stop is None or frame < stop)

    def _picture(self, frame: int) -> Tensor:
        """Return what was or will be shown at a frame: of those before the first, the first."""
        if frame < self.playhead:
            found = [picture for number, picture in self._shown if number <= frame]
            return found[-1] if found else self._oldest()
        while frame >= self.playhead:
            if frame in self._drawn:
                return self._drawn[frame]
            if self._is_idle(frame):
                return self._idle.at(frame + self._offset)
            frame -= 1
        return self._shown[-1][1] if self._shown else self._idle.at(0)

    def _oldest(self) -> Tensor:
        return self._shown[0][1] if self._shown else self._idle.at(0)

    def _drop_from(self, at: int) -> None:
        self._drawn = {frame: one for frame, one in self._drawn.items() if frame < at}
        self.stop = min(self.stop, max(at, self.playhead))
        self._state = None


def _motion_frames(pictures: list[Tensor]) -> Tensor:
    """Return pictures as motion frames, ``(1, 3, M, H, W)`` in ``[-1, 1]``."""
    return to_model_range(torch.stack(pictures)).permute(3, 0, 1, 2)[None].contiguous()
