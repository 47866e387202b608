"""A render on engines that are lost at any point is the render on one that is not; without Ray."""

import json
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from importlib import import_module
from threading import Thread
from types import ModuleType
from unittest.mock import MagicMock

import pytest
import torch

from flashtalk_core.engine.build import LocalEngine
from flashtalk_core.engine.events import NO_EVENTS, EventHandlers
from flashtalk_core.engine.state import SessionState
from flashtalk_core.errors import (
    FlashTalkError,
    InvalidInputError,
    NoMemoryError,
    OverflowedError,
    WorkerError,
)
from flashtalk_core.geometry import span_at
from flashtalk_core.json_text import parse_json
from flashtalk_core.media.audio.probe import AnalysisStream
from flashtalk_core.placement.devices import check_cluster
from flashtalk_core.placement.residency import CachedNetworks
from flashtalk_core.runtime.channel import Channel, ChannelClosed, make_pair
from flashtalk_core.runtime.cluster import host as host_module
from flashtalk_core.runtime.cluster import process as process_module
from flashtalk_core.runtime.cluster.broker import BrokerSettings, EngineLostError, serve
from flashtalk_core.runtime.cluster.host import EngineHost, HostEvents
from flashtalk_core.runtime.cluster.process import LIMITS, ClusterProcess
from flashtalk_core.runtime.job import pack_plan
from flashtalk_core.runtime.limits import Limits
from flashtalk_core.runtime.messages import (
    Finished,
    GenerateChunk,
    OpenJob,
    Ready,
    decode,
    encode,
)
from flashtalk_core.settings import read_plain

from .conftest import make_plan, own_resources, render

pytestmark = pytest.mark.e2e

START = ClusterProcess._start
"""As it is; most tests replace it."""


class FakeEngine:
    """An engine of this process that can be lost."""

    def __init__(self, engines, node):
        self.engines, self.node = engines, node
        self.host = engines.hosts.setdefault(node, EngineHost(("cpu",), node))
        self.host._events.cancelled = 0  # commands are counted from 1 in each process
        self.is_closed = False

    def is_up(self, wait_s):
        if self.engines.lost_starts:
            self.engines.lost_starts -= 1
            self.node = ""
            raise EngineLostError("engine that was to start: gone")
        self.engines.waits -= 1
        return self.engines.waits < 0

    def carry_out(self, message, blobs):
        self.reports = self.host.carry_out(encode(message), [bytes(blob) for blob in blobs])

    def poll(self, wait_s):
        text, blobs = next(self.reports)
        message = decode(text)
        if self.engines.is_lost_at(message):
            for _ in self.reports:  # what this process still does is not to disturb the next test
                pass
            raise EngineLostError(f"engine on {self.node}: gone")
        return message, blobs

    def cancel(self, command):
        self.host.cancel(command)

    def close(self):
        self.is_closed = True


class FakeEngines:
    """Starts engines on nodes a, b, c, and loses them when asked to."""

    def __init__(self):
        self.hosts, self.started, self.waits, self.lost_starts = {}, [], 0, 0
        self.is_lost_at = lambda message: False

    def start(self, avoided):
        assert "" not in avoided
        node = next(node for node in "abcdef" if node not in avoided)
        self.started.append(FakeEngine(self, node))
        return self.started[-1]

    def lose(self, kind, number, times=1):
        """Lose engines at the message of a kind with that number, counted from 1."""
        left = [times]
        seen = []

        def is_lost_at(message):
            if left[0] and type(message).__name__ == kind:
                seen.append(message)
                if len(seen) >= number:
                    left[0] -= 1
                    return True
            return False

        self.is_lost_at = is_lost_at


class FakePopen:
    def kill(self):
        pass

    def wait(self, timeout=None):
        return 0


@pytest.fixture(scope="module")
def engines():
    return FakeEngines()


@pytest.fixture(scope="module")
def cluster(engines):
    """An engine of a cluster whose process is a thread."""

    def start(self, devices, log):
        self._channel, theirs = make_pair(20)
        end = Channel(theirs)
        end.send(Ready(rank=0, pid=1, device="", free_bytes=None, total_bytes=None, versions=()))
        self._process = FakePopen()

        def run():
            with suppress(ChannelClosed):
                serve(end, engines, "head:1")
            end.close()

        Thread(target=run, daemon=True).start()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClusterProcess, "_start", start)
        fleet = process_module.cluster_engine("head:1", ("cpu",))
        yield fleet
        fleet.close()


@pytest.fixture(scope="module")
def plan():
    return make_plan(())


@pytest.fixture(autouse=True)
def fresh(engines, cluster):
    """Each test starts with a new engine, on a node with networks in memory."""
    cluster.close()
    engines.started.clear()
    engines.waits = engines.lost_starts = 0
    engines.is_lost_at = lambda message: False


def test_an_engine_renders_what_this_process_does_and_serves_the_next_render(
    cluster, engines, plan, by_one
):
    seen = []
    events = EventHandlers(
        loading=lambda kind: seen.append("loading"),
        step=lambda step: seen.append("step"),
        state=lambda state: seen.append("state"),
    )
    assert torch.equal(render(plan, cluster, events), by_one)
    assert torch.equal(render(plan, cluster, events), by_one)
    assert seen.count("step") == 8
    assert seen.count("state") == 4
    assert len(engines.started) == 1
    cluster.release()
    assert engines.started[0].is_closed  # others may have its devices
    assert torch.equal(render(plan, cluster), by_one)
    assert len(engines.started) == 2


def test_a_chunk_may_begin_anywhere_as_those_of_a_live_session_do(cluster, plan):
    def draw(engine):
        with (
            AnalysisStream(plan.audio, plan.chunk.sample_rate_hz) as samples,
            engine.open(plan, samples, NO_EVENTS) as source,
        ):
            span = span_at(3, 1, source.chunk)
            motion = torch.zeros(1, 3, plan.chunk.num_motion_frames, *plan.request.size_px)
            state = SessionState(1, motion, source.fingerprint)
            return torch.cat([group.frames for group in source.generate(span, state)])

    alone = LocalEngine(CachedNetworks(plan.checkpoint, plan.placement))
    assert torch.equal(draw(cluster), draw(alone))


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("Stage", 1),
        ("Step", 2),
        ("Frames", 1),
        ("Finished", 2),
        ("Step", 3),
        ("Frames", 2),
        ("Finished", 3),
    ],
)
def test_a_render_goes_on_elsewhere_from_the_last_state(
    cluster, engines, plan, by_one, kind, number
):
    engines.lose(kind, number)
    assert torch.equal(render(plan, cluster), by_one)
    nodes = [engine.node for engine in engines.started]
    assert nodes[0] not in nodes[1:]
    assert engines.started[0].is_closed


def test_two_losses_are_survived_and_three_are_one_error(cluster, engines, plan, by_one):
    engines.lose("Step", 3, times=2)
    assert torch.equal(render(plan, cluster), by_one)
    cluster.close()
    engines.started.clear()
    engines.lose("Step", 1, times=3)
    with pytest.raises(WorkerError, match=r"cluster head:1: the render lost 3 engines, .*: gone"):
        render(plan, cluster)
    assert len(engines.started) == 3
    engines.is_lost_at = lambda message: False
    assert torch.equal(render(plan, cluster), by_one)


def test_engines_that_are_lost_before_they_are_up_are_replaced(cluster, engines, plan, by_one):
    engines.lost_starts = 2
    assert torch.equal(render(plan, cluster), by_one)
    assert len(engines.started) == 3
    cluster.close()
    engines.lost_starts = 3
    with pytest.raises(WorkerError, match=r"lost 3 engines, .*: engine that was to start: gone"):
        render(plan, cluster)


@pytest.fixture
def ray_engines(monkeypatch):
    """The module that imports Ray, with a Ray that only fails."""

    def fail(*_args, **_settings):
        raise ValueError("selector\nmore of it")

    ray = ModuleType("ray")
    ray.nodes = ray.wait = fail
    ray.exceptions = ModuleType("ray.exceptions")
    ray.exceptions.RayError = OSError
    name = "flashtalk_core.runtime.cluster.ray_engines"
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.exceptions", ray.exceptions)
    monkeypatch.delitem(sys.modules, name, raising=False)
    yield import_module(name)
    sys.modules.pop(name, None)


def test_what_ray_raises_at_a_start_is_one_error_of_one_line(ray_engines):
    engines = ray_engines.RayEngines("head:1", ("cpu",), 1, LIMITS)
    with pytest.raises(WorkerError) as caught:
        engines.start(())
    assert str(caught.value) == "cluster head:1: no engine can be started: selector"
    with pytest.raises(EngineLostError) as lost:
        ray_engines.RayEngine(MagicMock()).is_up(0)
    assert str(lost.value) == "engine that was to start: selector"


@pytest.fixture
def raising(monkeypatch):
    """Raise errors at steps, one after the other."""

    def use(*errors):
        left = list(errors)
        usual = HostEvents.step

        def step(self, number):
            if left:
                raise left.pop(0)
            usual(self, number)

        monkeypatch.setattr(HostEvents, "step", step)

    return use


def test_a_fault_of_the_render_is_not_tried_again(cluster, engines, plan, by_one, raising):
    raising(OverflowedError("step 1: not a number"))
    with pytest.raises(OverflowedError, match="step 1: not a number"):
        render(plan, cluster)
    assert torch.equal(render(plan, cluster), by_one)
    assert len(engines.started) == 1


@pytest.mark.parametrize(
    "error",
    [WorkerError("GPU 1 (rank 1) was killed (signal 9)"), RuntimeError("CUDA error: ECC")],
)
def test_a_fault_of_the_devices_is_tried_elsewhere(cluster, engines, plan, by_one, raising, error):
    raising(error)
    assert torch.equal(render(plan, cluster), by_one)
    assert len(engines.started) == 2


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (ZeroDivisionError("division"), WorkerError, "ZeroDivisionError on .: division"),
        (MemoryError("no room"), NoMemoryError, "out of memory on . "),
    ],
)
def test_a_bug_and_a_lack_of_memory_end_the_engine_and_the_render(
    cluster, engines, plan, by_one, raising, error, kind, text
):
    raising(error)
    with pytest.raises(kind, match=rf"engine of cluster head:1 \(rank 0\): {text}"):
        render(plan, cluster)
    assert engines.started[0].is_closed
    assert len(engines.started) == 1
    assert torch.equal(render(plan, cluster), by_one)


def test_an_engine_with_other_packages_is_refused_and_both_are_named(
    cluster, engines, plan, monkeypatch
):
    usual = host_module.plan_signature

    def other(plan):
        return tuple(each.replace("torch ", "torch 9.") for each in usual(plan))

    monkeypatch.setattr(host_module, "plan_signature", other)
    with pytest.raises(InvalidInputError) as caught:
        render(plan, cluster)
    version = torch.__version__.partition("+")[0]
    assert f"engine on a: it has torch 9.{version}" in str(caught.value)
    assert f"the host that asks torch {version}" in str(caught.value)
    assert caught.value.subject == "cluster"
    assert len(engines.started) == 1


def test_a_render_is_stopped_within_a_step_and_the_engine_serves_the_next(
    cluster, engines, plan, by_one
):
    steps = []

    def stop(step):
        steps.append(step)
        if len(steps) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(plan, cluster, EventHandlers(step=stop))
    assert len(steps) == 3
    assert torch.equal(render(plan, cluster), by_one)
    assert len(engines.started) == 1


def test_a_render_that_waits_for_an_engine_can_be_stopped(
    cluster, engines, plan, by_one, monkeypatch, caplog
):
    monkeypatch.setattr("flashtalk_core.runtime.cluster.broker._WAITING_S", 0)
    engines.waits = 3
    assert torch.equal(render(plan, cluster), by_one)
    assert caplog.text.count("waiting until an engine is free") == 1
    cluster.close()
    engines.waits = 10**6

    def stop(kind):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(plan, cluster, EventHandlers(loading=stop))
    assert engines.started[-1].is_closed
    engines.waits = 0
    assert torch.equal(render(plan, cluster), by_one)


def test_an_engine_that_does_not_go_on_is_an_error_after_the_limit(
    cluster, engines, plan, by_one, monkeypatch
):
    monkeypatch.setattr(process_module, "_POLL_S", 0.05)
    monkeypatch.setattr(cluster, "_limits", type(LIMITS)(load_s=0.5))
    engines.waits = 10**6
    with pytest.raises(WorkerError, match=r"cluster head:1: no progress for 0.5 s; its engine"):
        render(plan, cluster)


def test_an_engine_that_takes_over_has_the_time_of_loading(
    cluster, engines, plan, by_one, monkeypatch
):
    monkeypatch.setattr(process_module, "_POLL_S", 0.02)
    limits = type(LIMITS)(load_s=60.0, step_s=0.75)
    usual = EngineHost._open
    opened = []

    def open_slowly(self, message, blobs):
        opened.append(message.command)
        if len(opened) == 2:  # in the second chunk
            time.sleep(1.5)
        usual(self, message, blobs)

    monkeypatch.setattr(EngineHost, "_open", open_slowly)
    monkeypatch.setattr(cluster, "_limits", limits)
    engines.lose("Step", 3)
    assert torch.equal(render(plan, cluster), by_one)
    assert len(opened) == 2


def test_a_fleet_of_an_engine_has_all_limits_of_who_asks():
    limits = replace(LIMITS, load_s=8.0, step_s=7.0)
    sent = BrokerSettings(parent=1, channel=2, devices=("cpu",), num_threads=1, limits=limits)
    read = read_plain(BrokerSettings, parse_json(json.dumps(asdict(sent))), "cluster")
    host = EngineHost(("cpu", "cpu"), "a", read.limits)
    assert host._engine_of(make_plan(()))._limits == limits
    assert EngineHost(("cpu", "cpu"), "a")._limits == Limits()


def test_a_rank_that_a_fleet_finds_to_hang_is_tried_elsewhere(
    cluster, engines, plan, by_one, monkeypatch
):
    """The fleet of the engine has the same limit, and says it a moment later."""
    monkeypatch.setattr(process_module, "_POLL_S", 0.02)
    usual, steps = HostEvents.step, []

    def step(self, number):
        steps.append(number)
        if len(steps) == 3:  # the first of the second chunk
            time.sleep(1.5)
            raise WorkerError("GPU 1 (rank 1): no progress for 0.5 s in step 1 of chunk 2")
        usual(self, number)

    monkeypatch.setattr(HostEvents, "step", step)
    fleet = process_module.cluster_engine("head:1", ("cpu", "cpu"), replace(LIMITS, step_s=0.5))
    try:
        assert torch.equal(render(plan, fleet), by_one)
    finally:
        fleet.close()
    assert len(engines.started) == 2


def test_a_chunk_that_is_to_go_on_from_a_state_that_is_gone_is_a_fault_not_a_new_beginning(plan):
    host = EngineHost(("cpu",), "a")

    def answer(message, blobs):
        *_, (text, _parts) = host.carry_out(encode(message), [bytes(each) for each in blobs])
        return decode(text)

    text, blobs = pack_plan(plan)
    assert isinstance(answer(OpenJob(command=1, job=text), blobs), Finished)
    chunk = GenerateChunk(
        command=2,
        session=1,
        index=0,
        first_frame=0,
        first_sample=0,
        motion=None,
        keep_state=True,
    )
    found = answer(chunk, [bytes(4 * 64)])
    assert (found.error, found.message) == (
        "AssertionError", "a chunk of this session was generated before"
    )  # fmt: skip


@pytest.mark.parametrize("lacks", ["place for the log", "permission"])
def test_a_process_that_cannot_be_started_is_one_error_and_leaves_nothing(
    monkeypatch, tmp_path, lacks
):
    def fail(*_args, **_settings):
        raise PermissionError(13, "Permission denied")

    if lacks == "permission":
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        monkeypatch.setattr(subprocess, "Popen", fail)
        says = "Permission denied"
    else:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
        says = "No such file or directory"
    monkeypatch.setattr(ClusterProcess, "_start", START)
    before = own_resources()
    with pytest.raises(WorkerError, match=f"^cluster head:1: no process starts: {says}$"):
        ClusterProcess("head:1", ("cpu",), LIMITS)
    assert own_resources() == before
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("address", ["10.0.0.1", ":1", "ray://head:10001", "head:x", " "])
def test_addresses_that_are_none_are_refused(address):
    with pytest.raises(InvalidInputError, match="use host:port of its head") as caught:
        check_cluster(address)
    assert caught.value.subject == "cluster"


def test_without_ray_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setattr(
        "flashtalk_core.placement.devices.find_spec", lambda name: None if name == "ray" else name
    )
    with pytest.raises(FlashTalkError, match=r"Ray is missing; .*: pip install ray"):
        check_cluster("auto")


def test_an_engine_has_no_other_device_for_the_autoencoder(monkeypatch):
    monkeypatch.setattr("flashtalk_core.placement.devices.find_spec", lambda name: name)
    with pytest.raises(InvalidInputError, match="an engine of a cluster decodes") as caught:
        make_plan((), cluster="head:1", vae_device="cpu")
    assert caught.value.subject == "vae_device"
    assert make_plan((), cluster="head:1").fingerprint() == make_plan(()).fingerprint()
