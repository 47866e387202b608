"""Idle timers and renders that begin at the same time; without processes."""

import weakref
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from flashtalk_core.errors import WorkerError
from flashtalk_core.runtime import fleet as fleet_module
from flashtalk_core.runtime.fleet import Fleet
from flashtalk_core.runtime.idle import _on_idle

pytestmark = pytest.mark.cpu


class SlowWorkers:
    """Takes as long to free weights, or to end, as the test wants."""

    def __init__(self):
        self.is_running = True
        self.begun, self.may_end = Event(), Event()

    def settle(self):
        self.begun.set()
        assert self.may_end.wait(20)

    def run_quietly(self, make):
        pass

    def free_frames(self):
        pass

    def close(self):
        self.settle()
        self.is_running = False


@pytest.fixture
def workers():
    workers = SlowWorkers()
    yield workers
    workers.may_end.set()


@pytest.fixture
def fleet(workers):
    fleet = Fleet(("cpu", "cpu"))
    fleet._processes = workers
    fleet._finalizer = workers.close
    yield fleet
    fleet._idle.stop()


@contextmanager
def idle_thread(fleet, end):
    thread = Thread(target=_on_idle, args=(weakref.ref(fleet), end))
    thread.start()
    yield thread
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("end", [False, True])
def test_a_timer_that_fires_when_a_render_has_begun_does_nothing(fleet, workers, end):
    with fleet._busy():
        _on_idle(weakref.ref(fleet), end)
        assert not workers.begun.is_set()
        assert fleet.is_running


@pytest.mark.parametrize("end", [False, True])
def test_a_render_waits_until_weights_are_freed_or_processes_ended(fleet, workers, end):
    with idle_thread(fleet, end):
        assert workers.begun.wait(20)
        rendered = Event()

        def render():
            with fleet._busy():
                rendered.set()

        thread = Thread(target=render)
        thread.start()
        assert not rendered.wait(0.3)
        workers.may_end.set()
        assert rendered.wait(20)
        thread.join(20)
    assert fleet.is_running is not end


def test_a_render_waits_for_weights_no_longer_than_the_limit(fleet, workers, monkeypatch):
    monkeypatch.setattr(fleet_module, "RELEASE_S", 0.2)
    with idle_thread(fleet, end=False):
        assert workers.begun.wait(20)
        with pytest.raises(WorkerError, match=r"cpu, cpu: .* not freed within 0.2 s"):
            fleet._lock_for_render()
        workers.may_end.set()


def test_a_second_render_is_refused_at_once(fleet, monkeypatch):
    monkeypatch.setattr(fleet_module, "_POLL_S", 1e6)
    with fleet._busy(), pytest.raises(WorkerError, match="another render runs on them"):
        fleet._lock_for_render()
    with fleet._busy():
        pass
    assert len(fleet._idle._timers) == 2
