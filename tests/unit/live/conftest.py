"""A live session in virtual time with a lamp in the place of the model: as bright as it is loud."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.engine.state import FrameGroup, SessionState
from flashtalk_core.live.audio.sound import LiveSound
from flashtalk_core.live.chunks import live_chunk
from flashtalk_core.live.decide import ChunkCost, Policy
from flashtalk_core.live.engine import LiveEngine
from flashtalk_core.live.idle import IdleLoop
from flashtalk_core.live.session import LiveSession
from flashtalk_core.live.simulate import Simulation

RATE_HZ = 16_000
FRAME = RATE_HZ // 25
BANK = torch.arange(40, dtype=torch.uint8)[:, None, None, None].expand(-1, 2, 2, 3)
"""Idle frames, darker than any that speaks."""


def speech(num_frames, level=0.5):
    """Return frames of sound at one level, ``(1, n)``."""
    return np.full((1, num_frames * FRAME), level, np.float32)


class Lamp:
    """Draws frames as bright as their sound, 100 for silence."""

    def __init__(self, chunk, sound):
        self.chunk, self.sound, self.fingerprint = chunk, sound, "lamp"
        self.states = []

    def generate(self, span, state):
        self.states.append(state)
        samples = self.sound.read(span.window.start * FRAME, span.window.stop * FRAME)
        levels = samples.reshape(-1, FRAME)[span.audio_in_window][self.chunk.num_motion_frames :]
        bright = torch.from_numpy(100 + 100 * np.abs(levels).max(1)).to(torch.uint8)
        after = SessionState(state.chunk_index + 1, torch.zeros(1), "lamp")
        for first in range(0, len(bright), 4):
            frames = bright[first : first + 4, None, None, None].expand(-1, 2, 2, 3)
            yield FrameGroup(frames, after if first + 4 >= len(bright) else None)


@dataclass
class Recorder:
    """Keeps what left the clock."""

    shown: list = field(default_factory=list)
    times_s: list = field(default_factory=list)

    def show(self, shown, now_s):
        self.shown.append(shown)
        self.times_s.append(now_s)

    @property
    def brightness(self):
        return [int(one.picture[0, 0, 0]) for one in self.shown]

    @property
    def levels(self):
        return [float(np.abs(one.sound).max()) for one in self.shown]

    @property
    def played(self):
        return [played for one in self.shown for played in one.played]

    def first_lit(self, after=0):
        """Return the first frame that speaks."""
        return next(i for i, b in enumerate(self.brightness) if i >= after and b > 105)


class Rig:
    """Session, simulation and recorder; ``factor`` is the time of a chunk over its length."""

    def __init__(
        self, factor=0.5, *, first=0.88, lengths=(33,), idle="bank", policy=None, gate=None, steps=4
    ):
        self.policy = policy or Policy(idle=idle)
        chunks = [live_chunk(ChunkConfig(), n, self.policy.look_ahead) for n in lengths]
        self.sound = LiveSound(RATE_HZ, gate=gate)
        sources = {chunk.num_new_frames: Lamp(chunk, self.sound) for chunk in chunks}
        self.engine = LiveEngine(sources)
        costs = {n: ChunkCost(n, factor * n * first, factor * n) for n in sources}
        frames = BANK if self.policy.idle == "bank" else BANK[:1]
        self.session = LiveSession(
            self.sound, IdleLoop.of(frames), chunks, costs, self.policy, "lamp"
        )
        self.out = Recorder()
        self.run = Simulation(self.session, self.engine, self.out, steps=steps)

    def at(self, time_s, call, *arguments):
        self.run.at(time_s, lambda: call(*arguments))

    def say(self, time_s, num_frames, level=0.5, speed=None, end=True):
        """Push sound at a time, at once or at ``speed`` times real time in pieces of 20 ms."""
        samples, step = speech(num_frames, level), FRAME // 2
        if speed is None:
            self.at(time_s, self.session.push, samples)
        else:
            for start in range(0, samples.shape[1], step):
                arrives_s = time_s + (start + step) / RATE_HZ / speed
                self.at(arrives_s, self.session.push, samples[:, start : start + step])
            time_s += samples.shape[1] / RATE_HZ / speed
        if end:
            self.at(time_s, self.session.end)


@pytest.fixture
def rig():
    return Rig
