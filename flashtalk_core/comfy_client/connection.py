"""Requests to one server: answers are bounded, and whatever goes wrong on the way is one error."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import Any, BinaryIO, cast

from ..errors import FlashTalkError, require
from ..excerpt import excerpt, reason
from ..json_text import parse_json

_TIMEOUT_S = 60.0
_BLOCK = 2**20
_MOST_BYTES = 64 * 2**20
"""Of an answer; a queue of a thousand large workflows has a third of it."""
_MOST_ERROR_BYTES = 2**20
_ON_THE_WAY = (OSError, HTTPException, ValueError)
"""What ``http.client`` raises: of the network, of answers that are no HTTP, of odd addresses."""


class ServerError(FlashTalkError):
    """A ComfyUI that cannot be reached, or refuses what it is asked for."""

    subject = "server"


class LostError(ServerError):
    """A question that was not answered, or not to the end; asking again may help."""


class RefusedError(ServerError):
    """An answer that refuses.

    Attributes:
        code: Of HTTP.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Body:
    """What is sent."""

    blocks: Iterator[bytes]
    num_bytes: int
    kind: str
    """Content type."""


def json_body(text: str) -> Body:
    """Return JSON to be sent."""
    content = text.encode()
    return Body(iter([content]), len(content), "application/json")


class Connection:
    """Asks one server."""

    def __init__(self, address: str) -> None:
        """Connect to nothing yet.

        Raises:
            InvalidInputError: If it is no address.
        """
        require(
            _is_address(address),
            f"server {excerpt(address)!r}: no address; write http://127.0.0.1:8188",
            subject="server",
        )
        self.address = address.rstrip("/")

    def json(self, route: str, body: Body | None = None) -> dict[str, Any]:
        """Return the object that answers.

        Raises:
            ServerError: If the answer is something else.
        """
        text = self.send(route, body)
        try:
            found = parse_json(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self.odd(route, "no JSON object")
        return found

    def send(self, route: str, body: Body | None = None) -> bytes:
        """Return what answers."""
        with self._open(route, body) as answer:
            blocks, size = [], 0
            for block in self._blocks(route, answer):
                size += len(block)
                if size > _MOST_BYTES:
                    raise self.odd(route, f"more than {_MOST_BYTES} bytes")
                blocks.append(block)
        return b"".join(blocks)

    def copy(self, route: str, target: BinaryIO) -> None:
        """Write what answers into a file.

        Raises:
            ServerError: If it does not come, or not to the end.
            OSError: If it cannot be written.
        """
        with self._open(route) as answer:
            for block in self._blocks(route, answer):
                target.write(block)

    def odd(self, route: str, what: str) -> ServerError:
        """Return what to raise for an answer of another form than ComfyUI's."""
        place = route.partition("?")[0]
        return ServerError(
            f"server {self.address}: {place} is answered with {what}; is this a ComfyUI?"
        )

    def _blocks(self, route: str, answer: HTTPResponse) -> Iterator[bytes]:
        """Yield an answer; one that ends early is an error, of which Python says nothing."""
        promised, count = _length(answer.headers), 0
        while True:
            try:
                block = answer.read(_BLOCK)
            except _ON_THE_WAY as error:
                raise self._lost(route, error) from error
            if not block:
                break
            count += len(block)
            yield block
        if promised is not None and count != promised:
            raise LostError(
                f"server {self.address}: {route.partition('?')[0]} was cut off after {count} of "
                f"{promised} bytes; run the command again"
            )

    @contextmanager
    def _open(self, route: str, body: Body | None = None) -> Iterator[HTTPResponse]:
        headers: dict[str, str] = {}
        if body is not None:
            headers = {"Content-Type": body.kind, "Content-Length": str(body.num_bytes)}
        data = None if body is None else body.blocks
        try:
            request = urllib.request.Request(f"{self.address}{route}", data, headers)
            found = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(route, error) from error
        except FlashTalkError:  # of what is sent
            raise
        except _ON_THE_WAY as error:
            raise self._lost(route, error) from error
        with found:
            yield cast("HTTPResponse", found)

    def _refused(self, route: str, answer: urllib.error.HTTPError) -> RefusedError:
        try:
            said = _reasons(answer.read(_MOST_ERROR_BYTES))
        except _ON_THE_WAY:
            said = ""
        place, code = route.partition("?")[0], answer.code
        line = f"server {self.address}: {place} refused: {said or f'status {code}'}"
        return RefusedError(line, code)

    def _lost(self, route: str, error: Exception) -> LostError:
        cause = getattr(error, "reason", None)
        why = reason(cause if isinstance(cause, BaseException) else error)
        return LostError(
            f"server {self.address}: {route.partition('?')[0]} is not answered, {why}; start "
            "ComfyUI, or name another one with --server"
        )


def _is_address(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        return False


def _length(headers: Message) -> int | None:
    text = headers.get("Content-Length") or ""
    is_chunked = "chunked" in (headers.get("Transfer-Encoding") or "").lower()
    return int(text) if text.isdecimal() and len(text) < 20 and not is_chunked else None


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
    nodes = found.get("node_errors")
    for node in nodes.values() if isinstance(nodes, dict) else ():
        errors = node.get("errors") if isinstance(node, dict) else None
        for each in errors if isinstance(errors, list) else ():
            if isinstance(each, dict):
                details = each.get("details") or each.get("message")
                said.append(f"{node.get('class_type')}: {details}")
    return excerpt("; ".join(filter(None, said)), 300)
