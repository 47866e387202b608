"""Curves of a training run: one CSV file, a column for each value and a line for each report."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from flashtalk_core.borders import library_border
from flashtalk_core.errors import InvalidInputError, require
from flashtalk_core.excerpt import excerpt
from flashtalk_core.files.paths import is_file
from flashtalk_core.files.replacing import replacing

logger = logging.getLogger(__name__)

Point = dict[str, float]
"""Values by name."""


def read_curve(path: Path) -> list[Point]:
    """Read a curve; a point has only the values that were reported, and a cut last line is none.

    Raises:
        InvalidInputError: If it cannot be read, or a line is no point.
    """
    if not is_file(path):
        return []

    def unreadable(reason: str) -> InvalidInputError:
        return InvalidInputError(f"curve {path}: {reason}; restore it, or remove it")

    with library_border(unreadable):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        rows = csv.DictReader(whole)
        return [_point(row, rows.line_num) for row in rows]


def _point(row: Mapping[str | None, str | list[str] | None], line: int) -> Point:
    """Return the values of a line; a ``ValueError`` names the line that has none."""
    point = {}
    for name, value in row.items():
        if name is None or isinstance(value, list):
            raise ValueError(f"line {line} has more values than there are columns")
        if value:
            try:
                point[name] = float(value)
            except ValueError:
                raise ValueError(f"line {line} holds {excerpt(value)!r}, no number") from None
    return point


class Curve:
    """A curve that grows as training goes."""

    def __init__(self, path: Path) -> None:
        """Go on with ``path``, or begin it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._names = list(dict.fromkeys(name for point in read_curve(path) for name in point))

    def cut(self, name: str, end: float) -> None:
        """Forget points whose ``name`` lies beyond ``end``: a resumed run adds them again.

        So it does with a last line that was cut off when the run was killed.
        """
        if self._path.is_file():
            points = read_curve(self._path)
            require(
                all(name in point for point in points),
                f"curve {self._path}: a line has no {name!r}; restore it, or remove it",
            )
            self._write([point for point in points if point[name] <= end])

    def add(self, **values: float) -> None:
        """Append one point and log it."""
        rounded = {name: round(float(value), 5) for name, value in values.items()}
        if not rounded.keys() <= set(self._names):
            points = read_curve(self._path)
            self._names += [name for name in rounded if name not in self._names]
            self._write(points)
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(self._lines([rounded], with_head=False))
        text = ", ".join(f"{name} {value:g}" for name, value in rounded.items())
        logger.info("%s: %s", self._path.stem, text)

    def _write(self, points: Sequence[Point]) -> None:
        with replacing(self._path) as temporary:
            temporary.write_text(self._lines(points), encoding="utf-8", newline="")

    def _lines(self, points: Sequence[Point], *, with_head: bool = True) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._names, restval="", lineterminator="\n")
        if with_head:
            writer.writeheader()
        writer.writerows(points)
        return text.getvalue()
