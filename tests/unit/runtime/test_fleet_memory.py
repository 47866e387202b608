"""What a fleet says of the memory of its devices; its processes are stand-ins with two GPUs."""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from flashtalk_core.engine.events import NO_EVENTS, EventHandlers
from flashtalk_core.engine.render import render_video
from flashtalk_core.errors import NoMemoryError
from flashtalk_core.media.audio.probe import AnalysisStream
from flashtalk_core.placement.memory_choice import PROCESS_BYTES
from flashtalk_core.runtime.fleet import Fleet
from flashtalk_core.runtime.messages import RankMemory, Ready
from flashtalk_core.stages.upscaling import UpscaleStage

from .conftest import Frames

pytestmark = pytest.mark.cpu


class Workers:
    """Two ranks that answer every command at once; :class:`.messages.Workers`."""

    free_bytes = 10**9
    held_bytes = 0

    def __init__(self, devices, _limits):
        self.is_running = True
        self.ready = {
            rank: Ready(
                rank=rank, pid=0, device=name, free_bytes=self.free_bytes,
                total_bytes=10**9, versions=(),
            )
            for rank, name in enumerate(devices)
        }  # fmt: skip

    @property
    def memory(self):
        found = RankMemory(free_bytes=self.free_bytes, held_bytes=self.held_bytes)
        return dict.fromkeys(self.ready, found)

    def share_frames(self, _chunk, _size_px):
        return None

    def free_frames(self):
        pass

    def run(self, _make, _blobs=(), _limit_s=None):
        return iter(())

    def run_quietly(self, _make):
        pass

    def settle(self):
        pass

    def close(self):
        self.is_running = False

    kill = close


@pytest.fixture
def workers():
    """The class of the processes, for one test."""
    return type("Workers", (Workers,), {})


@pytest.fixture
def fleet(workers):
    fleet = Fleet(("cpu", "cpu"), start=workers)
    yield fleet
    fleet.close()


def with_peak(plan, peak_bytes):
    """Return a plan that takes so much of each device."""
    memory = replace(plan.placement.memory, peak_bytes=peak_bytes)
    return replace(plan, placement=replace(plan.placement, memory=memory))


def open_session(fleet, plan):
    return fleet.open(plan, AnalysisStream(plan.audio, plan.chunk.sample_rate_hz), NO_EVENTS)


def test_devices_with_too_little_memory_are_looked_at_again_by_the_next_render(
    fleet, workers, plan
):
    plan = with_peak(plan, 2 * 10**9)
    for _ in range(2):
        with pytest.raises(NoMemoryError, match=r"1\.0 GB are free"), open_session(fleet, plan):
            pass
        assert not fleet.is_running
    workers.free_bytes = 3 * 10**9
    with open_session(fleet, plan):
        assert fleet.is_running


def test_the_memory_of_a_running_fleet_is_looked_at_by_each_render(fleet, workers, plan):
    """What its processes hold serves the next render; kernels that they loaded are no shortage."""
    with open_session(fleet, with_peak(plan, 10**9)):
        pass
    workers.free_bytes, workers.held_bytes = 2 * 10**9, 5 * 10**9
    with open_session(fleet, with_peak(plan, 7 * 10**9 + PROCESS_BYTES)):
        pass
    with pytest.raises(NoMemoryError) as caught, open_session(fleet, with_peak(plan, 9 * 10**9)):
        pass
    assert str(caught.value) == (
        "cpu (rank 0): 2.0 GB are free, 5.0 GB it holds, and a render takes up to 9.0 GB on each "
        "device; free some, use float8 or offload, or leave it out"
    )
    assert fleet.holds_weights
    workers.free_bytes = 4 * 10**9
    with open_session(fleet, with_peak(plan, 9 * 10**9)):
        pass


def test_a_fleet_holds_weights_from_a_session_until_they_are_freed(fleet, plan):
    def render():
        with open_session(fleet, plan):
            assert fleet.holds_weights

    assert not fleet.holds_weights
    for end in (fleet.release, fleet.close, lambda: fleet._processes.kill()):
        render()
        assert fleet.holds_weights
        end()
        assert not fleet.holds_weights


def test_what_a_fleet_takes_is_of_the_largest_session_since_it_holds_weights(fleet, plan):
    assert fleet.peak_bytes == 0
    for peak_bytes, largest in ((5, 5), (9, 9), (7, 9)):
        with open_session(fleet, with_peak(plan, peak_bytes)):
            assert fleet.peak_bytes == PROCESS_BYTES + largest
    fleet.release()
    assert fleet.peak_bytes == PROCESS_BYTES


def test_a_fleet_that_ran_out_of_memory_holds_no_weights(fleet, plan):
    with pytest.raises(NoMemoryError), open_session(fleet, plan):
        raise NoMemoryError("out of memory")
    assert (fleet.is_running, fleet.holds_weights) == (True, False)


def test_processes_that_are_started_again_hold_no_weights_yet(fleet, plan):
    with open_session(fleet, plan):
        pass
    fleet._processes.kill()
    with pytest.raises(NoMemoryError), open_session(fleet, with_peak(plan, 2 * 10**9)):
        pass
    assert not fleet.holds_weights


@dataclass(frozen=True)
class Upscaler:
    """A network of this process on the first GPU, with 3 GB of weights."""

    workers: Any
    identity: str = "none"
    scale: int = 2
    weight_bytes: int = 3 * 10**9

    @contextmanager
    def opened(self):
        self.workers.free_bytes -= self.weight_bytes
        yield None
        self.workers.free_bytes += self.weight_bytes


class OpenedError(Exception):
    """Ends a render that was about to begin."""


def test_a_frame_stage_takes_its_memory_once(fleet, workers, plan):
    """The plan counts it, so it is not to be missing already where the plan is held to memory."""
    workers.free_bytes = 10 * 10**9
    plan = replace(with_peak(plan, 9 * 10**9), stage=UpscaleStage(Upscaler(workers)))

    def begin():
        assert workers.free_bytes == 7 * 10**9
        raise OpenedError

    for _ in range(2):  # with processes that start, and with those that run
        with pytest.raises(OpenedError):
            render_video(plan, Frames(), fleet, events=EventHandlers(ready=begin))
    assert workers.free_bytes == 10 * 10**9
