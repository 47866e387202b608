"""A real Ray cluster of nodes on this host, with the tiny model; only where Ray is installed."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from flashtalk_core.engine.events import EventHandlers
from flashtalk_core.errors import FlashTalkError, WorkerError
from flashtalk_core.runtime.cluster.process import LIMITS, cluster_engine

from .conftest import fleet_processes, make_plan, processes, render, running

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
]

HERE = Path(__file__).parent
GONE_S = 15


class Nodes:
    """A cluster of this host."""

    def __init__(self, count):
        # Engines find the package because the process that asks does.
        environment = {name: os.environ[name] for name in os.environ.keys() - {"PYTHONPATH"}}
        self._process = subprocess.Popen(
            [sys.executable, HERE / "ray_cluster.py"],
            cwd="/",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._process.stdout.readline().strip()
        try:
            for _ in range(count):
                self.add()
        except BaseException:
            self.close()
            raise

    def add(self):
        """Add a node with room for one engine."""
        self._process.stdin.write(f"{torch.get_num_threads()}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "added\n"

    def all_processes(self):
        """Return the numbers and commands of all that the cluster consists of."""
        found, tree = processes(), [self._process.pid]
        for pid in tree:
            tree.extend(child for child, (parent, _, _) in found.items() if parent == pid)
        return {pid: found[pid][2] for pid in tree}

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def engine_processes():
    """Return the processes of engines, and the node that each is on."""
    return {
        pid: parent for pid, (parent, _, command) in processes().items()
        if command.startswith("ray::_Actor")
    }  # fmt: skip


def wait_until(is_so):
    end_s = time.monotonic() + GONE_S
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.2)


@pytest.fixture(scope="module")
def nodes():
    nodes = Nodes(2)
    yield nodes
    nodes.close()


@pytest.fixture(scope="module")
def plan():
    return make_plan(())


@pytest.fixture
def engine(nodes):
    engine = cluster_engine(nodes.address, ("cpu",))
    yield engine
    engine.close()
    wait_until(lambda: not engine_processes())


def test_an_engine_renders_what_this_process_does(engine, plan, by_one):
    assert torch.equal(render(plan, engine), by_one)
    assert len(engine_processes()) == 1
    assert torch.equal(render(plan, engine), by_one)
    engine.release()
    wait_until(lambda: not engine_processes())  # others may have its devices


def test_two_renders_run_at_once_on_two_nodes(nodes, engine, plan, by_one):
    other = cluster_engine(nodes.address, ("cpu",))
    try:
        with ThreadPoolExecutor() as threads:
            frames = list(threads.map(lambda each: render(plan, each), (engine, other)))
        assert all(torch.equal(each, by_one) for each in frames)
        assert len(set(engine_processes().values())) == 2
    finally:
        other.close()


@pytest.mark.parametrize("is_node", [False, True], ids=["engine", "node"])
def test_an_engine_that_is_killed_in_a_chunk_changes_no_frame(nodes, engine, plan, by_one, is_node):
    steps, killed = [], {}

    def kill(step):
        steps.append(step)
        if len(steps) == 4:
            killed.update(engine_processes())
            for pid, node in killed.items():
                if is_node:
                    os.kill(node, signal.SIGKILL)
                os.kill(pid, signal.SIGKILL)

    try:
        assert torch.equal(render(plan, engine, EventHandlers(step=kill)), by_one)
        found = engine_processes()
        assert len(killed) == len(found) == 1
        assert set(killed.values()).isdisjoint(found.values())
        assert len(steps) > 4
    finally:
        if is_node:
            nodes.add()


def test_an_engine_may_be_a_fleet(nodes, by_one):
    plan, fleet = make_plan(), cluster_engine(nodes.address, ("cpu", "cpu"))
    try:
        difference = (render(plan, fleet).int() - by_one.int()).abs()
        (engine,) = engine_processes()
        pids = fleet_processes(engine)
        assert len(pids) == 3
    finally:
        fleet.close()
    assert difference.max() <= 1
    wait_until(lambda: not running(pids))


PARENT = """
import sys, time
sys.path.insert(0, {root!r})
from tests.unit.runtime.conftest import make_plan, render
from flashtalk_core.runtime.cluster.process import cluster_engine
engine = cluster_engine({address!r}, ("cpu",))
frames = render(make_plan(()), engine)
assert "ray" not in sys.modules
print(int(frames.long().sum()), flush=True)
time.sleep(600)
"""


def test_an_engine_ends_with_the_process_that_renders_which_does_without_ray(nodes, by_one):
    text = PARENT.format(root=str(HERE.parents[2]), address=nodes.address)
    parent = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert int(parent.stdout.readline()) == int(by_one.long().sum())
    brokers = {pid for pid, (above, _, _) in processes().items() if above == parent.pid}
    assert len(brokers) == len(engine_processes()) == 1
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not running(brokers) and not engine_processes())


def test_a_cluster_that_is_not_there_is_said_at_once(plan):
    start_s = time.monotonic()
    with pytest.raises(WorkerError, match=r"cluster 127.0.0.1:1: .*; start it with `ray start"):
        render(plan, cluster_engine("127.0.0.1:1", ("cpu",)))
    assert time.monotonic() - start_s < 30


def test_a_render_ends_with_the_head_of_its_cluster_and_leaves_nothing(plan, monkeypatch):
    """An engine goes on while Ray waits for the head, by default a minute, and ends after that."""
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "3")
    nodes = Nodes(1)
    engine = cluster_engine(nodes.address, ("cpu",))
    found = {}

    def kill(_step):
        if not found:
            found.update(nodes.all_processes())
            os.kill(only_head(found), signal.SIGKILL)
            wait_until(lambda: not engine_processes())

    try:
        with pytest.raises(WorkerError, match=r"its head does not answer any more \(Connection re"):
            render(plan, engine, EventHandlers(step=kill))
        assert not engine.is_running
        with pytest.raises(WorkerError, match="start it with `ray start --head`"):
            render(plan, engine)
    finally:
        engine.close()
        for pid in running(found):  # without its head Ray would take minutes
            os.kill(pid, signal.SIGKILL)
        nodes.close()


def only_head(found):
    (pid,) = (pid for pid, command in found.items() if "gcs_server" in command.partition(" ")[0])
    return pid


def test_devices_that_no_host_has_are_said_at_once(nodes, plan):
    engine = cluster_engine(nodes.address, ("cuda:0", "cuda:1"), LIMITS)
    try:
        with pytest.raises(FlashTalkError, match=r"no host of it has 2 GPU\(s\)"):
            render(plan, engine)
    finally:
        engine.close()


def test_the_command_line_renders_on_a_cluster(nodes, tmp_path):
    options = ["--size", "32x32", "--steps", "1", "--duration", "0.2", "--device", "cpu"]
    videos = [tmp_path / name for name in ("here.mp4", "there.mp4")]
    for video, more in zip(videos, ([], ["--ray", nodes.address]), strict=True):
        done = subprocess.run(
            [sys.executable, "-m", "flashtalk_core", "render", "-o", video, *options, *more],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert videos[0].read_bytes() == videos[1].read_bytes()
