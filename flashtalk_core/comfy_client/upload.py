"""A file as a browser sends it, in blocks: speech of hours need not be in memory."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from ..errors import InvalidInputError
from ..excerpt import format_size, reason, shown_path
from .connection import Body, LostError, RefusedError, ServerError

_BLOCK = 2**20
_TOO_LARGE = 413
_LEAST_DOUBTED = 10 * 2**20
"""Bytes of a file from which on an upload that is cut off may be one that is too large."""


def content_name(path: Path) -> str:
    """Return a name by what is in a file: two files may have one name.

    Raises:
        InvalidInputError: If it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise _unreadable(path, reason(error)) from error
    return f"{digest.hexdigest()[:12]}{path.suffix.lower()}"


def file_form(fields: Mapping[str, str], name: str, path: Path, size: int) -> Body:
    """Return a form with a file.

    Args:
        fields: Its other fields.
        name: Of the file, there.
        path: Of the file, here; sending it raises :class:`InvalidInputError` if it changed.
        size: Of the file in bytes.
    """
    border = secrets.token_hex(16)
    parts = [
        f'--{border}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in fields.items()
    ]
    parts.append(
        f'--{border}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    head, tail = "".join(parts).encode(), f"\r\n--{border}--\r\n".encode()

    def blocks() -> Iterator[bytes]:
        yield head
        try:
            with path.open("rb") as file:
                yield from _exactly(file, size, path)
        except OSError as error:
            raise _unreadable(path, reason(error)) from error
        yield tail

    kind = f"multipart/form-data; boundary={border}"
    return Body(blocks(), len(head) + size + len(tail), kind)


def upload_error(path: Path, size: int, error: ServerError) -> ServerError:
    """Return why a file was not taken; ComfyUI has a limit, beyond which it may just hang up."""
    is_refused = isinstance(error, RefusedError) and error.code == _TOO_LARGE
    is_doubted = isinstance(error, LostError) and size >= _LEAST_DOUBTED
    if not is_refused and not is_doubted:
        return error
    said = "is larger than ComfyUI takes" if is_refused else f"was not taken ({error})"
    return ServerError(
        f"{shown_path(path)}: {format_size(size)}, {said}; start ComfyUI with --max-upload-size "
        f"{size // 2**20 + 2} (MB, 100 unless it is given), or use a compressed sound such as FLAC"
    )


def _exactly(file: BinaryIO, size: int, path: Path) -> Iterator[bytes]:
    left = size
    while left:
        block = file.read(min(left, _BLOCK))
        if not block:
            raise _unreadable(path, "it got shorter while it was sent")
        left -= len(block)
        yield block


def _unreadable(path: Path, why: str) -> InvalidInputError:
    return InvalidInputError(f"{shown_path(path)}: {why}; check the file")
