"""Renders in processes of their own, watched from outside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import FlashTalkError

_PACKAGE = __name__.partition(".")[0]
_ROOT = Path(__file__).parents[2]
_WRITTEN = re.compile(r"\] (\d+)/(\d+) frames")
# The peak of this very address space; what getrusage says also counts the parent's at the start.
_REPORT_PEAK = f"""
import sys
from {_PACKAGE}.cli.main import main
code = main(sys.argv[1:])
with open("/proc/self/status") as file:
    peak = next(line.split()[1] for line in file if line.startswith("VmHWM"))
print(peak)
sys.exit(code)
"""


@dataclass(frozen=True)
class Starts:
    """Renders that were started, each in a process of its own, up to the first written frame."""

    seconds: tuple[float, ...]
    """By the clock, see :func:`seconds_to_first_frame`."""
    cpu_s: tuple[float, ...]
    """Of all cores together, until the process has ended; 0 where the system does not tell."""


def measure_starts(arguments: Sequence[str], count: int) -> Starts:
    """Start ``render`` several times, one after another; see :func:`seconds_to_first_frame`."""
    seconds, cpu_s = [], []
    for _ in range(count):
        before_s = _children_cpu_s()
        seconds.append(seconds_to_first_frame(arguments))
        cpu_s.append(_children_cpu_s() - before_s)
    return Starts(tuple(seconds), tuple(cpu_s))


def _children_cpu_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def seconds_to_first_frame(arguments: Sequence[str]) -> float:
    """Start ``render`` and wait for its first written frame.

    Args:
        arguments: Of the command, without its name.

    Returns:
        Seconds from the start of the process to the line that reports the first frames.
    """
    start_s = time.monotonic()
    command = [sys.executable, "-m", _PACKAGE, "render", *arguments]
    with subprocess.Popen(
        command, env=child_environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line.strip())
            if _WRITTEN.search(line):
                process.terminate()
                return time.monotonic() - start_s
    raise FlashTalkError(f"render without a frame: {lines[-1] if lines else 'it printed nothing'}")


def child_environment() -> dict[str, str]:
    """Let a child find this package from any folder: relative paths are the user's own."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def peak_memory_bytes(arguments: Sequence[str]) -> int:
    """Run ``render`` to its end and return its peak resident memory.

    Raises:
        FlashTalkError: If the render fails, or if this is not Linux.
    """
    if not sys.platform.startswith("linux"):
        raise FlashTalkError(f"memory on {sys.platform}: it is measured on Linux only")
    return 1024 * int(run_child(["-c", _REPORT_PEAK], "render", *arguments).split()[-1])


def run_command(*arguments: str) -> None:
    """Run a command of this package to its end, in a process of its own.

    Raises:
        FlashTalkError: If it fails.
    """
    run_child(["-m", _PACKAGE], *arguments)


def run_child(program: Sequence[str], command: str, *arguments: str) -> str:
    """Run Python to its end; return what it printed.

    Args:
        program: What Python runs, in its own options.
        command: Of this package, the first word of a message.
        arguments: Of the command.

    Raises:
        FlashTalkError: If it fails.
    """
    done = subprocess.run(
        [sys.executable, *program, command, *arguments],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise FlashTalkError(f"{command} failed with code {done.returncode}: {last}")
    return done.stdout
