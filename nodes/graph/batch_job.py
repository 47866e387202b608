"""The loop of the Batch node: check all rows, render those that are missing, report."""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.model_management as management
import comfy.utils

from ...flashtalk_core.batch.check import check_rows, facts_of
from ...flashtalk_core.batch.outputs import make_folder
from ...flashtalk_core.batch.results import SUFFIX, ResultFile
from ...flashtalk_core.batch.rows import BatchRow, CheckedRow, FaultyRow, Outcome, RowFacts
from ...flashtalk_core.batch.run import (
    LocalWorker,
    describe_error,
    in_order,
    result_of,
    result_of_faulty,
)
from ...flashtalk_core.engine.events import EventHandlers
from ...flashtalk_core.engine.resolve import Inputs, resolve
from ...flashtalk_core.errors import InvalidInputError, require
from ...flashtalk_core.jobs.folder import find_interrupted
from ...flashtalk_core.jobs.job import render_file, resumable_keys
from ...flashtalk_core.log import printable_log
from ..host.output import OutputFile, folder_below, input_path, output_file
from ..host.render_host import ComfyHost
from ..host.written_files import written_files
from .batch_rows import BatchRows, BatchSettings, rows_of_lists, rows_of_manifest
from .descriptions import refuse_hosted

if TYPE_CHECKING:
    from torch import Tensor

    from ...flashtalk_core.batch.rows import RowEvents
    from ...flashtalk_core.engine.plan import RenderPlan
    from ...flashtalk_core.engine.spec import RenderSpec
    from .descriptions import ModelDescription

_log = printable_log(logging.getLogger(__name__))


@dataclass(frozen=True)
class BatchOutcome:
    """What the node gives out."""

    videos: list[OutputFile]
    """Of the rows that are done, in the order of the rows."""
    report: str
    """A line for each row."""


class _Interrupted(BaseException):
    """ComfyUI's user asked to stop: in some versions that is an error like any other."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def run_batch(model: ModelDescription, settings: BatchSettings, node: str | None) -> BatchOutcome:
    """Render all rows that are not done.

    Args:
        model: What renders.
        settings: Of the node.
        node: Id of the node, for the progress bar.

    Raises:
        FlashTalkError: If the rows cannot be read, or none of them is done in the end.
    """
    refuse_hosted(model, "native model: a batch encodes prompts and portraits of its rows itself")
    checkpoint = model.checkpoint
    require(
        checkpoint.text_plan is not None and checkpoint.clip_plan is not None,
        "model without text encoder or CLIP vision: a batch encodes prompts and portraits itself; "
        "choose both in FlashTalk Model Loader",
        subject="model",
    )
    found = rows_of_manifest(settings) if settings.manifest else rows_of_lists(settings)
    return _Batch(model, settings, node, found).run()


class ManagedRenderer:
    """Renders rows with ComfyUI's networks; :class:`~.batch.rows.Renderer` of the core."""

    def __init__(self, model: ModelDescription, inputs: Mapping[str, Inputs]) -> None:
        """Take what renders, and what of the rows is in memory."""
        self._model = model
        self._inputs = inputs

    def plan(self, row: BatchRow) -> RenderPlan:
        """Check a row with the node's model."""
        spec = self._spec(row)
        inputs = replace(self._inputs.get(row.number, Inputs()), model=self._model.opened)
        return resolve(spec, ComfyHost(), inputs)

    def _spec(self, row: BatchRow) -> RenderSpec:
        model, wanted = self._model, row.spec.placement
        placement = replace(model.placement, decode_latents=wanted.decode_latents)
        return replace(row.spec, model=model.spec, placement=placement)

    def render(self, row: BatchRow, events: RowEvents) -> int:
        """Render a row into its file; return its frames, or raise."""
        _stop_if_asked()
        plan = self.plan(row)
        make_folder(row.output)

        def add(frames: Tensor) -> None:
            events.frames(len(frames))
            _stop_if_asked()

        handlers = EventHandlers(
            loading=lambda _kind: _stop_if_asked(),
            step=lambda _step: _stop_if_asked(),
            frames=add,
        )
        return render_file(
            plan,
            self._spec(row),
            row.output,
            self._model.engine_for(plan, handlers),
            crf=row.crf,
            events=handlers,
            resumed=events.resumed,
        )

    def forget(self) -> None:
        """Take all models off the device: memory ran out, or nobody knows their state."""
        management.unload_all_models()
        gc.collect()


class _Batch:
    """One run of the node; its own events."""

    def __init__(
        self, model: ModelDescription, settings: BatchSettings, node: str | None, rows: BatchRows
    ) -> None:
        self._renderer = ManagedRenderer(model, rows.inputs)
        self._rows, self._notes, self._node = rows.rows, rows.notes, node
        self._results: ResultFile | None = None
        if settings.manifest:
            name = input_path(settings.manifest).name + SUFFIX
            self._results = ResultFile(folder_below(settings.folder) / name)
        self._keys: dict[str, tuple[str, ...]] = {}
        """What decides each video, by number of row."""
        self._lines: dict[str, str] = {}
        self._videos: dict[str, Path] = {}
        self._subject: str | None = None
        self._num_frames = 0
        self._bar: Any = None

    def run(self) -> BatchOutcome:
        try:
            self._render()
        except _Interrupted as stop:
            raise stop.error from None
        return self._outcome()

    def _render(self) -> None:
        results = self._results
        if results is not None:
            make_folder(results.path)
        with nullcontext() if results is None else results.opened():
            wanted = self._check()
            total = sum(row.num_frames for row in wanted)
            self._bar = comfy.utils.ProgressBar(max(total, 1), node_id=self._node)
            LocalWorker(self._renderer).render_all(in_order(wanted), self)

    def started(self, row: CheckedRow) -> None:
        _log.info("row %s of %d begins", row.row.number, len(self._rows))

    def resumed(self, row: CheckedRow, count: int) -> None:
        """Say from where a row goes on."""
        name, total = row.row.number, row.num_frames
        _log.info("row %s goes on after frame %d of %d of an interrupted run", name, count, total)
        self.frames(row, count)

    def frames(self, _row: CheckedRow, count: int) -> None:
        if count:
            self._num_frames += count
            self._bar.update_absolute(self._num_frames)

    def ended(self, row: CheckedRow, outcome: Outcome) -> None:
        if self._results is not None:
            self._results.add(result_of(self._results, row, outcome))
        number = row.row.number
        if outcome.status == "done":
            self._add_video(row)
            count = outcome.num_frames - outcome.num_resumed
            which = f"{count} of {outcome.num_frames}" if outcome.num_resumed else f"{count}"
            rate = f"{outcome.frames_per_s:.1f} a second"
            took = f"{which} frames in {outcome.seconds:.1f} s, {rate}"
            if outcome.num_resumed:
                took += f"; the first {outcome.num_resumed} are of an interrupted run"
            self._lines[number] = f"done, {row.row.output.name}, {took}"
        else:
            self._lines[number] = f"{outcome.status}: {outcome.error}"
            _log.warning("row %s: %s: %s", number, outcome.status, outcome.error)

    def _check(self) -> list[CheckedRow]:
        """Return the rows to render; note the others."""
        wanted: list[CheckedRow] = []
        taken: set[Path] = set()
        for each in check_rows(self._rows, self._look, self._results):
            if isinstance(each, FaultyRow):
                if self._results is not None:
                    self._results.add(result_of_faulty(self._results, each))
                self._subject = self._subject or each.error.subject
                self._lines[each.number] = f"failed: {describe_error(each.error)}"
                _log.warning("row %s: failed: %s", each.number, describe_error(each.error))
            elif each.is_done:
                if self._results is not None:
                    self._results.confirm(each.row.output)
                self._add_video(each)
                self._lines[each.row.number] = f"done before, {each.row.output.name}"
            else:
                wanted.append(self._going_on(each, taken))
        return wanted

    def _look(self, row: BatchRow) -> RowFacts:
        _stop_if_asked()
        plan = self._renderer.plan(row)
        if plan.is_repeatable:
            self._keys[row.number] = resumable_keys(plan, row.crf)
        return facts_of(plan, row.crf)

    def _going_on(self, row: CheckedRow, taken: set[Path]) -> CheckedRow:
        """Return a row of lists, whose video gets a new name, with that of an interrupted run."""
        keys = self._keys.get(row.row.number)
        if self._results is not None or keys is None:
            return row
        found = find_interrupted(row.row.output.parent, keys)
        if found is None or found.final in taken:
            return row
        taken.add(found.final)
        return replace(row, row=replace(row.row, output=found.final))

    def _add_video(self, row: CheckedRow) -> None:
        self._videos[row.row.number] = row.row.output
        if self._node is not None:
            written_files().add(self._node, row.row.output)

    def _outcome(self) -> BatchOutcome:
        numbers = [row.number for row in self._rows]
        lines = [f"row {number}: {self._lines[number]}" for number in numbers]
        if not self._videos:
            # What is wrong with a row of a manifest is not in an input of the node.
            subject = "manifest" if self._results is not None else self._subject
            raise InvalidInputError(
                f"none of {len(numbers)} rows is done; {lines[0]}", subject=subject
            )
        count = len(self._videos)
        summary = f"{len(numbers)} rows: {count} done, {len(numbers) - count} failed"
        videos = [output_file(self._videos[each]) for each in numbers if each in self._videos]
        return BatchOutcome(videos, "\n".join([summary, *self._notes, *lines]))


def _stop_if_asked() -> None:
    """Raise if ComfyUI's user asked to stop; no row may take that for an error of its own."""
    try:
        management.throw_exception_if_processing_interrupted()
    except management.InterruptProcessingException as error:
        raise _Interrupted(error) from error
