"""Settings out of JSON, held to the types and limits of the class they are for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import MISSING
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from .errors import InvalidInputError, about
from .excerpt import excerpt, is_text
from .limits import Within

SettingsT = TypeVar("SettingsT")

_NUMBERS = {int: Within(-(2**63), 2**63 - 1), float: Within(-1e9, 1e9)}
_LONGEST_TEXT = Within(0, 10_000)
_LONGEST_LIST = Within(1, 256)


def from_settings(kind: type[SettingsT], values: Any, where: str = "") -> SettingsT:
    """Make a configuration out of a JSON object that may leave fields out.

    Args:
        kind: Dataclass of which one is made.
        values: The object; keys that are not known are ignored.
        where: Names the file in a complaint, or file and section as ``flashtalk.json: dit``.

    Raises:
        InvalidInputError: If a value is of another type or out of its limits, or if they do not
            go together.
    """
    checked = check_settings(kind, values, where)
    try:
        return kind(**checked)
    except InvalidInputError as error:
        raise InvalidInputError(f"{where}: {error}" if where else str(error)) from error


def check_settings(kind: type, values: Any, where: str = "") -> dict[str, Any]:
    """Return those of ``values`` that are fields of ``kind``, lists as tuples.

    See :func:`from_settings`; whether they go together is not asked here.
    """
    if not isinstance(values, Mapping):
        raise InvalidInputError(f"{where or 'settings'} {_shown(values)}: use an object in braces")
    hints = get_type_hints(kind, include_extras=True)
    checked = {}
    for field in dataclasses.fields(kind):
        if field.name in values:
            value = values[field.name]
            wanted = _wanted(value, hints[field.name])
            if wanted:
                key = key_in(where, field.name)
                raise InvalidInputError(f"{key} {_shown(value)}: use {wanted}")
            checked[field.name] = _frozen(value)
    return checked


def read_plain(hint: Any, value: Any, where: str) -> Any:
    """Make what an annotation asks for out of JSON, dataclasses within each other included.

    In contrast to :func:`from_settings` a key that is not known is refused, and ranges are left
    to those who use the values. The subject of an error is where the value is, as in its message,
    unless the class it is for knows a better one.

    Args:
        hint: A dataclass, tuple, ``Literal``, number or text, or one of them or ``None``.
        value: What was read.
        where: Names the value in a complaint.

    Raises:
        InvalidInputError: If a key is not known or missing, or a value of another type.
    """
    origin, parts = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _read_object(hint, value, where)
    if origin in (Union, UnionType):
        (other,) = (part for part in parts if part is not NoneType)
        return None if value is None else read_plain(other, value, where)
    if origin is tuple:
        return _read_list(parts, value, where)
    wanted = "" if hint is str and isinstance(value, str) else _wanted(value, hint)
    if wanted:
        raise InvalidInputError(f"{where} {_shown(value)}: use {wanted}")
    return float(value) if hint is float else value


def _read_object(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise InvalidInputError(f"{where} {_shown(value)}: use an object in braces")
    known = {field.name: field for field in dataclasses.fields(kind)}
    unknown = next((key for key in value if key not in known), None)
    if unknown is not None:
        raise InvalidInputError(
            f"{key_in(where, excerpt(unknown))}: no such key; use {', '.join(known)}"
        )
    missing = next((name for name in known if name not in value and _is_needed(known[name])), None)
    if missing is not None:
        raise InvalidInputError(f"{key_in(where, missing)}: missing; add it")
    hints = get_type_hints(kind, include_extras=True)
    found = {}
    for name, each in value.items():
        place = key_in(where, name)
        with about(place):
            found[name] = read_plain(hints[name], each, place)
    return kind(**found)


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _read_list(parts: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    is_open = len(parts) == 2 and parts[1] is Ellipsis
    length = "" if is_open else f" of {len(parts)}"
    if not isinstance(value, list) or not (is_open or len(value) == len(parts)):
        raise InvalidInputError(f"{where} {_shown(value)}: use a list{length} in brackets")
    hints = parts[:1] * len(value) if is_open else parts
    return tuple(
        read_plain(hint, each, f"{where}[{index}]")
        for index, (hint, each) in enumerate(zip(hints, value, strict=True))
    )


def key_in(where: str, key: str) -> str:
    """Return ``key`` with file and section before it; a section takes a dot, a file a colon."""
    if not where:
        return key
    return f"{where}.{key}" if ": " in where else f"{where}: {key}"


def _shown(value: object) -> str:
    return excerpt(repr(value), 40)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _wanted(value: Any, hint: Any, limits: Within | None = None) -> str:
    """Return what is to be used instead of ``value``, nothing if it can be used."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _wanted(value, parts[0], parts[1])
    if origin is Literal:
        is_one = type(value) is str and value in parts
        return "" if is_one else " or ".join(map(repr, parts))
    if origin is tuple:
        return _wanted_list(value, parts, limits or _LONGEST_LIST)
    if hint is bool:
        return "" if type(value) is bool else "true or false"
    if hint is str:
        return _wanted_text(value, limits or _LONGEST_TEXT)
    if hint in _NUMBERS:
        return _wanted_number(value, hint, limits or _NUMBERS[hint])
    return ""  # a part of its own, which is checked as such


def _wanted_number(value: Any, kind: type, limits: Within) -> str:
    is_kind = type(value) is int or (kind is float and type(value) is float)
    if is_kind and limits.least <= value <= limits.most:  # NaN is not
        return ""
    what = "a whole number" if kind is int else "a number"
    return f"{what} from {limits.least:.10g} to {limits.most:.10g}"


def _wanted_text(value: Any, limits: Within) -> str:
    if isinstance(value, str) and limits.least <= len(value) <= limits.most and is_text(value):
        return ""
    return f"a text of at most {limits.most} characters"


def _wanted_list(value: Any, parts: tuple[Any, ...], limits: Within) -> str:
    is_open = len(parts) == 2 and parts[1] is Ellipsis
    if not isinstance(value, list | tuple):
        length = "" if is_open else f" of {len(parts)}"
        return f"a list{length} in brackets"
    if is_open and not limits.least <= len(value) <= limits.most:
        return f"a list of {limits.least} to {limits.most}, not {len(value)}"
    if not is_open and len(value) != len(parts):
        return f"a list of {len(parts)}, not {len(value)}"
    hints = parts[:1] * len(value) if is_open else parts
    problems = (_wanted(each, hint) for each, hint in zip(value, hints, strict=True))
    problem = next(filter(None, problems), "")
    return f"a list, each {problem}" if problem else ""
