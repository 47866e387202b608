"""How long a fleet takes to notice a dead and a stopped rank, and to free what it had.

``python -m tools.fault_times --devices 0,1`` (or ``cpu,cpu``), with the bundled model.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from flashtalk_core.cli.rendering.render_options import EXAMPLE
from flashtalk_core.engine.events import EventHandlers
from flashtalk_core.engine.plan import RenderPlan
from flashtalk_core.engine.render import render_video
from flashtalk_core.engine.resolve import Inputs, LocalHost, resolve
from flashtalk_core.engine.spec import PlacementSpec, RenderSpec, Speaker
from flashtalk_core.errors import WorkerError
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.runtime.fleet import Fleet
from flashtalk_core.runtime.limits import Limits

_STEP_LIMIT_S = 20.0
_WAIT_S = 30.0
_TOLERANCE_MIB = 64
"""A process on a GPU takes several times as much."""


class Discard:
    """A sink of frames that keeps none."""

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def write(self, frames: torch.Tensor) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class FaultTimes:
    """Seconds from a fault to each of its ends."""

    fault: str
    to_message_s: float
    to_end_of_processes_s: float
    to_free_memory_s: float | None
    message: str


def main() -> None:
    """Print a row for each fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", default="cpu,cpu", help="two or more")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    names = [name if name == "cpu" else f"cuda:{name}" for name in args.devices.split(",")]
    plan = make_plan(tuple(names))
    before = used_mib() if plan.placement.device.type == "cuda" else []
    fleet = Fleet(names, Limits(step_s=_STEP_LIMIT_S))
    sys.stdout.write(
        "fault, to message, to the end of all processes, to free memory (s), message\n"
    )
    render_video(plan, Discard(), fleet)
    for _ in range(args.repeats):
        for name, number in (("kill -9", signal.SIGKILL), ("stop", signal.SIGSTOP)):
            found = measure(plan, fleet, before, name, number)
            free = "-" if found.to_free_memory_s is None else f"{found.to_free_memory_s:.2f}"
            sys.stdout.write(
                f"{found.fault}, {found.to_message_s:.2f}, {found.to_end_of_processes_s:.2f}, "
                f"{free}, {found.message}\n"
            )
            sys.stdout.flush()
    fleet.close()


def make_plan(devices: tuple[str, ...]) -> RenderPlan:
    """Plan three chunks of noise."""
    spec = RenderSpec(
        portrait=str(EXAMPLE / "portrait.png"),
        speakers=(Speaker(),),
        placement=PlacementSpec(devices=devices),
    )
    noise = np.random.default_rng(0).standard_normal((1, 3 * 16_000)) / 10
    return resolve(
        spec,
        LocalHost(),
        Inputs(audio_inputs=(AudioArray("noise", noise.astype(np.float32), 16_000),)),
    )


def measure(
    plan: RenderPlan, fleet: Fleet, before: list[int], name: str, number: signal.Signals
) -> FaultTimes:
    """Let the last rank suffer a fault in the second step of the second chunk.

    The first chunk has the limit of loading. ``before`` in MiB.
    """
    render_video(plan, Discard(), fleet)  # it runs, and everything is built
    assert fleet._processes is not None
    ready = fleet._processes.ready  # in the order in which they started
    pids = [ready[rank].pid for rank in sorted(ready)]
    moment = 0.0
    num_chunks = 0

    def fault(step: int) -> None:
        nonlocal moment, num_chunks
        num_chunks += step == 0
        if step == 1 and num_chunks == 2:
            moment = time.perf_counter()
            os.kill(pids[-1], number)

    try:
        render_video(plan, Discard(), fleet, events=EventHandlers(step=fault))
        raise AssertionError("the render did not fail")
    except WorkerError as error:
        message = str(error).splitlines()[0]
    assert f"(rank {len(pids) - 1})" in message, message
    message_s = time.perf_counter() - moment
    ended_s = wait_for(lambda: not any(map(is_running, pids)), moment)
    free_s = wait_for(lambda: is_free(before), moment) if before else None
    return FaultTimes(name, message_s, ended_s, free_s, message)


def wait_for(condition: Callable[[], bool], moment: float) -> float:
    """Return seconds since ``moment`` when ``condition()`` holds."""
    limit = time.perf_counter() + _WAIT_S
    while not condition():
        assert time.perf_counter() < limit, "it did not end"
        time.sleep(0.01)
    return time.perf_counter() - moment


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def used_mib() -> list[int]:
    """Return the memory in use on each GPU of the machine."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [int(line) for line in found.split()]


def is_free(before: list[int]) -> bool:
    """Whether no GPU has more memory in use than before the fleet started, a little aside."""
    pairs = zip(used_mib(), before, strict=True)
    return all(now <= then + _TOLERANCE_MIB for now, then in pairs)


if __name__ == "__main__":
    main()
