"""The list of a batch: CSV with a header, or JSON objects, one a line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..errors import FlashTalkError, InvalidInputError, require
from ..excerpt import excerpt, reason, shown_path
from ..files.input_path import check_input
from ..json_text import parse_json

DELIMITERS = ",;\t"
_NAMED_DELIMITER = re.compile(rf"sep=([{DELIMITERS}])[ \t]*\r?\n", re.IGNORECASE)
"""First line by which Excel is told the delimiter."""
_LINES = (".jsonl", ".ndjson")
_MAX_BYTES = 64 * 2**20
_FILES = ("image", "audio", "output")
"""Columns that every manifest may have, in addition to the options."""


@dataclass(frozen=True)
class ManifestRow:
    """One row as it is written."""

    number: int
    """Counted from 1; the header of a CSV file and empty lines do not count."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """What it says, by the name of an option with ``_`` between words; empty cells are left out."""
    error: FlashTalkError | None = None
    """Why it cannot be used, if so."""


def read_manifest(path: Path, options: Collection[str]) -> list[ManifestRow]:
    """Read a manifest; a row that makes no sense carries its error.

    Args:
        path: A CSV file (comma, semicolon or tab), or one of JSON lines, ``.jsonl``.
        options: Names that a row may use in addition to image, audio and output, with ``_``.

    Raises:
        InvalidInputError: If the file cannot be read, has no rows, or its header names a column
            that is no option.
    """
    text = _read_text(path)
    known = {*_FILES, *options}
    shown = f"manifest {shown_path(path)}"
    if path.suffix.lower() in _LINES:
        rows = _read_lines(text, known)
    else:
        rows = _read_table(text, known, shown)
    require(bool(rows), f"{shown}: no rows; write one for each video", subject="manifest")
    return rows


def _read_text(path: Path) -> str:
    shown = shown_path(path)
    size = check_input(path, "manifest").stat().st_size
    require(
        size <= _MAX_BYTES,
        f"manifest {shown}: {size} bytes; use at most {_MAX_BYTES}, in several files",
        subject="manifest",
    )
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"manifest {shown}: byte {error.start} is no UTF-8; save it as 'CSV UTF-8'",
            subject="manifest",
        ) from error
    except OSError as error:
        raise InvalidInputError(
            f"manifest {shown}: {reason(error)}; check the file", subject="manifest"
        ) from error


def _read_lines(text: str, known: Collection[str]) -> list[ManifestRow]:
    lines = (line for line in text.split("\n") if line.strip())
    return [_read_line(number, line, known) for number, line in enumerate(lines, 1)]


def _read_line(number: int, line: str, known: Collection[str]) -> ManifestRow:
    try:
        found = parse_json(line)
        require(
            isinstance(found, dict),
            f"{excerpt(line)}: no JSON object; write names and values in braces",
        )
        names = [_known_name(name, known) for name in found]
        require(len(set(names)) == len(names), f"{excerpt(line)}: an option is there twice")
    except InvalidInputError as error:
        return ManifestRow(number, error=error)
    except ValueError as error:
        return ManifestRow(number, error=InvalidInputError(f"no JSON ({error}); correct the line"))
    values = zip(names, found.values(), strict=True)
    return ManifestRow(number, {name: value for name, value in values if value not in (None, "")})


def _read_table(text: str, known: Collection[str], shown: str) -> list[ManifestRow]:
    named = _NAMED_DELIMITER.match(text)
    dialect = _with_delimiter(named[1]) if named else _dialect(text)
    table = csv.reader(io.StringIO(text, newline=""), dialect, strict=True)
    if named:
        next(table)
    rows: list[ManifestRow] = []
    names: list[str] = []
    try:
        for cells in table:
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = _read_header(cells, known, shown)
            else:
                rows.append(_read_cells(len(rows) + 1, cells, names))
    except csv.Error as error:
        raise InvalidInputError(
            f"{shown}: line {table.line_num}: {reason(error)}; check the quotes around there",
            subject="manifest",
        ) from error
    return rows


def _dialect(text: str) -> type[csv.Dialect]:
    """Find the delimiter in the header alone: prompts hold any of them."""
    header = text.lstrip().partition("\n")[0]
    try:
        found = csv.Sniffer().sniff(header, DELIMITERS).delimiter
    except csv.Error:  # a single column
        found = ","
    return _with_delimiter(found)


def _with_delimiter(found: str) -> type[csv.Dialect]:
    class Found(csv.excel):
        delimiter = found

    return Found


def _read_header(cells: list[str], known: Collection[str], shown: str) -> list[str]:
    names = []
    for cell in cells:
        try:
            names.append(_known_name(cell, known))
        except InvalidInputError as error:
            raise InvalidInputError(f"{shown}: {error}", subject="manifest") from error
    twice = sorted({name for name in names if names.count(name) > 1})
    require(not twice, f"{shown}: column {', '.join(twice)} is there twice", subject="manifest")
    return names


def _read_cells(number: int, cells: list[str], names: list[str]) -> ManifestRow:
    if any(cell.strip() for cell in cells[len(names) :]):
        return ManifestRow(
            number,
            error=InvalidInputError(
                f"{len(cells)} cells under {len(names)} columns; put quotes around a text that "
                "holds the delimiter"
            ),
        )
    values = {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
    return ManifestRow(number, {name: value for name, value in values.items() if value})


def _shown(names: Collection[str]) -> str:
    return ", ".join(name.replace("_", "-") for name in sorted(names))


def _known_name(text: str, known: Collection[str]) -> str:
    """Return the name of an option, however its words are joined.

    Raises:
        InvalidInputError: If there is no such option.
    """
    name = text.strip().lstrip("-").lower().replace("-", "_").replace(" ", "_")
    if name in known:
        return name
    near = get_close_matches(name, known, n=1)
    remedy = f"is {near[0]!r} meant?" if near else f"use one of {_shown(known)}"
    raise InvalidInputError(f"column {excerpt(text)!r}: no such option; {remedy}")
