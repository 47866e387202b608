"""Small JSON files beside the weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import WeightsError


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``, empty if there is no such file."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path}: not readable as JSON ({error}); download it again") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: expected a JSON object; download it again")
    return values
