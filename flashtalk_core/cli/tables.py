"""Rows of results as a table or as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .terminal import write_out


def print_rows(args: argparse.Namespace, rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as JSON or as a table, as ``args.json`` says."""
    text = json.dumps(list(rows), indent=1) if args.json else format_rows(rows)
    write_out(text)


def print_parts(args: argparse.Namespace, parts: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    """Print several tables, those without rows left out, or all as one JSON object."""
    tables = (format_rows(rows) for rows in parts.values() if rows)
    write_out(json.dumps(parts, indent=1) if args.json else "\n\n".join(tables))


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    """Return a table; a single row is shown as lines of name and value."""
    if len(rows) == 1:
        width = max(map(len, rows[0]))
        return "\n".join(f"{name:{width}}  {_cell(value)}" for name, value in rows[0].items())
    table = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in table
    )


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, tuple | list):
        return " ".join(map(_cell, value))
    return str(value)
