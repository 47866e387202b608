"""Live sessions on two processes: chunks of several lengths, several portraits at once."""

import os
import signal
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from flashtalk_core.engine.build import LocalEngine
from flashtalk_core.engine.state import SessionState
from flashtalk_core.errors import WorkerError
from flashtalk_core.geometry import span_at
from flashtalk_core.live.audio.sound import LiveSound
from flashtalk_core.live.chunks import live_chunks
from flashtalk_core.live.engine import open_engine
from flashtalk_core.live.session import Job
from flashtalk_core.media.audio.info import AudioInfo
from flashtalk_core.placement.residency import CachedNetworks

from .conftest import make_plan, rank_pid, render

pytestmark = pytest.mark.ranks

LENGTHS = (9, 17)
FRAMES = (12, 4, 12)
"""Chunks of a session, by new frames; none begins where a file's chunk of that index does."""


def live_plan(devices, seed=0):
    plan = make_plan(devices)
    sound = LiveSound(16_000, name="live")
    noise = np.random.default_rng(1).standard_normal((1, 40 * 640)).astype(np.float32)
    sound.push(0.1 * noise)
    sound.close()
    request = plan.request
    sampling = replace(request.sampling, seed=seed)
    speaker = replace(plan.speakers[0], audio=AudioInfo.growing(sound))
    return sound, replace(
        plan, request=replace(request, sampling=sampling), speakers=(speaker,), soundtrack=None
    )


class Session:
    """Draws chunk after chunk, the first from the portrait."""

    def __init__(self, stack, engine, plan, sound):
        sound.attach(3)
        chunks = live_chunks(plan.chunk, LENGTHS)
        self.engine = stack.enter_context(open_engine(engine, plan, sound, chunks))
        self.state = SessionState(0, None, self.engine.fingerprint)
        self.first, self.drawn = 3, []

    def draw(self, num_new, shift=0, stop=None):
        chunk = self.engine.sources[num_new].chunk
        span = span_at(self.first, self.state.chunk_index, chunk)
        window = range(span.window.start + shift, span.window.stop + shift)
        job = Job(replace(span, window=window), self.state, chunk, is_silent=False)
        for group in self.engine.draw(job):
            if stop is not None:
                stop(job)
                continue
            self.drawn.append(group.frames)
            self.state = group.state or self.state
        if stop is None:
            self.first += num_new

    @property
    def frames(self):
        return torch.cat(self.drawn)


@contextmanager
def opened(engine, devices, seeds=(0,)):
    with ExitStack() as stack:
        yield [
            Session(stack, engine, plan, sound)
            for sound, plan in (live_plan(devices, seed) for seed in seeds)
        ]


@pytest.fixture(scope="module")
def alone():
    """What one process draws with two seeds: frames, and the motion frames after them."""
    _, plan = live_plan(())
    engine = LocalEngine(CachedNetworks(plan.checkpoint, plan.placement))
    with opened(engine, (), (0, 7)) as sessions:
        for one in sessions:
            for number, num_new in enumerate(FRAMES):
                one.draw(num_new, shift=number)
        return [(one.frames, one.state.motion_frames) for one in sessions]


def check(session, expected):
    frames, motion = expected
    # 1e-5 a chunk, of which each goes on from the one before.
    assert (session.state.motion_frames - motion).abs().max() < 1e-5 * len(FRAMES)
    assert (session.frames.int() - frames.int()).abs().max() <= 1  # rounded to whole levels


def test_chunks_of_several_lengths_are_those_of_one_device(fleet, alone):
    with fleet.share() as engine, opened(engine, ("cpu", "cpu"), (0, 7)) as sessions:
        for number, num_new in enumerate(FRAMES):
            for one in sessions:
                one.draw(num_new, shift=number)
        for one, expected in zip(sessions, alone, strict=True):
            check(one, expected)
    assert fleet.is_running
    assert not torch.equal(sessions[0].frames, sessions[1].frames)


def test_a_chunk_that_is_given_up_leaves_the_session_as_it_was(fleet, alone):
    def give_up(job):
        job.is_cancelled = True

    with fleet.share() as engine, opened(engine, ("cpu", "cpu")) as (one,):
        one.draw(12, stop=give_up)
        for number, num_new in enumerate(FRAMES):
            one.draw(num_new, shift=number)
        check(one, alone[0])


def test_sessions_go_on_after_one_lost_the_processes(fleet, alone):
    with fleet.share() as engine, opened(engine, ("cpu", "cpu"), (0, 7)) as (one, other):
        one.draw(FRAMES[0])
        other.draw(FRAMES[0])
        os.kill(rank_pid(fleet, 1), signal.SIGKILL)
        with pytest.raises(WorkerError, match="was killed"):
            one.draw(FRAMES[1])
        for number, num_new in enumerate(FRAMES[1:], 1):
            other.draw(num_new, shift=number)
        check(other, alone[1])


def test_the_devices_of_live_sessions_render_nothing_else(fleet, plan):
    with fleet.share(), pytest.raises(WorkerError, match="another render runs on them"):
        render(plan, fleet)
