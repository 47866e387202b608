"""One live session: its chunks are drawn in the thread that calls, until somebody ends it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import comfy.model_management as management

from ...flashtalk_core.engine.events import EventHandlers
from ...flashtalk_core.engine.notes import placement_notes, render_notes
from ...flashtalk_core.errors import OutputError
from ...flashtalk_core.files.output_path import check_output
from ...flashtalk_core.files.paths import is_file
from ...flashtalk_core.live.engine import CancelledError, StepGuard
from ...flashtalk_core.live.realtime import DrawingThread
from ...flashtalk_core.log import printable_log
from ...flashtalk_core.serve.avatars import open_avatar
from ...flashtalk_core.serve.session import ServedSession
from ..host.free_request import unload_if_asked
from ..host.output import OutputFile, new_output
from ..host.written_files import written_files
from ..preview.messages import ENCODING
from ..preview.open_sessions import OpenSession, open_sessions
from ..preview.session_messages import IDLE_FRAMES, SLOW
from ..preview.session_page import SessionPage
from .errors import attribute_errors

if TYPE_CHECKING:
    from comfy_api.latest import io

    from ...flashtalk_core.media.audio.source import Block
    from ...flashtalk_core.serve.avatars import Avatar
    from ...flashtalk_core.serve.session import Encoder, Recorder
    from .descriptions import RenderDescription
    from .session_settings import SessionSettings

_log = printable_log(logging.getLogger(__name__))


class StopRequest:
    """Whether ComfyUI's user asked to stop: its own exception, kept until it can be raised."""

    def __init__(self) -> None:
        """Nobody has asked."""
        self.error: BaseException | None = None
        self.is_playing = False
        """Whether a session runs, whose recording is to be finished first."""

    def is_asked(self) -> bool:
        """Look."""
        if self.error is None:
            try:
                management.throw_exception_if_processing_interrupted()
            except management.InterruptProcessingException as error:
                self.error = error
        return self.error is not None

    def check(self) -> None:
        """Raise if it was asked: to give up a chunk while a session runs, else to stop at once."""
        if self.is_asked():
            assert self.error is not None
            raise CancelledError if self.is_playing else self.error


class SessionJob:
    """Runs one session, and records it."""

    def __init__(
        self,
        node: type[io.ComfyNode],
        render: RenderDescription,
        settings: SessionSettings,
        opening: Block | None,
        encoder: Encoder,
        record: Callable[[Path], Recorder],
    ) -> None:
        """Prepare; nothing is read or written.

        Args:
            node: The node that runs, for messages.
            render: Who speaks.
            settings: Of the session.
            opening: What is spoken first, ``(1, n)`` at the session's rate; ``None`` is nothing.
            encoder: Makes what encodes for viewers.
            record: Makes what records into a file.
        """
        self._node, self._render, self._settings = node, render, settings
        self._opening, self._encoder, self._record = opening, encoder, record
        self._stop = StopRequest()
        self._guard: StepGuard | None = None

    def run(self, prefix: str, node_id: str | None, workflow: str | None) -> OutputFile:
        """Run the session to its end; return its recording.

        Args:
            prefix: Of the recording's name.
            node_id: Where it is shown.
            workflow: Id of the workflow the node is in, if known.

        Raises:
            FlashTalkError: If it cannot begin: chunks take too long, or the file cannot be written.
            Exception: What ended it, if that is not its limits or somebody's wish; the recording
                is complete then as well.
        """
        plan, model, settings = self._render.plan, self._render.model, self._settings
        chunk_s = plan.chunk.num_new_frames / plan.chunk.frame_rate_hz
        with (
            SessionPage(settings.start, settings.limits, chunk_s, node_id, workflow) as page,
            attribute_errors(self._node, "reference"),
        ):
            page.note([*render_notes(plan), *placement_notes(plan.placement)])
            output = new_output(prefix, plan.request.size_px, ".mp4")
            check_output(output.path)
            page.say(ENCODING)
            events = self._events(page)
            engine = model.engine_for(plan, events)
            length = [plan.chunk.num_frames]
            check = self._stop.check
            with open_avatar(engine, plan, settings.policy, length, check, events) as avatar:
                settings.check_speed(avatar.factor)
                self._guard = avatar.engine.guard
                self._play(avatar, output, page)
        if node_id is not None:
            written_files().add(node_id, output.path)
        return output

    def _events(self, page: SessionPage) -> EventHandlers:
        def loading(kind: type) -> None:
            self._stop.check()
            if self._guard is not None:  # ComfyUI's management brings the networks, not the engine
                self._guard.note_loading()
            page.reading(kind)

        return EventHandlers(
            loading=loading,
            ready=lambda: page.say(IDLE_FRAMES),
            step=lambda _step: self._stop.check(),
        )

    def _play(self, avatar: Avatar, output: OutputFile, page: SessionPage) -> None:
        settings, drawing = self._settings, DrawingThread()
        if avatar.factor > 1:
            page.note([SLOW.format(factor=avatar.factor)])
        recorder = self._record(output.path)
        session = ServedSession(
            avatar,
            settings.start,
            drawing,
            settings.limits,
            self._encoder,
            recorder,
            settings.detector,
        )
        found = OpenSession(session, avatar.factor)
        self._stop.is_playing = True
        try:
            session.add_output("page", page)
            if self._opening is not None:
                session.push(self._opening)
                session.end()
            open_sessions()[session.id] = found
            page.begin(session, avatar.factor, output)
            drawing.draw_until(lambda: self._is_over(found))
        finally:
            open_sessions().pop(session.id, None)
            session.close(found.reason or "error")
            drawing.stop()
            self._stop.is_playing = False
        page.end(found.reason)
        self._raise_what_ended(session, output)

    def _is_over(self, found: OpenSession) -> bool:
        if self._stop.is_asked():
            found.reason = "stopped"
        found.reason = found.reason or found.session.why_over()
        found.session.end_unwatched()
        if not found.session.live.is_speaking and unload_if_asked():
            _log.info("models were unloaded, as /free asked; the next speech loads them")
        return bool(found.reason)

    def _raise_what_ended(self, session: ServedSession, output: OutputFile) -> None:
        error = session.error or self._stop.error
        if error is not None:
            if is_file(output.path):
                error.add_note(f"what was shown is in {output.path}")
                _log.warning("stopped: what was shown is in %s", output.path)
            raise error
        if not is_file(output.path):
            raise OutputError(
                f"{output.path}: the recording fell behind and was given up; what there is of it "
                "is in the .partial.mp4 beside it; make the video smaller, or use a faster disk",
                subject="output",
            )
