"""Comparisons as text and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from .bounds import ErrorKind, ParityResult

_HEADINGS = ("component", "result", "error", "bound", "measure", "ok")
_MEASURES: dict[ErrorKind, str] = {"max": "max/std", "rms": "rms/std", "exact": "exact"}


def format_table(results: Sequence[ParityResult]) -> str:
    """Return lines of columns: component, result, error, bound, measure, ok; then a summary."""
    rows = [_HEADINGS, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    num_passed = sum(result.passed for result in results)
    return "\n".join([*lines, f"{num_passed} of {len(results)} within bounds"])


def to_json(results: Sequence[ParityResult]) -> str:
    """Return a JSON object: ``passed`` for all, and ``results``; errors not finite are null."""
    report = {
        "passed": all(result.passed for result in results),
        "results": [_entry(result) for result in results],
    }
    return json.dumps(report, indent=2, allow_nan=False)


def _row(result: ParityResult) -> tuple[str, ...]:
    return (
        result.component,
        result.name,
        f"{result.error:.2e}",
        f"{result.bound:.2e}",
        _MEASURES[result.kind],
        "yes" if result.passed else "NO",
    )


def _entry(result: ParityResult) -> dict[str, Any]:
    return {
        "component": result.component,
        "result": result.name,
        "error": result.error if math.isfinite(result.error) else None,
        "bound": result.bound,
        "kind": result.kind,
        "passed": result.passed,
    }
