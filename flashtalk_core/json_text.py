"""JSON from outside, in which every object names each key once."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from .excerpt import excerpt

MAX_DEPTH = 32
"""Levels of objects and lists inside each other."""


def parse_json(text: str | bytes) -> Any:
    """Return the value that ``text`` holds.

    Raises:
        ValueError: If it is no JSON, no UTF-8, holds a key twice, or goes too deep; the message
            is one short line.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    except ValueError as error:
        raise ValueError(excerpt(error, 120)) from error
    if _is_too_deep(value):
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        ((twice, _count),) = Counter(name for name, _value in pairs).most_common(1)
        raise ValueError(f"key {excerpt(twice)!r} is there twice")
    return made


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _depth in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
