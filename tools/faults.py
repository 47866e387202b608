"""Inject every fault of tests/faults and write docs/FAULTS.md.

``python -m tools.faults``; ``--only WORD`` for some, which are printed and not written;
``--first-frame`` measures how long a resumed render takes to its first new frame instead, and puts
that at the end of the page, where it stays.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.case import Fault, Found
    from tests.faults.scene import Pace

PAGE = Path(__file__).parents[1] / "docs" / "FAULTS.md"
INTRODUCTION = """\
# Faults

Each row is a fault that was injected into `python -m flashtalk_core render` with the tiny model
(4 s of video at 32x32, 1 step, 4 chunks), after which the same command is run again. It passes if

- the command said what is wrong in one line and ended with the right exit code;
- every finished chunk plays after it, except where the fault is that the files are taken away;
- the second run completes the video, **the same to the byte as an unbroken render**;
- no more chunks were begun twice ("again") than the fault allows: 1 after any kill, more only where
  the state file or the room for it was taken away, which the render says;
- no file stays behind.

`FOLDER` is the folder of the video, `REPOSITORY` that of this project.
"""
FIRST_FRAME = "## First new frame\n"
_REPEATS = 5
COLUMNS = ("fault", "what the user sees", "what is left", "again", "passed")


def main() -> int:
    """Inject, print, write; 0 if all passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="faults with this in their name or kind")
    parser.add_argument("--jobs", type=int, default=1, help="faults at a time")
    parser.add_argument("--first-frame", action="store_true", help="time a resumed render")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # a process that has started threads is forked
    if args.first_frame:
        return _time_first_frames()
    from tests.faults.disk import can_mount
    from tests.faults.table import FAULTS

    wanted = [each for each in FAULTS if re.search(args.only, f"{each.kind}: {each.name}")]
    if not can_mount():
        print("without root and mount, faults of disks are left out", file=sys.stderr)  # noqa: T201
        wanted = [each for each in wanted if not each.disk]
    start_s = time.monotonic()
    found, pace = _inject(wanted, args.jobs)
    if len(found) == len(FAULTS):
        took_s = time.monotonic() - start_s
        write_page(table=render_page(found, pace, took_s))
    return 0 if all(each.passed for each in found) else 1


def _inject(faults: Sequence[Fault], jobs: int) -> tuple[list[Found], Pace]:
    from tests.faults.runner import inject, render_unbroken

    with TemporaryDirectory(prefix="faults-") as name, ThreadPoolExecutor(jobs) as pool:
        folder = Path(name).resolve()
        unbroken = render_unbroken(folder / "unbroken")

        def run(number: int) -> Found:
            scene = folder / f"{number}"
            found = inject(faults[number], scene, unbroken)
            said = found.said.replace(str(scene / "out"), "FOLDER").replace(str(scene), "FOLDER/..")
            said = said.replace(str(PAGE.parents[1]), "REPOSITORY")
            state = "passed" if found.passed else "FAILED"
            counts = f"again {found.num_again}, {found.took_s:.1f} s"
            print(f"{state}: {faults[number].name}: {said}; {counts}", *found.problems, flush=True)  # noqa: T201
            return type(found)(**vars(found) | {"said": said})

        return list(pool.map(run, range(len(faults)))), unbroken.pace


def _time_first_frames() -> int:
    """Measure seconds from the command to the first frame of a new render and a resumed one."""
    from flashtalk_core.bench.render_process import seconds_to_first_frame
    from tests.faults.acts import interrupted
    from tests.faults.scene import Scene

    load = os.getloadavg()[0]
    with TemporaryDirectory(prefix="faults-") as name:
        times_s: dict[str, list[float]] = {"new": [], "resumed": []}
        for number in range(_REPEATS):
            for kind, found in times_s.items():
                out = Path(name) / f"{kind}-{number}"
                out.mkdir()
                scene = Scene(out, out)
                if kind == "resumed":
                    interrupted(2)(scene)
                found.append(seconds_to_first_frame(scene.arguments()[1:]))
    section = render_first_frames(**times_s, load=load)
    print(section)  # noqa: T201
    write_page(first_frames=section)
    return 0


def render_first_frames(new: Sequence[float], resumed: Sequence[float], load: float) -> str:
    """Return the section of the page; seconds of several runs, and programs that ran before."""
    times = [f"{statistics.median(s):.1f} s ({min(s):.1f} to {max(s):.1f})" for s in (new, resumed)]
    return (
        f"{FIRST_FRAME}\nSeconds from the command to the first frame that is rendered, median of "
        f"{len(new)} (least to most), {time.strftime('%Y-%m-%d')}, {_machine()}, with\n`python -m "
        f"tools.faults --first-frame`: a new render {times[0]}, one that goes on after two of its "
        f"four chunks {times[1]}. {load:.0f} other programs wanted the processor.\n"
    )


def write_page(table: str = "", first_frames: str = "") -> None:
    """Write a part of the page; the other one stays."""
    before, title, rest = PAGE.read_text(encoding="utf-8").partition(FIRST_FRAME)
    parts = [table or before, first_frames or title + rest]
    text = "\n\n".join(part.strip() for part in parts if part)
    PAGE.write_text(text + "\n", encoding="utf-8")


def _machine() -> str:
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return f"{os.cpu_count()} cores, {system}, Python {platform.python_version()}"


def render_page(found: Sequence[Found], pace: Pace, took_s: float) -> str:
    """Return the page as Markdown."""
    passed = sum(each.passed for each in found)
    kills = [each for each in found if each.fault.kind == "kill -9"]
    parts = [
        INTRODUCTION,
        f"**{passed} of {len(found)} faults lost nothing** on {time.strftime('%Y-%m-%d')} "
        f"({_machine()}), with `python -m tools.faults`, in "
        f"{took_s / 60:.0f} minutes on a machine that others used, too. {len(kills)} of them are "
        f"`kill -9` at random points and before each sync: at most "
        f"{max(each.num_again for each in kills)} chunk was rendered again, and "
        f"{sum(each.num_differing for each in kills)} frames differ. In all "
        f"faults, {sum(each.num_differing for each in found)} frames differ.\n",
        "Times of kills are shares, drawn once from a fixed seed, of the processor time that an "
        "unbroken run takes on the machine at hand; three are measured first, and the least "
        f"counts. Here it was {pace.start_s:.2f} s from the start of the process to the first "
        f"chunk, and {pace.chunks_s:.2f} s from there to the end.\n",
    ]
    for kind, group in groupby(found, key=lambda each: each.fault.kind):
        parts.append(f"## {kind[0].upper()}{kind[1:]}\n")
        parts.append(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
        parts.append("\n".join(map(_row, group)) + "\n")
    return "\n".join(parts)


def _row(found: Found) -> str:
    seen = found.said or ("nothing: it was killed" if found.fault.code < 0 else "nothing")
    cells = (
        found.fault.name,
        re.sub(r"^error: ", "", seen).replace("|", "\\|"),
        found.left,
        str(found.num_again),
        "yes" if found.passed else "; ".join(found.problems),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
