"""A session in real time: threads, failures, and chunks that are given up between steps."""

import threading
import time

import pytest
import torch

from flashtalk_core.engine.state import FrameGroup, SessionState
from flashtalk_core.live.clock import LEAD_S
from flashtalk_core.live.engine import CancelledError, LiveEngine, StepGuard
from flashtalk_core.live.realtime import run_live
from tests.unit.live.conftest import speech

pytestmark = pytest.mark.cpu


class Slow:
    """Takes its time for each step and each group of frames."""

    def __init__(self, lamp, guard, step_s):
        self.chunk, self.fingerprint = lamp.chunk, lamp.fingerprint
        self.lamp, self.guard, self.step_s = lamp, guard, step_s
        self.steps = []

    def generate(self, span, state):
        for step in range(4):
            self.guard.step(step)
            self.steps.append((span.shown.start, step))
            time.sleep(self.step_s)
        yield from self.lamp.generate(span, state)


class Until:
    """A sink that stops the session after so many frames."""

    def __init__(self, out, stop, count):
        self.out, self.stop, self.count = out, stop, count

    def show(self, shown, now_s):
        self.out.show(shown, now_s)
        if len(self.out.shown) >= self.count:
            self.stop.set()


def start(run, stop, count, step_s=0.01):
    guard = StepGuard()
    slow = {n: Slow(lamp, guard, step_s) for n, lamp in run.engine.sources.items()}
    return LiveEngine(slow, guard), Until(run.out, stop, count)


def test_frames_leave_in_time_and_what_is_said_meanwhile_is_shown(rig):
    run, stop = rig(0.2), threading.Event()
    engine, sink = start(run, stop, 75)

    def talk():
        time.sleep(0.5)
        run.session.push(speech(35))
        run.session.end()

    talker = threading.Thread(target=talk)
    talker.start()
    run_live(run.session, engine, sink, stop)
    talker.join()
    assert [one.frame for one in run.out.shown] == list(range(len(run.out.shown)))
    early = [frame / 25 - time_s for frame, time_s in enumerate(run.out.times_s)]
    assert max(early) <= LEAD_S + 1e-3
    assert sum(one.utterance == 1 for one in run.out.shown) == 35
    assert [(p.utterance, float(p.seconds)) for p in run.out.played] == [(1, 1.4)]
    spoken = [i for i, one in enumerate(run.out.shown) if one.utterance and not one.is_held]
    assert {run.out.brightness[i] for i in spoken} == {150}
    assert all(not thread.name.startswith("live-") for thread in threading.enumerate())


def test_a_chunk_that_is_cleared_is_given_up_at_its_next_step(rig):
    run, stop = rig(0.5), threading.Event()
    engine, sink = start(run, stop, 40, step_s=0.2)
    source = engine.sources[28]

    def talk():
        run.session.push(speech(35))
        while not source.steps:
            time.sleep(0.01)
        run.session.clear()

    talker = threading.Thread(target=talk)
    talker.start()
    run_live(run.session, engine, sink, stop)
    talker.join()
    assert len(source.steps) == 1
    assert run.session.counts.cancelled_chunks == 1
    assert [(p.utterance, p.seconds, p.interrupted) for p in run.out.played] == [(1, 0, True)]


def test_the_guard_stops_a_cancelled_job_only(rig):
    guard = StepGuard()
    guard.step(0)
    run = rig()
    run.session.push(speech(40))
    guard.job = run.session.next_job()
    guard.step(1)
    run.session.clear()
    with pytest.raises(CancelledError):
        guard.step(2)


def test_costs_follow_what_chunks_take(rig):
    run, stop = rig(0.9), threading.Event()
    engine, sink = start(run, stop, 100, step_s=0.005)
    before = run.session.costs[28].all_frames
    run.session.push(speech(90))
    run.session.end()
    run_live(run.session, engine, sink, stop)
    assert run.session.costs[28].all_frames < before


def test_a_chunk_that_weights_were_read_for_says_nothing_of_others(rig):
    run, stop = rig(0.2), threading.Event()
    engine, sink = start(run, stop, 75, step_s=0.001)
    before = run.session.costs[28]

    class Unloaded(Slow):
        def generate(self, span, state):
            if not self.steps:
                self.guard.loading(torch.nn.Linear)
                time.sleep(0.6)
            yield from super().generate(span, state)

    slow = engine.sources[28]
    engine = LiveEngine({28: Unloaded(slow.lamp, slow.guard, 0.001)}, slow.guard)
    run.session.push(speech(28))
    run.session.end()
    run_live(run.session, engine, sink, stop)
    assert run.session.counts.chunks > 1
    assert run.session.costs[28].all_frames < before.all_frames


@pytest.mark.parametrize("where", ["drawing", "sink"])
def test_what_fails_ends_the_session_and_is_raised(rig, where):
    run, stop = rig(0.5), threading.Event()
    engine, sink = start(run, stop, 100)

    class Broken:
        chunk, fingerprint = run.session.chunks[0], "lamp"

        def generate(self, span, state):
            yield FrameGroup(torch.zeros(4, 2, 2, 3, dtype=torch.uint8), SessionState())
            raise RuntimeError("drawing")

        def show(self, shown, now_s):
            if shown.frame > 3:
                raise RuntimeError("sink")

    if where == "drawing":
        engine = LiveEngine({28: Broken()})
    else:
        sink = Broken()
    run.session.push(speech(40))
    with pytest.raises(RuntimeError, match=where):
        run_live(run.session, engine, sink, stop)
    assert stop.is_set()
    assert all(not thread.name.startswith("live-") for thread in threading.enumerate())
