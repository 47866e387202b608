"""A running ComfyUI by its HTTP routes; nothing of it is imported."""

from __future__ import annotations

import json
import secrets
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InvalidInputError, OutputError
from ..excerpt import excerpt, reason, shown_path
from ..files.whole_file import replacing
from ..media.isobmff.boxes import file_boxes
from .connection import Connection, ServerError, json_body
from .upload import content_name, file_form, upload_error

SUBFOLDER = "flashtalk-batch"
"""Where files are uploaded to, in ComfyUI's input folder."""


class ComfyServer:
    """Uploads files, queues prompts, and says what became of them."""

    def __init__(self, address: str) -> None:
        """Connect to nothing yet.

        Args:
            address: Such as ``http://127.0.0.1:8188``.

        Raises:
            InvalidInputError: If it is no address.
        """
        self._connection = Connection(address)
        self._client = secrets.token_hex(8)
        self._uploaded: dict[tuple[Path, int, int], str] = {}

    def check(self) -> None:
        """Raise :class:`ServerError` unless a ComfyUI answers."""
        self._connection.json("/system_stats")

    def upload(self, path: Path) -> str:
        """Upload a file, once, and return its name in ComfyUI's input folder.

        Raises:
            InvalidInputError: If it cannot be read.
            ServerError: If ComfyUI does not take it.
        """
        try:
            found = path.stat()
        except OSError as error:
            raise InvalidInputError(
                f"{shown_path(path)}: {reason(error)}; check the file"
            ) from error
        key = path, found.st_size, found.st_mtime_ns
        if key not in self._uploaded:
            self._uploaded[key] = self._upload(path, found.st_size)
        return self._uploaded[key]

    def _upload(self, path: Path, size: int) -> str:
        fields = {"subfolder": SUBFOLDER, "type": "input", "overwrite": "true"}
        body = file_form(fields, content_name(path), path, size)
        route = "/upload/image"
        try:
            answer = self._connection.json(route, body)
        except ServerError as error:
            raise upload_error(path, size, error) from error
        names = [answer.get("subfolder"), answer.get("name")]
        if not all(isinstance(each, str) for each in names):
            raise self._connection.odd(route, "no name of a file")
        return "/".join(map(str, names)).lstrip("/")

    def queue(self, prompt: Mapping[str, Any]) -> str:
        """Queue a prompt and return its id.

        Raises:
            ServerError: If ComfyUI refuses it; the message has its reasons.
        """
        body = json_body(json.dumps({"prompt": prompt, "client_id": self._client}))
        found = self._connection.json("/prompt", body).get("prompt_id")
        if not isinstance(found, str) or not found:
            raise self._connection.odd("/prompt", "no id of a prompt")
        return found

    def history(self, prompt_id: str) -> dict[str, Any] | None:
        """Return what became of a prompt; ``None`` while it waits or runs.

        Raises:
            LostError: If there is no answer.
            ServerError: If it is none of ComfyUI's.
        """
        route = f"/history/{urllib.parse.quote(prompt_id, safe='')}"
        found = self._connection.json(route).get(prompt_id)
        if found is not None and not isinstance(found, dict):
            raise self._connection.odd(route, f"{excerpt(found)!r}")
        return found

    def is_queued(self, prompt_id: str) -> bool:
        """Whether a prompt waits or runs; raises as :meth:`history` does."""
        found = self._connection.json("/queue")
        return _has(found.get("queue_running"), prompt_id) or _has(
            found.get("queue_pending"), prompt_id
        )

    def cancel(self, prompt_id: str) -> None:
        """Take a prompt out of the queue, or stop it where it runs; no other is stopped."""
        self._connection.send("/queue", json_body(json.dumps({"delete": [prompt_id]})))
        if _has(self._connection.json("/queue").get("queue_running"), prompt_id):
            self._connection.send("/interrupt", json_body(json.dumps({"prompt_id": prompt_id})))

    def download(self, file: Mapping[str, str], path: Path) -> None:
        """Write a video that ComfyUI made as ``path``; an older one stays unless it is whole.

        Raises:
            LostError: If it comes in part.
            ServerError: If ComfyUI does not give it, or it is no whole MP4 file.
            OutputError: If it cannot be written.
        """
        query = urllib.parse.urlencode(
            {name: file.get(name, "") for name in ("filename", "subfolder", "type")}
        )
        try:
            with replacing(path) as aside:
                with aside.open("wb") as target:
                    self._connection.copy(f"/view?{query}", target)
                _check_video(aside, str(file.get("filename")))
        except OSError as error:
            raise OutputError(
                f"output {shown_path(path)}: cannot be written, {reason(error).lower()}; choose "
                "another folder"
            ) from error


def _has(queue: Any, prompt_id: str) -> bool:
    """Whether a prompt is in a queue: each of it is a list of a number, its id and more."""
    entries = queue if isinstance(queue, list) else ()
    return any(isinstance(each, list) and prompt_id in each[:2] for each in entries)


def _check_video(path: Path, name: str) -> None:
    """Raise :class:`ServerError` unless an MP4 file has all its boxes."""
    missing, end = {b"ftyp", b"moov", b"mdat"}, 0
    with path.open("rb") as file:
        for span in file_boxes(file):
            missing.discard(span.kind)
            end = span.stop
        size = file.seek(0, 2)
    if missing or end != size:
        raise ServerError(
            f"ComfyUI: {excerpt(name)!r}, {size} bytes, is no whole MP4 file; look at it there, "
            "and run the command again"
        )
