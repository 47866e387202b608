"""Validation of results of the experiment before they are reported."""

from __future__ import annotations

from typing import Any


def is_whole(result: Any) -> bool:
    """Return whether a value read has all fields that the report of a cell or a speed needs."""
    if not isinstance(result, dict):
        return False
    if "way" in result:
        names = (result["way"], result.get("device"))
        return all(isinstance(name, str) for name in names) and _is_number(
            result.get("frames_per_s")
        )
    return "key" not in result or _is_cell(result)


def _is_cell(result: dict[str, Any]) -> bool:
    recovery = result.get("recovery")
    return (
        isinstance(result["key"], str)
        and _are_numbers(result.get("lips"))
        and _are_columns(result.get("drift"))
        and ("heads" not in result or _are_named(result["heads"], _are_numbers))
        and ("recovery" not in result or _are_named(recovery, _are_values))
    )


def _are_named(value: Any, is_kind: Any) -> bool:
    return isinstance(value, dict) and all(map(is_kind, value.values()))


def _are_columns(value: Any) -> bool:
    """Return whether ``value`` holds columns of one length, the chunks among them."""
    if not (isinstance(value, dict) and "chunk" in value and _are_named(value, _is_column)):
        return False
    return len({len(column) for column in value.values()}) == 1


def _are_values(value: Any) -> bool:
    return _are_named(value, lambda each: each is None or _is_number(each) or _is_column(each))


def _is_column(value: Any) -> bool:
    return isinstance(value, list) and all(each is None or _is_number(each) for each in value)


def _are_numbers(value: Any) -> bool:
    return _are_named(value, lambda each: each is None or _is_number(each))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
