"""A fleet of two processes on the CPU, with the tiny model at 32 x 32 pixels."""

import json
import os
import resource
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from flashtalk_core.cli.rendering.render_options import EXAMPLE
from flashtalk_core.engine.build import LocalEngine
from flashtalk_core.engine.events import NO_EVENTS, EventHandlers
from flashtalk_core.engine.render import render_video
from flashtalk_core.engine.resolve import Inputs, LocalHost, resolve
from flashtalk_core.engine.spec import (
    ChunkSpec,
    ModelSpec,
    PlacementSpec,
    RenderSpec,
    SamplingSpec,
    Speaker,
)
from flashtalk_core.errors import WorkerError
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.placement.residency import CachedNetworks
from flashtalk_core.runtime.fleet import Fleet
from flashtalk_core.runtime.limits import Limits

DEVICES = ("cpu", "cpu")
GONE_S = 10
TIME_WAIT = "06"
"""State of a connection in ``/proc/net/tcp``."""


class Frames(list):
    """A sink that keeps frames."""

    def __enter__(self):
        return self

    def __exit__(self, kind, exception, traceback):
        pass

    def write(self, frames):
        self.append(frames)


def make_plan(devices=DEVICES, model="tiny", **placement):
    """Plan eight frames in two chunks of two steps."""
    spec = RenderSpec(
        model=ModelSpec(name=model),
        portrait=str(EXAMPLE / "portrait.png"),
        speakers=(Speaker(),),
        duration_s=0.32,
        size_px=(32, 32),
        sampling=SamplingSpec(steps=2),
        chunk=ChunkSpec(num_frames=9, num_motion_frames=5),
        placement=PlacementSpec(
            device="auto" if devices else "cpu", devices=devices, dtype="float32", **placement
        ),
    )
    noise = np.random.default_rng(0).standard_normal((1, 8_000)).astype(np.float32)
    audio = AudioArray("noise", 0.1 * noise, 16_000)
    return resolve(spec, LocalHost(), Inputs(audio_inputs=(audio,)))


def render(plan, engine, events=NO_EVENTS):
    """Return the frames of a plan."""
    frames = Frames()
    render_video(plan, frames, engine, events=events)
    return torch.cat(frames)


@pytest.fixture(scope="module")
def model():
    """Name or folder of the model that is drawn with."""
    return "tiny"


@pytest.fixture(scope="module")
def plan(model):
    return make_plan(model=model)


@pytest.fixture(scope="module")
def by_one(model):
    """What one process draws."""
    plan = make_plan((), model)
    return render(plan, LocalEngine(CachedNetworks(plan.checkpoint, plan.placement)))


@pytest.fixture(scope="module")
def fault_file(tmp_path_factory):
    """Where a fault is requested; see ``injected/sitecustomize.py``."""
    return tmp_path_factory.mktemp("faults") / "fault.json"


@pytest.fixture(scope="module")
def before():
    """What this process holds before the fleet of the module starts."""
    return own_resources()


def injected(fault_file):
    """Return the environment in which ranks fail as a file says."""
    folder = str(Path(__file__).with_name("injected"))
    return {"PYTHONPATH": folder, "RANK_FAULTS": str(fault_file)}


@pytest.fixture(scope="module")
def fleet(fault_file, before):
    """A fleet, started by whoever renders first; the environment is that of another program."""
    foreign = {
        "MASTER_ADDR": "192.0.2.1",
        "MASTER_PORT": "1",
        "RANK": "5",
        "WORLD_SIZE": "9",
        "TORCHELASTIC_RUN_ID": "other",
        "PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync",
    } | injected(fault_file)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in foreign.items():
            patch.setenv(name, value)
        patch.setattr("tempfile.tempdir", str(fault_file.parent))  # logs of faults stay
        fleet = Fleet(DEVICES, Limits(step_s=120, stop_s=3))
        yield fleet
        fleet.close()


@pytest.fixture(scope="module")
def drawn(fleet, plan):
    """Frames of the first render, and what it reported."""
    seen = Seen()
    return render(plan, fleet, seen.events), seen


@pytest.fixture(scope="module")
def expected(drawn):
    """What every later render draws, to the bit."""
    return drawn[0]


@pytest.fixture
def fault(fault_file):
    """Request an error in some ranks, by chunk and step counted from 1, or at the ``start``."""

    def request(error, message="", ranks=(1,), at=(2, 2)):
        fault_file.write_text(
            json.dumps({"error": error, "message": message, "ranks": ranks, "at": at})
        )

    yield request
    fault_file.unlink(missing_ok=True)


class Seen:
    """Counts what a render reports, and does something at a step or a stage."""

    def __init__(self, at=None, action=None):
        self.at, self.action = at, action
        self.loaded, self.steps, self.stages, self.states = [], 0, [], []
        self.events = EventHandlers(
            loading=self.loaded.append, step=self.step, stage=self.stage, state=self.states.append
        )

    def step(self, _step):
        self.steps += 1
        if self.at == self.steps:
            self.action()

    def stage(self, name):
        self.stages.append(name)
        if self.at == name and len(self.states) == 1:
            self.at = None
            self.action()


@pytest.fixture
def running_fleet(fleet, plan):
    """The fleet with its processes, which a test before may have ended."""
    if not fleet.is_running:
        render(plan, fleet)
    return fleet


def rank_pid(fleet, rank):
    return fleet._processes.ready[rank].pid


def wait_until_gone(pids):
    end_s = time.monotonic() + GONE_S
    while running(pids) and time.monotonic() < end_s:
        time.sleep(0.1)
    assert not running(pids)


def fail(fleet, plan, seen, error=WorkerError):
    """Render, and return the error and how many seconds it came after the step or stage."""
    with pytest.raises(error) as caught:
        render(plan, fleet, seen.events)
    return str(caught.value)


def processes():
    """Return all processes by number: parent, state and command line."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        found[int(folder.name)] = int(parent), state, command
    return found


def fleet_processes(parent):
    """Return the launchers of a process and their ranks, as far as they run."""
    found = processes()
    launchers = {
        pid for pid, (above, _, text) in found.items()
        if above == parent and "runtime.launcher" in text
    }  # fmt: skip
    ranks = {pid for pid, (above, _, _) in found.items() if above in launchers}
    return launchers | ranks


def running(pids):
    """Return those that run; one that ended and was not waited for does not."""
    found = processes()
    return {pid for pid in pids if pid in found and found[pid][1] not in "ZX"}


def used_ports(pids=None):
    """Return the TCP ports at which sockets of some processes, or of any, listen or are joined.

    What the system keeps for a minute after a connection has ended is of no process.
    """
    found = set()
    owned = None if pids is None else set().union(*map(sockets_of, pids))
    for family in ("tcp", "tcp6"):
        for line in Path("/proc/net", family).read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state != TIME_WAIT and (owned is None or inode in owned):
                found.add(int(local.rpartition(":")[2], 16))
    return found


def sockets_of(pid):
    """Return the numbers of a process's sockets; none if it has ended."""
    found = set()
    try:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(str(file.readlink()).removeprefix("socket:[").rstrip("]"))
    except OSError:
        pass
    return found


def own_resources():
    """Return the open files, shared mappings, children and ports of this process."""
    mappings = Path("/proc/self/maps").read_text()
    children = fleet_processes(os.getpid())
    return (
        len(list(Path("/proc/self/fd").iterdir())),
        mappings.count("memfd:flashtalk"),
        len(children),
        [each for each in Path("/dev/shm").iterdir() if "flashtalk" in each.name],
        used_ports({os.getpid(), *children}),
    )


@contextmanager
def limited(kind, value):
    """Let this process have no more of a resource than ``value``."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)
