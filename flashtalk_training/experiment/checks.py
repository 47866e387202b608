"""Settings that a user has written into a table, held to the types of the class they are for."""

from __future__ import annotations

import dataclasses
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from flashtalk_core.errors import require
from flashtalk_core.excerpt import excerpt

_FORMS = {
    bool: "true or false",
    str: "a text in quotes",
    dict: "a section in [brackets]",
    list: "sections in [[double brackets]]",
}


def check_settings(where: str, kind: type, values: Any) -> dict[str, Any]:
    """Return settings as they were read, or raise an error that names what is wrong.

    Args:
        where: Names file and section in an error.
        kind: Dataclass that they are for. A whole number is at least 1, or 0 if that is its
            default; other numbers are at least 0.
        values: What was read.

    Raises:
        InvalidInputError: If ``values`` is no table, or a setting is unknown or of another type.
    """
    require(
        isinstance(values, dict),
        f"{where}: {excerpt(repr(values))} is no table of settings; correct the file",
    )
    known = {field.name: field for field in dataclasses.fields(kind)}
    hints = get_type_hints(kind)
    for name, value in values.items():
        require(name in known, f"{where}: {excerpt(name)!r} is unknown; correct the file")
        least = 0 if known[name].default == 0 else 1
        expected = _expected_instead(value, hints[name], least)
        require(not expected, f"{where}: {name} {excerpt(repr(value))}: use {expected}")
    for name, field in known.items():
        has_default = {field.default, field.default_factory} != {dataclasses.MISSING}
        require(name in values or has_default, f"{where}: {name!r} is missing; add it")
    return dict(values)


def _expected_instead(value: Any, hint: Any, least: int) -> str:
    """Return what is to be used instead of ``value``, empty if it is of the type."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is UnionType:
        # Of the form ``X | None``: None is expressed by leaving the setting out.
        return _expected_instead(value, parts[0], least)
    if origin is Literal:
        return "" if value in parts else " or ".join(repr(part) for part in parts)
    if origin is tuple or hint == list[int]:
        is_list = isinstance(value, list) and bool(value)
        is_any_length = hint in (list[int], tuple[int, ...])
        kinds = (int,) * len(value) if is_list and is_any_length else parts
        fits = is_list and len(value) == len(kinds)
        pairs = zip(value, kinds, strict=True) if fits else ()
        fits = fits and not any(_expected_instead(*pair, 0) for pair in pairs)
        return "" if fits else "a list such as [1, 2]"
    if hint in (int, float):
        return _expected_number(value, hint, least)
    kind = origin or hint
    return "" if isinstance(value, kind) else _FORMS[kind]


def _expected_number(value: Any, kind: type, least: int) -> str:
    if kind is int:
        fits = type(value) is int and least <= value < 2**63
        return "" if fits else f"a whole number from {least} on"
    is_number = type(value) in (int, float) and 0 <= value < float("inf")
    return "" if is_number else "a number from 0 on"
