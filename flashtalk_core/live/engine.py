"""What draws the chunks of a live session: networks of a plan, for chunks of several lengths.

Axis legend: F frames, H W pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ..config.chunk import ChunkConfig
from ..engine.events import NO_EVENTS, RenderEvents
from ..engine.plan import Engine, RenderPlan
from ..engine.state import ChunkSource, FrameGroup, SessionState
from ..geometry import span_at
from ..media.audio.source import SampleReader
from ..media.pixels import from_model_range
from .decide import ChunkCost, Policy
from .idle import IdleLoop, close_loop
from .session import Job

BANK_CHUNKS = 3
"""Chunks of silence that the idle frames are made of, more of short ones."""
_BANK_FRAMES = 24
"""Least that makes a loop with a fade in it."""
_BANK_INDEX = 2**31  # its noise is no chunk's of a session


class CancelledError(Exception):
    """A chunk was given up between two steps."""


@dataclass
class StepGuard:
    """Events of a render that stop it between two steps once its job is cancelled."""

    events: RenderEvents = NO_EVENTS
    job: Job | None = None
    """What is being drawn."""

    def loading(self, kind: type[nn.Module], /) -> object:
        """Pass on, and note it."""
        self.note_loading()
        return self.events.loading(kind)

    def note_loading(self) -> None:
        """Note that weights are read for what is drawn; for a host that hears of it first."""
        if self.job is not None:
            self.job.has_loaded = True

    def ready(self) -> object:
        """Pass on."""
        return self.events.ready()

    def step(self, step: int, /) -> object:
        """Stop, or pass on."""
        if self.job is not None and self.job.is_cancelled:
            raise CancelledError
        return self.events.step(step)

    def stage(self, name: str, /) -> object:
        """Pass on."""
        return self.events.stage(name)

    def frames(self, frames: Tensor, /) -> object:
        """Pass on."""
        return self.events.frames(frames)

    def state(self, state: SessionState, /) -> object:
        """Pass on."""
        return self.events.state(state)


@dataclass(frozen=True)
class LiveEngine:
    """Draws chunks of the lengths that it was opened with."""

    sources: Mapping[int, ChunkSource]
    """By new frames."""
    guard: StepGuard = field(default_factory=StepGuard)

    @property
    def chunks(self) -> list[ChunkConfig]:
        """Arithmetic of the lengths, the shortest first."""
        return [self.sources[num_new].chunk for num_new in sorted(self.sources)]

    @property
    def fingerprint(self) -> str:
        """Of the states."""
        return self.sources[max(self.sources)].fingerprint

    def draw(self, job: Job) -> Generator[FrameGroup, None, None]:
        """Yield the frames of a job, ``(f, H, W, 3)`` uint8; ends early once it is cancelled."""
        self.guard.job = job
        try:
            yield from self.sources[job.chunk.num_new_frames].generate(job.span, job.state)
        except CancelledError:
            return
        finally:
            self.guard.job = None


@contextmanager
def open_engine(
    engine: Engine,
    plan: RenderPlan,
    sound: SampleReader,
    chunks: Sequence[ChunkConfig],
    events: RenderEvents = NO_EVENTS,
    between: Callable[[], object] = lambda: None,
) -> Iterator[LiveEngine]:
    """Prepare a session for chunks of each length.

    Args:
        engine: Renders plans.
        plan: Of the portrait; its audio is a :class:`LiveSound`.
        sound: What the model hears.
        chunks: Of :func:`live_chunk`; several share what does not depend on their length.
        events: Receives the steps and stages of each chunk.
        between: Called after each length, once its portrait and prompt are encoded.
    """
    guard = StepGuard(events)
    with ExitStack() as stack:
        sources = {}
        for chunk in chunks:
            request = replace(plan.request, chunk=chunk)
            opened = engine.open(replace(plan, request=request), sound, guard)
            sources[chunk.num_new_frames] = stack.enter_context(opened)
            between()
        yield LiveEngine(sources, guard)


def portrait_of(plan: RenderPlan) -> Tensor:
    """Return the portrait as a picture of the video, ``(H, W, 3)`` uint8."""
    return from_model_range(plan.fitted_image()).permute(1, 2, 0).contiguous()


def prepare_idle(
    engine: LiveEngine,
    plan: RenderPlan,
    policy: Policy,
    clock_s: Callable[[], float] = time.monotonic,
    between: Callable[[], object] = lambda: None,
) -> tuple[IdleLoop, dict[int, ChunkCost]]:
    """Draw the idle frames, and measure what chunks cost while that is done.

    Args:
        engine: Draws.
        plan: Of the portrait.
        policy: Says what is shown in idle; all but ``bank`` start with the portrait.
        clock_s: Gives the time.
        between: Called after each chunk.

    Returns:
        The idle frames, and the cost of each length of chunk.
    """
    longest = max(engine.sources)
    drawn, costs = [], {}
    state, first = SessionState(_BANK_INDEX, None, engine.fingerprint), -_span_of(engine)
    for num_new in [longest] * (_num_idle_chunks(longest) if policy.idle == "bank" else 1):
        frames, state, cost = _draw_timed(engine, num_new, first, state, clock_s)
        drawn.append(frames)
        costs[num_new] = cost
        first += num_new
        between()
    for num_new in sorted(set(engine.sources)):
        if num_new != longest or policy.idle != "bank":  # the first one warmed up
            costs[num_new] = _draw_timed(engine, num_new, first, state, clock_s)[2]
            between()
    if policy.idle == "bank":
        return close_loop(torch.cat(drawn)), costs
    return IdleLoop.of(portrait_of(plan)[None]), costs


def _num_idle_chunks(num_new: int) -> int:
    return max(BANK_CHUNKS, -(-_BANK_FRAMES // num_new))


def _span_of(engine: LiveEngine) -> int:
    """Return how far before frame 0 the idle frames are drawn: where nobody ever speaks."""
    longest = max(engine.sources)
    return (_num_idle_chunks(longest) + 2) * longest


def _draw_timed(
    engine: LiveEngine,
    num_new: int,
    first: int,
    state: SessionState,
    clock_s: Callable[[], float],
) -> tuple[Tensor, SessionState, ChunkCost]:
    source = engine.sources[num_new]
    span = span_at(first, state.chunk_index, source.chunk)
    start_s = clock_s()
    first_s: float | None = None
    groups, after = [], state
    for group in source.generate(span, state):
        first_s = clock_s() - start_s if first_s is None else first_s
        groups.append(group.frames)
        after = group.state or after
    assert first_s is not None, "a chunk has frames"
    rate_hz = source.chunk.frame_rate_hz
    cost = ChunkCost(num_new, first_s * rate_hz, (clock_s() - start_s) * rate_hz)
    return torch.cat(groups), after, cost
