"""Cells of the experiment in parallel: worker processes, spread over the devices."""

from __future__ import annotations

import dataclasses
import logging
import multiprocessing
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple

import torch

from flashtalk_core.errors import FlashTalkError
from flashtalk_core.placement.devices import device_name

from ..stages import TrainingJob
from .cells import Workbench
from .table import Cell, Experiment, Row, add_result, missing, read_results, sampling_mode

logger = logging.getLogger(__name__)

_CHECK_INTERVAL_S = 1.0
"""Interval of the check whether workers are alive."""


class Training(NamedTuple):
    """A student to be trained."""

    student: str
    seed: int


class _Outcome(NamedTuple):
    task: Training | Cell
    result: Any
    """Whether a training is done, or a cell's result; ``None`` if the task failed."""
    error: str = ""


def run_experiment(
    experiment: Experiment,
    job: TrainingJob,
    results: Path,
    num_workers: int,
    part_s: float = 1e9,
    prepare: Callable[[], None] | None = None,
) -> bool:
    """Train and measure what is missing in ``results``; each cell is written when it is done.

    Args:
        experiment: The table.
        job: Stage 1 and the device; with ``cuda`` without number, workers take all GPUs in turn.
        results: JSON lines.
        num_workers: Parallel processes; 1 works in this process.
        part_s: No task is begun after this time, trainings stop at their next save, and long
            runs are cut short: what was measured is kept, but its cell is still missing.
        prepare: Called first in every worker process; it must travel there.

    Returns:
        Whether nothing is missing any more.

    Raises:
        FlashTalkError: If a task failed; with several processes the others are done nevertheless,
            unless one was killed.
    """
    cells = missing(experiment, read_results(results))
    logger.info("%d of %d cells to do", len(cells), len(experiment.cells()))
    board, end = _Board(cells), time.time() + part_s
    if cells:
        if num_workers == 1:
            _work_here(board, experiment, job, results, end)
        else:
            # Missing files are reported once, instead of by every worker for every task.
            _open_bench(dataclasses.replace(job, device=torch.device("cpu")), experiment)
            started = [
                partial(work, _on_device(job, index), experiment, end=end, prepare=prepare)
                for index in range(num_workers)
            ]
            _work_apart(board, started, results)
    if board.errors:
        raise FlashTalkError(f"{len(board.errors)} tasks failed, first: {board.errors[0]}")
    left = missing(experiment, read_results(results))
    if left:
        logger.info("%d cells are left; run the same command again", len(left))
    return _measure_speeds(experiment, job, results, end) and not left


class _Board:
    """Tasks that can be begun, and the tasks that wait for each."""

    def __init__(self, cells: list[Cell]) -> None:
        self._waiting: dict[Training, list[Cell]] = {}
        self.open: list[Training | Cell] = []
        self.errors: list[str] = []
        for cell in cells:
            if cell.row.student is None:
                self.open.append(cell)
            else:
                training = Training(cell.row.student, cell.seed)
                if training not in self._waiting:
                    self.open.append(training)
                self._waiting.setdefault(training, []).append(cell)

    def settle(self, outcome: _Outcome, results: Path) -> list[Training | Cell]:
        """Record the outcome of a task and return the tasks that can be begun now."""
        task, result, error = outcome
        if error:
            self.errors.append(error)
        elif isinstance(task, Cell):
            if result is not None:
                add_result(results, result)
                logger.info("done: %s, seed %d: %s", task.row.name, task.seed, result["lips"])
        elif result:
            return list(self._waiting[task])
        return []


def _do(bench: Workbench, task: Training | Cell, end: float) -> Any:
    """Do a task, or nothing after the end."""
    left = end - time.time()
    if left <= 0:
        return None
    if isinstance(task, Cell):
        return bench.measure(task, lambda: time.time() >= end)
    return bench.train(task.student, task.seed, left)


def _work_here(
    board: _Board, experiment: Experiment, job: TrainingJob, results: Path, end: float
) -> None:
    bench = _open_bench(_on_first_device(job), experiment)
    tasks = list(board.open)
    while tasks:
        task = tasks.pop(0)
        tasks = board.settle(_Outcome(task, _do(bench, task, end)), results) + tasks


def _work_apart(board: _Board, started: Sequence[Callable[..., None]], results: Path) -> None:
    """Hand tasks out to a process each of ``started``; tasks follow from others' outcomes."""
    context = multiprocessing.get_context("spawn")
    tasks: Queue[Training | Cell | None] = context.Queue()
    outcomes: Queue[_Outcome] = context.Queue()
    workers = [context.Process(target=start, args=(tasks, outcomes)) for start in started]
    for worker in workers:
        worker.daemon = True
        worker.start()
    ready, working = list(board.open), 0
    while ready or working:
        # What follows from a task goes first: its student is measured before others are trained.
        while ready and working < len(workers):
            tasks.put(ready.pop(0))
            working += 1
        ready = board.settle(_next_outcome(outcomes, workers), results) + ready
        working -= 1
    for _ in workers:
        tasks.put(None)
    for worker in workers:
        worker.join()


def _next_outcome(outcomes: Queue[_Outcome], workers: Sequence[BaseProcess]) -> _Outcome:
    """Wait for an outcome.

    Raises:
        FlashTalkError: If there is none, and a process that could still have one was killed.
    """
    while True:
        dead = [worker for worker in workers if not worker.is_alive()]
        try:
            return outcomes.get(timeout=_CHECK_INTERVAL_S)
        except Empty:
            if dead:
                raise FlashTalkError(
                    f"a worker ended with code {dead[0].exitcode}, perhaps for lack of memory; "
                    "run the same command again with fewer --workers"
                ) from None


def work(
    job: TrainingJob,
    experiment: Experiment,
    tasks: Queue[Training | Cell | None],
    outcomes: Queue[_Outcome],
    end: float,
    prepare: Callable[[], None] | None,
) -> None:
    """Do tasks until there is a ``None``; an error is reported and ends its task alone."""
    if prepare is not None:
        prepare()
    bench: Workbench | None = None
    while (task := tasks.get()) is not None:
        try:
            if bench is None:
                bench = _open_bench(job, experiment)
            start = time.time()
            result = _do(bench, task, end)
            logger.info("%s took %.0f s", task, time.time() - start)
            outcomes.put(_Outcome(task, result))
        except Exception as error:
            logger.exception("a task failed: %s", task)
            lines = traceback.format_exception_only(error)
            outcomes.put(_Outcome(task, None, f"{task}: {lines[-1].strip()}"))


def _open_bench(job: TrainingJob, experiment: Experiment) -> Workbench:
    if job.device.type == "cuda":
        torch.cuda.set_device(job.device)
        torch.backends.cuda.matmul.allow_tf32 = True
    return Workbench(job, experiment)


def _on_device(job: TrainingJob, index: int) -> TrainingJob:
    if job.device.type != "cuda" or job.device.index is not None:
        return job
    device = torch.device("cuda", index % torch.cuda.device_count())
    return dataclasses.replace(job, device=device)


def _on_first_device(job: TrainingJob) -> TrainingJob:
    return _on_device(job, 0)


def _measure_speeds(experiment: Experiment, job: TrainingJob, results: Path, end: float) -> bool:
    """Add the missing speeds of all sampling modes, one by one until the end.

    Each is measured again on another kind of device; the report takes the one with most of them.

    Returns:
        Whether none is missing any more.
    """
    name = device_name(_on_first_device(job).device)
    read = read_results(results)
    known = {result["way"] for result in read if "way" in result and result["device"] == name}
    modes: dict[str, Row] = {}
    for row in experiment.rows:
        modes.setdefault(sampling_mode(row), row)
    wanted = {mode: row for mode, row in modes.items() if mode not in known}
    bench: Workbench | None = None
    for mode, row in wanted.items():
        if time.time() >= end:
            return False
        bench = bench or _open_bench(_on_first_device(job), experiment)
        speed = round(bench.speed(row), 1)
        add_result(results, {"way": mode, "device": name, "frames_per_s": speed})
    return True
