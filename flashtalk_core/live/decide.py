"""What a live session draws next: a pure function of numbers.

Times are in frames of the video, so that nothing here knows a clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import require

MAX_LOOK_AHEAD = 25
"""Frames, a second."""
Idle = Literal["bank", "draw", "still"]
"""What is shown while nobody speaks: stored frames, chunks of silence, the portrait."""


@dataclass(frozen=True)
class ChunkCost:
    """A length of chunk that can be drawn, and how long it takes."""

    num_new: int
    """Frames it shows."""
    first_frames: float
    """Time until its first frame is there, in frames of the video."""
    all_frames: float
    """Time until its last frame is."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How a session is played; lengths are in frames."""

    idle: Idle = "bank"
    look_ahead: int = 0
    """Sound after a chunk's last frame that it is drawn with."""
    grace: int = 5
    """How long sound that stalls within an utterance is waited for."""
    slack: int = 2
    """How late a chunk that continues another may be expected: the clock's lead makes up for it."""
    settle: int = 7
    """Silence that is drawn at the end of speech, in which the mouth shuts and the fade lies."""
    fade: int = 5
    """Length of a fade into the idle frames."""
    ahead: int = 56
    """Most frames that are drawn and not shown."""

    def __post_init__(self) -> None:
        require(
            0 <= self.look_ahead <= MAX_LOOK_AHEAD,
            f"look-ahead {self.look_ahead}: use 0 to {MAX_LOOK_AHEAD} frames; each delays a "
            "microphone by 40 ms",
            subject="look_ahead",
        )


@dataclass(frozen=True, kw_only=True)
class View:
    """What decides; frames are numbers of the session."""

    playhead: int
    """The next frame that leaves the clock."""
    to_next: float = 0.0
    """Time until it leaves at the earliest."""
    drawn: int
    """Frame after the last that is drawn or being drawn; at least ``playhead``."""
    dry: int = 0
    """Frames since the last drawn one that the last picture was held for."""
    sound_stop: int
    """Frame after the last that has sound."""
    waiting: int = 0
    """Frames of sound that have no place yet."""
    is_waiting_whole: bool = False
    """Whether they are all there is of their utterance."""
    may_grow: bool = False
    """Whether sound that arrives goes on at ``sound_stop``."""
    quiet: float = 0.0
    """Time since sound arrived last."""
    is_resting: bool = False
    """Whether idle frames follow at ``drawn``."""
    is_stale: bool = False
    """Whether drawn frames speak what was cleared."""
    busy: Literal["", "speech", "silence"] = ""
    """What is being drawn."""
    reserve: int = 0
    """How much later than possible sound that arrives no faster than it is played begins, so that
    chunks of other sessions may come between its own."""
    costs: Sequence[ChunkCost]
    """Lengths that can be drawn, the shortest first."""


@dataclass(frozen=True)
class Draw:
    """Draw a chunk that shows frames from ``first`` on, in place of what is drawn there."""

    first: int
    num_new: int
    kind: Literal["start", "more", "silence"]
    """``start``: what waits for a place gets it at ``first``."""


@dataclass(frozen=True)
class Join:
    """Let what waits for a place follow the sound that has one; nothing is drawn."""


@dataclass(frozen=True)
class Rest:
    """Fade into the idle frames; nothing is drawn."""


@dataclass(frozen=True)
class Abort:
    """Give up the chunk of silence that is being drawn."""


@dataclass(frozen=True)
class Wait:
    """Do nothing until a frame leaves or sound arrives."""


Action = Draw | Join | Rest | Abort | Wait


def decide(view: View, policy: Policy) -> Action:
    """Return what to do now."""
    if view.waiting and view.sound_stop > view.drawn:
        return Join()
    if view.waiting:
        start = _start(view, policy)
        if start is not None:
            return _instead(view, start)
    if view.busy:
        return Wait()
    if view.is_stale:
        cost = view.costs[-1]
        return Draw(earliest(view, cost), cost.num_new, "silence")
    if view.sound_stop > view.drawn or view.may_grow:
        return _speak(view, policy)
    return _fall_silent(view, policy)


def _instead(view: View, start: Draw) -> Action:
    """Return how speech gets to begin: silence that is being drawn gives way, speech does not."""
    if view.busy:
        return Abort() if view.busy == "silence" else Wait()
    return start


def earliest(view: View, cost: ChunkCost) -> int:
    """Return the first frame that a chunk begun now can show when it is to leave."""
    return view.playhead + max(0, math.ceil(cost.first_frames - view.to_next))


def first_cost(costs: Sequence[ChunkCost]) -> ChunkCost:
    """Return the shortest chunk after which the first frame of the longest is there in time."""
    longest = costs[-1]
    return next(
        (
            cost
            for cost in costs
            if cost.all_frames + longest.first_frames <= cost.first_frames + cost.num_new
        ),
        longest,
    )


def _start(view: View, policy: Policy) -> Draw | None:
    """Return the first chunk of an utterance, or of the rest of a stalled one, if it can begin."""
    cost = first_cost(view.costs)
    has_all = view.is_waiting_whole or view.quiet >= policy.grace
    if not has_all and view.waiting - policy.look_ahead < cost.num_new:
        return None
    is_ahead = has_all or view.waiting >= 2 * cost.num_new
    reserve = 0 if is_ahead else view.reserve
    return Draw(max(earliest(view, cost) + reserve, view.sound_stop), cost.num_new, "start")


def _speak(view: View, policy: Policy) -> Action:
    """Go on with sound that has its place."""
    left = view.sound_stop - view.drawn
    ready = left - policy.look_ahead if view.may_grow else left
    longest = view.costs[-1]
    if view.drawn - view.playhead + longest.num_new > max(policy.ahead, longest.num_new):
        return Wait()
    if ready >= longest.num_new:
        return Draw(_next(view, policy, longest), longest.num_new, "more")
    if not view.may_grow:  # nothing follows: silence fills the chunk
        cost = _covering(view.costs, left + policy.settle)
        return Draw(_next(view, policy, cost), cost.num_new, "more")
    late = earliest(view, longest) - view.drawn + view.dry
    fitting = [cost for cost in view.costs if cost.num_new <= ready]
    if fitting and late >= policy.slack:
        return Draw(_next(view, policy, fitting[-1]), fitting[-1].num_new, "more")
    is_stalled = view.quiet >= policy.grace or late >= policy.slack + policy.grace
    if late < policy.slack or not is_stalled:
        return Wait()
    cost = _covering(view.costs, left + policy.settle)
    return Draw(_next(view, policy, cost), cost.num_new, "more" if left > 0 else "silence")


def _fall_silent(view: View, policy: Policy) -> Action:
    """Draw silence, or stop drawing."""
    longest = view.costs[-1]
    if policy.idle == "draw":
        # Enough is left for speech to begin in time after this chunk was given up for it.
        left = view.drawn - earliest(view, longest)
        if left > math.ceil(longest.first_frames) + policy.slack:
            return Wait()
        return Draw(_next(view, policy, longest), longest.num_new, "silence")
    if view.is_resting:
        return Wait()
    missing = policy.settle - (view.drawn - view.sound_stop)
    if missing <= 0:
        return Rest()
    cost = _covering(view.costs, missing)
    return Draw(_next(view, policy, cost), cost.num_new, "silence")


def _next(view: View, policy: Policy, cost: ChunkCost) -> int:
    """Return where a chunk continues what is drawn, or the frame that is due where it is late."""
    first = earliest(view, cost)
    return first if first > view.drawn + policy.slack else view.drawn


def _covering(costs: Sequence[ChunkCost], num_frames: int) -> ChunkCost:
    """Return the shortest chunk of at least so many frames, or the longest there is."""
    return next((cost for cost in costs if cost.num_new >= num_frames), costs[-1])
