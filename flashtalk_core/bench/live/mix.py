"""Sessions of agents that share one device, in virtual time with declared costs of chunks."""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np
import torch

from ...config.chunk import ChunkConfig
from ...engine.state import FrameGroup, SessionState
from ...errors import require
from ...live.audio.sound import LiveSound
from ...live.chunks import live_chunks
from ...live.clock import LEAD_S
from ...live.decide import ChunkCost, Policy
from ...live.idle import IdleLoop
from ...live.scheduler import num_speakers
from ...live.session import Job, LiveSession
from ...live.shown import Shown
from ...live.simulate import Simulation

_RATE_HZ = 16_000
_PIECE_S = 0.1
_GROUP_FRAMES = 4
_SIZE_PX = (2, 2)
_SPEED = 5.0
"""Seconds of speech that an agent sends in a second."""
_SPEECH_S = (1.0, 8.0)
_PAUSE_S = (2.0, 10.0)
_INTERRUPTED = 0.2
"""Share of utterances that somebody interrupts."""
_LEAD_IN_S = 1.0


@dataclass(frozen=True, kw_only=True)
class MixBench:
    """What is simulated."""

    num_frames: int
    """Of a chunk, motion frames included."""
    chunk_s: float
    """Time of a chunk."""
    first_s: float
    """Time to its first frames."""
    sessions: int
    minutes: float
    capacity: int | None = None
    """Sessions that may speak at a time; ``None`` is what the server would allow."""
    seed: int = 0


@dataclass(frozen=True)
class MixRow:
    """What became of the sessions; seconds."""

    sessions: int
    capacity: int
    utterances: int
    load: float
    """Share of the time in which chunks were drawn."""
    speaking: float
    """Sessions that spoke, on average."""
    response_median_s: float
    """From the first sound of an utterance to when its first frame is due."""
    response_95_s: float
    response_max_s: float
    clears: int
    clear_max_s: float
    """From an interruption to the end of the last frame of speech."""
    held_frames: int


@dataclass
class _Agent:
    """One session whose agent speaks, waits until it was heard, and pauses."""

    session: LiveSession
    draw: random.Random
    run: Simulation | None = None
    said_s: dict[int, float] = field(default_factory=dict)
    """When each utterance began to arrive."""
    responses_s: list[float] = field(default_factory=list)
    clears_s: list[float] = field(default_factory=list)
    num_speaking: int = 0
    _last: int = 0

    def show(self, shown: Shown, now_s: float) -> None:
        """Take a frame; see ``LiveSink``."""
        if shown.utterance is not None:
            self.num_speaking += 1
            if shown.utterance > self._last:
                self._last = shown.utterance
                due_s = shown.frame / self.session.chunks[0].frame_rate_hz
                self.responses_s.append(due_s - self.said_s[shown.utterance])
        if shown.played:
            self.speak(now_s + self.draw.uniform(*_PAUSE_S))

    def speak(self, time_s: float) -> None:
        """Send an utterance from a time on; somebody may interrupt it."""
        assert self.run is not None
        speech_s = self.draw.uniform(*_SPEECH_S)
        num_pieces = round(speech_s / _PIECE_S)
        for number in range(1, num_pieces + 1):
            self.run.at(time_s + number * _PIECE_S / _SPEED, self._push)
        self.run.at(time_s + num_pieces * _PIECE_S / _SPEED, self.session.end)
        if self.draw.random() < _INTERRUPTED:
            self.run.at(time_s + 0.5 + self.draw.uniform(0.3, 1) * speech_s, self._clear)

    def _push(self) -> None:
        assert self.run is not None
        self.session.push(np.full((1, round(_PIECE_S * _RATE_HZ)), 0.1, np.float32))
        self.said_s.setdefault(self.session.sound.last_number, self.run.now_s)

    def _clear(self) -> None:
        assert self.run is not None
        if self.session.sound.speaking is None:
            return
        due_s = self.session.playhead / self.session.chunks[0].frame_rate_hz
        self.clears_s.append(max(0.0, due_s - self.run.now_s))
        self.session.clear()


class _Blank:
    """Draws empty frames."""

    def draw(self, job: Job) -> Generator[FrameGroup, None, None]:
        """Yield the frames of a job."""
        left = len(job.span.shown)
        state = SessionState(job.state.chunk_index + 1, torch.zeros(1), "")
        while left:
            num = min(_GROUP_FRAMES, left)
            left -= num
            frames = torch.zeros(num, *_SIZE_PX, 3, dtype=torch.uint8)
            yield FrameGroup(frames, None if left else state)


def simulate_mix(bench: MixBench) -> MixRow:
    """Let agents speak, pause and be interrupted at random, and return what became of it.

    Raises:
        InvalidInputError: If there are no chunks of such a length, or nobody was answered.
    """
    (chunk,) = live_chunks(ChunkConfig(), [bench.num_frames])
    num_new, rate_hz = chunk.num_new_frames, chunk.frame_rate_hz
    factor = bench.chunk_s * rate_hz / num_new
    capacity = bench.capacity or max(1, num_speakers(factor))
    cost = ChunkCost(num_new, bench.first_s * rate_hz, bench.chunk_s * rate_hz)
    idle = IdleLoop.of(torch.zeros(40, *_SIZE_PX, 3, dtype=torch.uint8))
    agents = [
        _Agent(
            LiveSession(LiveSound(_RATE_HZ), idle, [chunk], {num_new: cost}, Policy()),
            random.Random(bench.seed + number),
        )
        for number in range(bench.sessions)
    ]
    drawer = _Blank()
    run = Simulation(agents[0].session, drawer, agents[0], capacity=capacity)
    for agent in agents[1:]:
        run.add(agent.session, drawer, agent)
    for agent in agents:
        agent.run = run
        agent.speak(_LEAD_IN_S + agent.draw.uniform(0, _PAUSE_S[1]))
    until_s = 60 * bench.minutes
    run.run(until_s)
    return _row(bench, capacity, agents, until_s)


def _row(bench: MixBench, capacity: int, agents: list[_Agent], until_s: float) -> MixRow:
    responses = [one for agent in agents for one in agent.responses_s]
    clears = [one for agent in agents for one in agent.clears_s]
    chunks = sum(agent.session.counts.chunks for agent in agents)
    rate_hz = agents[0].session.chunks[0].frame_rate_hz
    require(
        bool(responses),
        f"chunks of {1000 * bench.chunk_s:g} ms: nobody was answered in {bench.minutes:g} minutes; "
        "use a smaller --chunk-ms, or more --minutes",
    )
    at = [float(one) for one in np.quantile(responses, (0.5, 0.95, 1), method="higher")]
    return MixRow(
        sessions=bench.sessions,
        capacity=capacity,
        utterances=len(responses),
        load=round(chunks * bench.chunk_s / until_s, 2),
        speaking=round(sum(agent.num_speaking for agent in agents) / rate_hz / until_s, 2),
        response_median_s=round(at[0], 2),
        response_95_s=round(at[1], 2),
        response_max_s=round(at[2], 2),
        clears=len(clears),
        clear_max_s=round(max(clears, default=LEAD_S), 3),
        held_frames=sum(agent.session.counts.held for agent in agents),
    )
