"""Rows of a batch on a running ComfyUI: a prompt each, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from ..batch.outputs import make_folder
from ..batch.rows import BatchEvents, BatchRow, CheckedRow, Outcome, Status
from ..batch.run import describe_error
from ..errors import FlashTalkError
from ..excerpt import excerpt
from ..files.deferred_stops import deferred_stops
from .connection import LostError, ServerError
from .server import ComfyServer
from .workflow import Workflow, fill

_POLL_S = 0.5
_MOST_LOST = 6
"""Questions in a row that are not answered; between them it waits 1, 2, 4, 8 and 16 s. ComfyUI
may be too busy to answer for a while, and a render of hours is not given up for that."""
_FIRST_PAUSE_S = 1.0
T = TypeVar("T")


class ComfyWorker:
    """Has ComfyUI render rows; :class:`.batch.rows.RowWorkers`."""

    def __init__(
        self, server: ComfyServer, workflow: Workflow, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Connect to nothing yet.

        Args:
            server: What renders.
            workflow: What it renders.
            sleep: Waits so many seconds between two questions.
        """
        self._server, self._workflow, self._sleep = server, workflow, sleep

    def render_all(self, rows: Sequence[CheckedRow], events: BatchEvents) -> None:
        """Render row after row; see :class:`.batch.rows.RowWorkers`."""
        for row in rows:
            events.started(row)
            start_s = time.monotonic()
            status: Status = "done"
            error: str | None = None
            stop: BaseException | None = None
            try:
                self._render(row.row)
                events.frames(row, row.num_frames)
            except Exception as problem:  # the border between a row and the rest of the batch
                status, error = "failed", describe_error(problem)
            except BaseException as problem:
                status, error, stop = "stopped", "its prompt was cancelled", problem
            count = row.num_frames if status == "done" else 0
            seconds = time.monotonic() - start_s
            with deferred_stops():
                events.ended(row, Outcome(status, count, seconds, error, stop))
            if stop is not None:
                raise stop

    def _render(self, row: BatchRow) -> None:
        server = self._server
        image, audio = server.upload(row.image), server.upload(row.audio)
        filled = fill(self._workflow, row.spec, row.crf, row.given, image, audio)
        make_folder(row.output)
        prompt_id = server.queue(filled)
        try:
            found = self._wait(prompt_id)
        except BaseException:
            with suppress(FlashTalkError):
                server.cancel(prompt_id)
            raise
        video = _video_of(found)
        self._ask(lambda: server.download(video, row.output))

    def _wait(self, prompt_id: str) -> dict[str, Any]:
        """Return what became of a prompt, once it ended.

        Raises:
            ServerError: If it failed, or was taken out of the queue.
        """
        num_missing = 0
        while num_missing < 2:
            found = self._ask(lambda: self._server.history(prompt_id))
            if found is not None:
                _check(found)
                return found
            # It may have ended between the two questions.
            is_queued = self._ask(lambda: self._server.is_queued(prompt_id))
            num_missing = 0 if is_queued else num_missing + 1
            self._sleep(_POLL_S)
        raise ServerError("ComfyUI has dropped the prompt: it was deleted, or ComfyUI restarted")

    def _ask(self, ask: Callable[[], T]) -> T:
        """Ask, a few times if there is no answer.

        Raises:
            LostError: If there is none in the end.
        """
        for number in range(_MOST_LOST - 1):
            try:
                return ask()
            except LostError:
                self._sleep(_FIRST_PAUSE_S * 2**number)
        return ask()


def _check(found: Mapping[str, Any]) -> None:
    status = _object(found.get("status"))
    if status.get("status_str", "success") == "success":
        return
    for kind, details in _messages(status.get("messages")):
        if kind == "execution_error":
            said = str(details.get("exception_message", "")).strip()
            place = excerpt(details.get("node_type"))
            raise ServerError(f"ComfyUI, {place}: {excerpt(said, 300)}")
        if kind == "execution_interrupted":
            raise ServerError("ComfyUI: stopped there by its user")
    raise ServerError(f"ComfyUI: the prompt ended as {excerpt(status.get('status_str'))!r}")


def _messages(found: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    for each in found if isinstance(found, list) else ():
        if isinstance(each, list) and len(each) == 2:
            yield each[0], _object(each[1])


def _object(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _video_of(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the video among the outputs of a prompt.

    Raises:
        ServerError: If there is none.
    """
    for file in _files(_object(found.get("outputs"))):
        if file["filename"].lower().endswith(".mp4"):
            return file
    raise ServerError("ComfyUI: the workflow wrote no .mp4; choose container mp4 in it")


def _files(outputs: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for shown in outputs.values():
        for values in _object(shown).values():
            for each in values if isinstance(values, list) else ():
                if isinstance(each, dict) and isinstance(each.get("filename"), str):
                    yield each
