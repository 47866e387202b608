"""Injects one fault and looks at what is left, said and finished."""

import io
import re
import time
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest

import av

from tests.faults.case import Found
from tests.faults.disk import BALLAST, mounted
from tests.faults.processes import POLL_S
from tests.faults.scene import CHUNK_FRAMES, NUM_CHUNKS, Pace, Scene, wait_until

WRITTEN = re.compile(r"wrote .*, 100 frames")
_UNBROKEN_RUNS = 3


@dataclass(frozen=True)
class Unbroken:
    """What a run that nothing interrupts makes, and in what time."""

    video: bytes
    pace: Pace


def render_unbroken(folder):
    """Render without a fault, a few times; of the times the least ones count."""
    runs = [_run_unbroken(folder / str(number)) for number in range(_UNBROKEN_RUNS)]
    assert len({each.video for each in runs}) == 1, "a render is not the same each time"
    paces = [each.pace for each in runs]
    least = Pace(min(each.start_s for each in paces), min(each.chunks_s for each in paces))
    return Unbroken(runs[0].video, least)


def _run_unbroken(folder):
    scene = _scene(folder, folder)
    run = scene.start()
    assert wait_until(lambda: scene.num_begun, run), "no chunk was begun"
    start_s = end_s = run.processor_s
    while not run.is_over:
        end_s = run.processor_s
        time.sleep(POLL_S)
    outcome = run.wait()
    assert outcome.code == 0, outcome.lines
    assert scene.num_begun == NUM_CHUNKS
    return Unbroken(scene.output.final.read_bytes(), Pace(start_s, end_s - start_s))


def inject(fault, folder, unbroken):
    """Run the command with a fault, then again; return what was found."""
    start_s = time.monotonic()
    with ExitStack() as stack:
        out = folder / "out"
        out.mkdir(parents=True)
        if fault.disk:
            stack.enter_context(mounted(out, fault.disk))
        scene = _scene(folder, out, unbroken.pace)
        fault.prepare(scene)
        problems = []
        num_before, num_saved = scene.num_begun, scene.num_saved
        outcome = _run_damaged(fault, scene, problems)
        left = _describe_left(scene)
        num_finished = max(scene.num_begun - num_before - 1, num_saved)
        num_playable = scene.playable_frames()
        if fault.keeps and num_playable < CHUNK_FRAMES * num_finished:
            problems.append(f"{num_playable} frames play of {num_finished} finished chunks")
        if outcome.code < 0 or not scene.output.final.is_file():
            fault.mend(scene)
            _run_again(fault, scene, problems)
        num_again = scene.num_begun - NUM_CHUNKS
        if num_again > fault.most_again:
            problems.append(f"{num_again} chunks of {num_finished} were rendered again")
        num_differing = _compare(scene, unbroken.video, problems)
        _check_leftovers(fault, scene, problems)
    return Found(
        fault, outcome.last, left, num_again, num_differing, tuple(problems),
        time.monotonic() - start_s,
    )  # fmt: skip


def _scene(folder, out, pace=None):
    folder.mkdir(parents=True, exist_ok=True)
    return Scene(folder, out, pace)


def _run_damaged(fault, scene, problems):
    run = scene.start(**fault.child)
    other = None
    if fault.when is not None:
        if wait_until(lambda: fault.when(scene, run), run):
            other = fault.act(scene, run)
        else:
            problems.append("the moment of the fault did not come")
    outcome = run.wait()
    if other is not None:
        if outcome.code:
            problems.append(f"the first run ended with {outcome.code}: {outcome.last}")
        outcome = other
    if outcome.code != fault.code:
        problems.append(f"exit code {outcome.code}, {fault.code} was meant")
    _check_said(fault.says, outcome, problems)
    return outcome


def _check_said(pattern, outcome, problems):
    errors = [line for line in outcome.lines if line.startswith("error: ")]
    if outcome.code > 0 and outcome.lines and len(errors) != 1:
        problems.append(f"{len(errors)} lines of errors")
    if "Traceback" in " ".join(outcome.lines):
        problems.append("a traceback was shown")
    if not pattern:
        told = [line for line in outcome.lines if line.startswith(("error: ", "warning: "))]
        problems.extend(f"nothing was to be said, and it said {line!r}" for line in told)
    elif not any(re.search(pattern, line, re.IGNORECASE) for line in outcome.lines):
        problems.append(f"it said {outcome.lines!r}, not {pattern!r}")


def _run_again(fault, scene, problems):
    outcome = scene.start().wait()
    if outcome.code or not WRITTEN.search(outcome.last):
        problems.append(f"the second run ended with {outcome.code}: {outcome.lines}")


def _describe_left(scene):
    if not scene.out.is_dir():
        return "no folder"
    frames, saved = scene.playable_frames(), scene.num_saved
    parts = [f"{frames} frames play"] if frames else ["nothing that plays"]
    return "; ".join(parts + ([f"state after chunk {saved}"] if saved else []))


def _compare(scene, unbroken, problems):
    """Return how many frames differ: 0 where the bytes are the same."""
    final = scene.output.final
    if final.is_file() and final.read_bytes() == unbroken:
        return 0
    problems.append("the video differs from an unbroken one")
    found, wanted = decoded(final), decoded(io.BytesIO(unbroken))
    return sum(each != other for each, other in zip_longest(found, wanted))


def decoded(video):
    """Return the frames of a video, none if it is none."""
    try:
        with av.open(video) as container:
            return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]
    except (OSError, av.FFmpegError):
        return []


def _check_leftovers(fault, scene, problems):
    known = {scene.output.final.name, BALLAST, *fault.leaves}
    more = [name for name in scene.names() if name not in known] if scene.out.is_dir() else []
    if more:
        problems.append(f"left behind: {', '.join(more)}")
