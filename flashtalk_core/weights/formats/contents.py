"""Contents of files that a failed download leaves in place of weights."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_MARK_BYTES = 200
_CONTENTS = {
    b"version https://git-lfs": "a Git LFS pointer in place of the file: run `git lfs pull`",
    b"<!doctype": "a web page in place of the file",
    b"<html": "a web page in place of the file",
    b"gguf": "a GGUF file under another name",
}
"""By how a file begins, in lower case."""


def describe_content(path: Path) -> str:
    """Return what is in place of weights, judged by its first bytes; empty if unknown."""
    begin = b""
    with suppress(OSError), path.open("rb") as file:
        begin = file.read(_MARK_BYTES).lstrip().lower()
    return next((what for mark, what in _CONTENTS.items() if begin.startswith(mark)), "")
