"""Small JSON files that come with weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...borders import library_border
from ...errors import WeightsError
from ...files.paths import is_file
from ...json_text import parse_json

MAX_JSON_BYTES = 8_000_000
"""The index of the largest model in shards is below one million."""


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``, empty if there is no such file.

    Raises:
        WeightsError: If it cannot be read, or holds something else.
    """
    if not is_file(path):
        return {}
    with library_border(lambda reason: _not_readable(path, reason)), path.open("rb") as file:
        text = file.read(MAX_JSON_BYTES + 1)
    if len(text) > MAX_JSON_BYTES:
        raise _not_readable(path, f"it has more than {MAX_JSON_BYTES} bytes")
    try:
        values = parse_json(text)
    except ValueError as error:
        raise _not_readable(path, str(error)) from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: expected a JSON object; download it again")
    return values


def _not_readable(path: Path, reason: str) -> WeightsError:
    return WeightsError(f"{path}: not readable as JSON ({reason}); download it again")
