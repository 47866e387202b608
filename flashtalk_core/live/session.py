"""A live session: what was said and drawn, without a clock and without threads of its own.

Axis legend: C channels, n samples, f frames of one decoded group, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from threading import Condition
from typing import Literal, Protocol

from torch import Tensor

from ..config.chunk import ChunkConfig
from ..engine.state import FrameGroup, SessionState
from ..geometry import ChunkSpan, span_at
from ..media.audio.source import Block
from .audio.sound import LiveSound
from .decide import Abort, ChunkCost, Draw, Join, Policy, Rest, View, decide
from .idle import IdleLoop
from .shown import Shown
from .timeline import Timeline

_SHORT_FRAMES = 16
"""New frames of a chunk that is much shorter than those of training."""
_EDGE_FRAMES = 2
"""At the end of what is heard, where lips are worse."""


@dataclass(eq=False)
class Job:
    """A chunk that is being drawn; whoever draws it gives it up once it is cancelled."""

    span: ChunkSpan
    state: SessionState
    chunk: ChunkConfig
    is_silent: bool
    is_cancelled: bool = False
    num_added: int = 0
    """Frames that were drawn so far."""
    has_loaded: bool = False
    """Whether weights were read for it, so that others take less time."""


class Drawer(Protocol):
    """Draws jobs."""

    def draw(self, job: Job) -> Generator[FrameGroup, None, None]:
        """Yield the frames of a job; see :meth:`LiveEngine.draw`."""
        ...


@dataclass
class Counts:
    """What happened in a session."""

    frames: int = 0
    held: int = 0
    """Frames that showed the last picture again."""
    late: int = 0
    """Frames that were drawn and came after their time."""
    chunks: int = 0
    silent_chunks: int = 0
    cancelled_chunks: int = 0


@dataclass(eq=False)
class LiveSession:
    """Sound and clears in, jobs for whoever draws, frames for the clock; any thread."""

    sound: LiveSound
    idle: IdleLoop
    chunks: Sequence[ChunkConfig]
    """Lengths of chunk that can be drawn, the shortest first; the same motion frames."""
    costs: dict[int, ChunkCost]
    """By new frames; whoever draws keeps them up to date with :meth:`note_cost`."""
    policy: Policy = field(default_factory=Policy)
    fingerprint: str = ""
    """Of the states of the session."""
    counts: Counts = field(default_factory=Counts)
    changed: Condition = field(init=False)
    """Notified when sound arrives, a frame leaves or is added, or something is cleared."""
    on_change: Callable[[], object] = field(default=lambda: None)
    """Called at the same moments, with the lock held: of one who waits for several sessions."""

    def __post_init__(self) -> None:
        self.changed = Condition(self.sound.lock)
        self._chunks = {chunk.num_new_frames: chunk for chunk in self.chunks}
        self._timeline = Timeline(self.idle, self.chunks[0].num_motion_frames, self.policy.fade)
        self._job: Job | None = None
        self._is_stale = False
        self._num_pushes = 0
        self._pushed_at = 0
        self._waits_from: int | None = None

    # Whoever speaks

    def push(self, samples: Block, utterance: int | None = None) -> None:
        """Append sound; see :meth:`LiveSound.push`."""
        with self.changed:
            self.sound.push(samples, utterance)
            if self.sound.num_pushes != self._num_pushes:
                self._num_pushes, self._pushed_at = self.sound.num_pushes, self._timeline.playhead
            self._interrupt_silence()
            self._notify()

    def end(self) -> None:
        """End the utterance; see :meth:`LiveSound.end`."""
        with self.changed:
            self.sound.end()
            self._interrupt_silence()
            self._notify()

    def clear(self) -> None:
        """Stop speaking: nothing of any utterance leaves after this.

        Sound stops with the next frame, within 5 ms. The pictures fade into the idle frames, or,
        where idle is drawn, silence is drawn from the first frame on that can be there. Each
        utterance that had not left whole is reported by the next :class:`Shown`.
        """
        with self.changed:
            was_speaking = self.sound.speaking is not None
            self.sound.clear(self._timeline.playhead)
            if was_speaking or (self._job is not None and not self._job.is_silent):
                self._cancel()
                if self.policy.idle == "draw":
                    self._is_stale = not self._timeline.is_resting
                else:
                    self._timeline.rest(self._timeline.playhead)
            self._notify()

    # Whoever draws

    @property
    def waits_from(self) -> int:
        """The frame that was to leave next when sound began to wait for a place; now if none."""
        with self.changed:
            return self._timeline.playhead if self._waits_from is None else self._waits_from

    def next_draw(
        self, to_next: float = 0.0, reserve: int = 0, *, may_start: bool = True
    ) -> Draw | None:
        """Return what is to be drawn now, or ``None``; nothing is begun.

        Args:
            to_next: Time until the next frame leaves, in frames.
            reserve: See :class:`View`.
            may_start: Whether an utterance may begin.
        """
        with self.changed:
            found = self._find_draw(to_next, reserve)
            if found is None or (found[0].kind == "start" and not may_start):
                return None
            return found[0]

    def next_job(self, to_next: float = 0.0, reserve: int = 0) -> Job | None:
        """Return the chunk to draw now, or ``None``; one at a time.

        Args:
            to_next: Time until the next frame leaves, in frames.
            reserve: See :class:`View`.
        """
        with self.changed:
            found = self._find_draw(to_next, reserve)
            return None if found is None else self._begin(*found)

    def add(self, job: Job, frames: Tensor, state: SessionState | None = None) -> bool:
        """Take the next frames of a job.

        Args:
            job: Of :meth:`next_job`.
            frames: ``(f, H, W, 3)`` uint8.
            state: The state after the chunk, with its last frames.

        Returns:
            Whether the job goes on; ``False`` once it is cancelled or whole.
        """
        with self.changed:
            if job.is_cancelled:
                return False
            first = job.span.shown.start + job.num_added
            job.num_added += len(frames)
            self.counts.late += self._timeline.add(first, frames)
            is_whole = job.num_added >= len(job.span.shown)
            if is_whole:
                assert state is not None, "a whole chunk ends with its state"
                self._timeline.keep_state(job.span.shown.stop, state)
                self._job = None
            self._notify()
            return not is_whole

    def give_up(self, job: Job) -> None:
        """End a job that is not drawn further, because it was cancelled or failed."""
        with self.changed:
            if self._job is job:
                self._cancel()

    def cancel(self) -> None:
        """Give up the chunk that is being drawn."""
        with self.changed:
            self._cancel()
            self._notify()

    def wake(self) -> None:
        """Let those who wait for the session look again."""
        with self.changed:
            self._notify()

    def note_cost(self, cost: ChunkCost) -> None:
        """Remember how long a chunk took: at once if longer than expected, else by and by.

        At most twice what was expected: a single chunk that something held up says little of the
        next one, and an utterance begins as much later as chunks are expected to take.
        """
        with self.changed:
            old = self.costs[cost.num_new]
            first = _expected(old.first_frames, cost.first_frames)
            whole = _expected(old.all_frames, cost.all_frames)
            self.costs[cost.num_new] = replace(old, first_frames=first, all_frames=whole)

    # The clock

    @property
    def playhead(self) -> int:
        """The next frame that leaves."""
        return self._timeline.playhead

    @property
    def num_drawn(self) -> int:
        """Pictures that are held and were not shown."""
        return self._timeline.num_drawn

    @property
    def is_speaking(self) -> bool:
        """Whether sound has a place that did not leave yet, or may get one there."""
        with self.changed:
            return self.sound.stop > self._timeline.playhead or self.sound.may_grow

    def is_ready(self) -> bool:
        """Return whether the next frame has its picture."""
        with self.changed:
            return self._timeline.has(self._timeline.playhead)

    def leave(self) -> Shown:
        """Return the next frame, the last picture again if its own is not there."""
        with self.changed:
            frame = self._timeline.playhead
            utterance = self.sound.at(frame)
            sound = self.sound.leave(frame)
            picture, is_held = self._timeline.take()
            self.counts.frames += 1
            self.counts.held += is_held
            played = tuple(self.sound.take_played())
            self._interrupt_silence()
            self._notify()
            return Shown(frame, picture, sound, utterance, is_held, played)

    # Parts

    def _notify(self) -> None:
        self._note_waiting()
        self.changed.notify_all()
        self.on_change()

    def _note_waiting(self) -> None:
        if not self.sound.waiting_frames:
            self._waits_from = None
        elif self._waits_from is None:
            self._waits_from = self._timeline.playhead

    def _find_draw(self, to_next: float, reserve: int) -> tuple[Draw, View] | None:
        """Decide until there is something to draw, or nothing."""
        if self._job is not None:
            return None
        while True:
            view = self._view(to_next, reserve)
            action = decide(view, self.policy)
            if isinstance(action, Join):
                self.sound.attach(self.sound.stop)
                self._note_waiting()
                continue
            if isinstance(action, Rest):
                self._timeline.rest(view.drawn - self.policy.fade)
            return (action, view) if isinstance(action, Draw) else None

    def _view(self, to_next: float, reserve: int = 0) -> View:
        timeline, sound, job = self._timeline, self.sound, self._job
        drawn = max(timeline.stop, timeline.playhead, 0 if job is None else job.span.shown.stop)
        return View(
            playhead=timeline.playhead,
            to_next=to_next,
            drawn=drawn,
            dry=0 if timeline.is_resting else max(0, drawn - timeline.stop),
            sound_stop=sound.stop,
            waiting=sound.waiting_frames,
            is_waiting_whole=sound.is_waiting_whole,
            may_grow=sound.may_grow,
            quiet=timeline.playhead - self._pushed_at,
            is_resting=timeline.is_resting,
            is_stale=self._is_stale,
            busy=_busy(job),
            reserve=reserve,
            costs=[self.costs[num_new] for num_new in sorted(self._chunks)],
        )

    def _begin(self, action: Draw, view: View) -> Job:
        if action.kind == "start":
            if action.first > view.drawn and self.policy.idle != "draw":
                # In the silence before it idle frames are better than a picture that is held.
                self._timeline.rest(max(view.sound_stop, view.drawn - self.policy.fade))
            self.sound.attach(action.first)
            self._note_waiting()
        chunk = self._chunks[action.num_new]
        index = self.counts.chunks
        state = self._timeline.cut(action.first, index, self.fingerprint)
        span = self._with_what_follows(span_at(action.first, index, chunk))
        if self.sound.stop < span.shown.stop:
            self.sound.detach()
        self._is_stale = False
        self.counts.chunks += 1
        is_silent = action.kind == "silence"
        self.counts.silent_chunks += is_silent
        self._job = Job(span, state, chunk, is_silent)
        return self._job

    def _with_what_follows(self, span: ChunkSpan) -> ChunkSpan:
        """Let a short chunk hear what is known after it, where nobody has to wait for that.

        Its last frames are a large part of it, and they are heard worse where nothing follows.
        """
        if len(span.shown) > _SHORT_FRAMES:
            return span
        known = self.sound.stop - span.shown.stop if self.sound.may_grow else _EDGE_FRAMES
        shift = max(0, min(_EDGE_FRAMES, known) - self.policy.look_ahead)
        window = range(span.window.start + shift, span.window.stop + shift)
        return replace(span, window=window)

    def _interrupt_silence(self) -> None:
        """Give up a chunk of silence where speech can begin instead."""
        if _busy(self._job) == "silence" and isinstance(
            decide(self._view(0.0), self.policy), Abort
        ):
            self._cancel()

    def _cancel(self) -> None:
        if self._job is not None:
            self._job.is_cancelled = True
            self._job = None
            self._timeline.give_up()
            self.counts.cancelled_chunks += 1


def _expected(before: float, took: float) -> float:
    return min(2 * before, max(took, 0.8 * before + 0.2 * took))


def _busy(job: Job | None) -> Literal["", "speech", "silence"]:
    if job is None:
        return ""
    return "silence" if job.is_silent else "speech"
