"""A running ComfyUI by its HTTP routes; nothing of it is imported."""

from __future__ import annotations

import hashlib
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import FlashTalkError, InvalidInputError, OutputError, require
from ..excerpt import excerpt, reason
from ..files.whole_file import replacing
from ..json_text import parse_json

_TIMEOUT_S = 60.0
_BLOCK = 2**20
SUBFOLDER = "flashtalk-batch"
"""Where files are uploaded to, in ComfyUI's input folder."""


class ServerError(FlashTalkError):
    """A ComfyUI that cannot be reached, or refuses what it is asked for."""

    subject = "server"


class ComfyServer:
    """Uploads files, queues prompts, and says what became of them."""

    def __init__(self, address: str) -> None:
        """Connect to nothing yet.

        Args:
            address: Such as ``http://127.0.0.1:8188``.

        Raises:
            InvalidInputError: If it is no address.
        """
        parts = urllib.parse.urlsplit(address)
        require(
            parts.scheme in ("http", "https") and bool(parts.hostname),
            f"server {excerpt(address)!r}: no address; write http://127.0.0.1:8188",
            subject="server",
        )
        self.address = address.rstrip("/")
        self._client = secrets.token_hex(8)
        self._uploaded: dict[tuple[Path, int, int], str] = {}

    def check(self) -> None:
        """Raise :class:`ServerError` unless a ComfyUI answers."""
        self._json("/system_stats")

    def upload(self, path: Path) -> str:
        """Upload a file, once, and return its name in ComfyUI's input folder.

        Raises:
            InvalidInputError: If it cannot be read.
            ServerError: If ComfyUI does not take it.
        """
        try:
            found = path.stat()
            key = path, found.st_size, found.st_mtime_ns
            if key in self._uploaded:
                return self._uploaded[key]
            content = path.read_bytes()
        except OSError as error:
            raise InvalidInputError(f"{path}: {reason(error)}; check the file") from error
        # Two files may have one name; the same file has one name in every run.
        name = f"{hashlib.sha256(content).hexdigest()[:12]}{path.suffix.lower()}"
        fields = {"subfolder": SUBFOLDER, "type": "input", "overwrite": "true"}
        body, kind = _form(fields, name, content)
        answer = self._json("/upload/image", body, kind)
        uploaded = f"{answer['subfolder']}/{answer['name']}".lstrip("/")
        self._uploaded[key] = uploaded
        return uploaded

    def queue(self, prompt: Mapping[str, Any]) -> str:
        """Queue a prompt and return its id.

        Raises:
            ServerError: If ComfyUI refuses it; the message has its reasons.
        """
        body = json.dumps({"prompt": prompt, "client_id": self._client}).encode()
        answer = self._json("/prompt", body, "application/json")
        return str(answer["prompt_id"])

    def history(self, prompt_id: str) -> dict[str, Any] | None:
        """Return what became of a prompt; ``None`` while it waits or runs."""
        found: dict[str, Any] | None = self._json(f"/history/{prompt_id}").get(prompt_id)
        return found

    def is_queued(self, prompt_id: str) -> bool:
        """Whether a prompt waits or runs."""
        queue = self._json("/queue")
        waiting = [*queue.get("queue_running", ()), *queue.get("queue_pending", ())]
        return any(prompt_id in each[:2] for each in waiting)

    def cancel(self, prompt_id: str) -> None:
        """Take a prompt out of the queue, or stop it where it runs; no other is stopped."""
        delete = json.dumps({"delete": [prompt_id]}).encode()
        self._send("/queue", delete, "application/json")
        running = self._json("/queue").get("queue_running", ())
        if any(prompt_id in each[:2] for each in running):
            stop = json.dumps({"prompt_id": prompt_id}).encode()
            self._send("/interrupt", stop, "application/json")

    def download(self, file: Mapping[str, str], path: Path) -> None:
        """Write a file that ComfyUI made as ``path``.

        Raises:
            ServerError: If ComfyUI does not give it.
            OutputError: If it cannot be written.
        """
        query = urllib.parse.urlencode(
            {name: file.get(name, "") for name in ("filename", "subfolder", "type")}
        )
        try:
            with (
                replacing(path) as aside,
                aside.open("wb") as target,
                self._open(f"/view?{query}") as answer,
            ):
                while block := self._read(answer):
                    target.write(block)
        except OSError as error:
            raise OutputError(
                f"output {path}: cannot be written, {reason(error).lower()}; choose another folder"
            ) from error

    def _read(self, answer: Any) -> bytes:
        try:
            block: bytes = answer.read(_BLOCK)
        except OSError as error:
            raise self._lost("/view", error) from error
        return block

    def _json(self, route: str, body: bytes | None = None, kind: str = "") -> Any:
        text = self._send(route, body, kind)
        try:
            return parse_json(text)
        except ValueError as error:
            raise ServerError(
                f"server {self.address}: {route} is answered with no JSON; is this a ComfyUI?"
            ) from error

    def _send(self, route: str, body: bytes | None = None, kind: str = "") -> bytes:
        try:
            with self._open(route, body, kind) as answer:
                read: bytes = answer.read()
                return read
        except OSError as error:
            raise self._lost(route, error) from error

    def _open(self, route: str, body: bytes | None = None, kind: str = "") -> Any:
        headers = {"Content-Type": kind} if kind else {}
        request = urllib.request.Request(f"{self.address}{route}", body, headers)
        try:
            return urllib.request.urlopen(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(route, error.code, error.read()) from error
        except OSError as error:
            raise self._lost(route, error) from error

    def _refused(self, route: str, code: int, body: bytes) -> ServerError:
        said = _reasons(body) or f"status {code}"
        return ServerError(f"server {self.address}: {route.partition('?')[0]} refused: {said}")

    def _lost(self, route: str, error: OSError) -> ServerError:
        why = reason(getattr(error, "reason", None) or error)
        return ServerError(
            f"server {self.address}: {route.partition('?')[0]} is not answered, {why}; start "
            "ComfyUI, or name another one with --server"
        )


def _form(fields: Mapping[str, str], name: str, content: bytes) -> tuple[bytes, str]:
    """Return a form with a file as a browser sends it, and its content type."""
    border = secrets.token_hex(16)
    parts = [
        f'--{border}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = (
        f'--{border}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    parts += [head.encode(), content, f"\r\n--{border}--\r\n".encode()]
    return b"".join(parts), f"multipart/form-data; boundary={border}"


def _reasons(body: bytes) -> str:
    """Return why a prompt was refused, in a line: ComfyUI lists errors by node."""
    try:
        found = parse_json(body)
    except ValueError:
        return excerpt(body.decode(errors="replace").strip(), 160)
    if not isinstance(found, dict):
        return ""
    error = found.get("error")
    said = [str(error.get("message", "")) if isinstance(error, dict) else str(error or "")]
    for node in (found.get("node_errors") or {}).values():
        for each in node.get("errors", ()):
            details = each.get("details") or each.get("message")
            said.append(f"{node.get('class_type')}: {details}")
    return excerpt("; ".join(filter(None, said)), 300)
