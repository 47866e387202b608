"""One render job: a kept render is copied, otherwise the chunks are generated."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ...flashtalk_core.engine.events import EventHandlers
from ...flashtalk_core.engine.notes import render_notes, set_up_notes
from ...flashtalk_core.engine.render import describe
from ...flashtalk_core.errors import OutputError
from ...flashtalk_core.excerpt import reason
from ...flashtalk_core.files.render_store import RenderStore
from ...flashtalk_core.jobs.folder import find_interrupted
from ...flashtalk_core.jobs.job import Job, JobOptions, render_key, resumable_keys
from ...flashtalk_core.log import printable_log
from ...flashtalk_core.media.video.remux import remux_video
from ..host.output import OutputFile, new_output, store_folder
from ..host.written_files import written_files
from ..preview.live_preview import LivePreview
from ..preview.messages import CONVERTING, COPYING
from ..preview.progress import RenderProgress
from .errors import attribute_errors

if TYPE_CHECKING:
    from pathlib import Path

    from comfy_api.latest import io
    from torch import Tensor

    from .descriptions import RenderDescription

_log = printable_log(logging.getLogger(__name__))

_GB = 10**9
_UNCONVERTED_BYTES = 50 * _GB
"""Most bytes of renders that wait for another container; they are links, mostly to the outputs."""


class RenderJob:
    """Renders one description to one file."""

    def __init__(
        self,
        node: type[io.ComfyNode],
        render: RenderDescription,
        node_id: str | None,
        crf: int,
        keep_gb: float,
        metadata: Mapping[str, str],
        workflow: str | None = None,
    ) -> None:
        """Prepare; nothing is read or written.

        Args:
            node: The node that runs, for messages.
            render: What to render.
            node_id: Where progress is shown.
            crf: H.264 quality, 0 (best) to 51.
            keep_gb: Most gigabytes of finished renders that are kept; 0 keeps none.
            metadata: Texts for the file.
            workflow: Id of the workflow the node is in, if known.
        """
        self._node = node
        self._render = render
        self._node_id = node_id
        self._crf = crf
        self._metadata = {"comment": describe(render.plan)} | dict(metadata)
        self._workflow = workflow
        self._store = RenderStore(store_folder(), round(keep_gb * _GB))
        self._unconverted = RenderStore(store_folder() / "unconverted", _UNCONVERTED_BYTES)

    def run(self, prefix: str, container: str) -> OutputFile:
        """Write the video under a new name.

        Args:
            prefix: Of the file's name.
            container: ``mp4``, ``mov`` or ``mkv``.

        Raises:
            FlashTalkError: If it cannot be written; the message says where the part is that was
                rendered, if any.
        """
        with LivePreview(self._render.plan, self._node_id, self._workflow) as preview:
            output = self._write(prefix, container, preview)
        if self._node_id is not None:
            written_files().add(self._node_id, output.path)
        return output

    def _write(self, prefix: str, container: str, preview: LivePreview) -> OutputFile:
        plan = self._render.plan
        preview.note(render_notes(plan))
        with attribute_errors(self._node, "frames"):
            key = render_key(plan, self._crf)
            output = new_output(prefix, plan.format.size_px, f".{container}")
            if plan.is_repeatable and self._copy(key, output.path, preview):
                preview.finish(output, is_copy=True)
                return output
            output = self._interrupted(output) or output
            video = output.path.with_suffix(".mp4")
            live = preview.open_stream()
            options = JobOptions(crf=self._crf, metadata=self._metadata, sinks=[live])
            job = Job(plan, self._render.spec, video, options)
        files = job.writer.output
        preview.start(
            OutputFile(files.partial, output.subfolder), OutputFile(files.final, output.subfolder)
        )
        self._draw(job, preview)
        if plan.is_repeatable:
            self._store.store(key, video)
        if video != output.path:
            preview.say(CONVERTING.format(container=output.path.suffix.removeprefix(".")))
            if plan.is_repeatable:
                self._unconverted.store(key, video)
            self._change_container(video, output.path)
            self._unconverted.drop(key)
        preview.finish(output)
        return output

    def _interrupted(self, output: OutputFile) -> OutputFile | None:
        """Return the file of an interrupted run with the same settings, to go on with it."""
        plan = self._render.plan
        if not plan.is_repeatable:
            return None
        found = find_interrupted(output.path.parent, resumable_keys(plan, self._crf))
        if found is None:
            return None
        return replace(output, path=found.final.with_suffix(output.path.suffix))

    def _copy(self, key: str, path: Path, preview: LivePreview) -> bool:
        """Copy the kept render, if there is one that can be read.

        Raises:
            OutputError: If the copy cannot be written; a rendered video could not be, either.
        """
        store = self._store
        kept = store.find(key)
        if kept is None:  # a render whose container could not be changed
            store = self._unconverted
            kept = store.find(key)
        if kept is None:
            return False
        preview.say(COPYING)
        try:
            remux_video(kept, path, self._metadata)
        except Exception as error:  # the border of a file that anything may have happened to
            cause = error.__cause__
            if isinstance(error, OutputError) and (cause is None or isinstance(cause, OSError)):
                raise  # of the target, where a newly rendered video would fail alike
            _log.warning("a kept render cannot be used and is rendered again: %s", reason(error))
            store.drop(key)
            return False
        self._unconverted.drop(key)
        _log.info("%s: same settings as a render that was kept, copied", path)
        return True

    def _change_container(self, video: Path, path: Path) -> None:
        try:
            with attribute_errors(self._node, "container"):
                remux_video(video, path, self._metadata)
        except BaseException as error:
            error.add_note(f"the whole render is in {video}")
            _log_what_is_left(error)
            raise
        try:
            video.unlink()
        except OSError as error:
            _log.warning("%s is complete, but %s stays behind: %s", path, video, error)

    def _draw(self, job: Job, preview: LivePreview) -> None:
        plan, model = self._render.plan, self._render.model
        total = job.num_frames
        assert total is not None, "the node shows how much is left"
        if job.num_done:
            preview.go_on(job.num_done)
        # Images on the node are for pages that cannot show the stream.
        progress = RenderProgress(
            plan, total, self._node_id, lambda: not preview.is_watched, num_done=job.num_done
        )

        def loading(kind: type) -> None:
            progress.stop_if_asked()
            preview.reading(kind)

        def add_frames(frames: Tensor) -> None:
            preview.add_frames(frames)  # first: the progress may stop the render
            progress.add_frames(frames)

        events = EventHandlers(
            loading=loading, ready=preview.start_clock, step=progress.before_step, frames=add_frames
        )
        self._note_placement(preview)
        try:
            with attribute_errors(self._node, "frames"):
                job.render(model.engine_for(plan, events), events)
        except BaseException as error:
            _log_what_is_left(error)
            raise
        progress.finish()

    def _note_placement(self, preview: LivePreview) -> None:
        """Report what stays on the device; log it, and what has no effect there."""
        place = self._render.plan.placement
        for note in set_up_notes(self._render.plan):
            _log.warning("%s", note)
        reason = self._render.model.networks.memory_reason(place)
        if reason:
            _log.info("memory: %s", reason)
            preview.note([f"memory: {reason}"])


def _log_what_is_left(error: BaseException) -> None:
    """Log where the rendered part is."""
    for note in getattr(error, "__notes__", ()):
        _log.warning("stopped: %s", note)
