"""The experiment table of Stage 2: rows, students and seeds, and what is done of them already."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..config import StepRule, require
from .recipe import DistillRecipe


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to make video, measured for every seed."""

    name: str
    student: str | None = None
    """Name of the student; ``None`` for Stage 1 itself."""
    steps: int = 4
    rule: StepRule = "euler"
    guidance: tuple[float, float] | None = None
    """Scales of prompt and sound; ``None`` for none."""
    chunks: int = 500
    """Length of the drift run."""
    recovery: bool = False
    """Whether the way back from damaged motion frames is measured."""


@dataclass(frozen=True)
class Cell:
    """A row measured for one seed."""

    row: Row
    seed: int
    key: str
    """Changes with all that the result depends on, but not with the code."""


@dataclass(frozen=True)
class Experiment:
    """What is trained and measured."""

    seeds: tuple[int, ...]
    faces: int
    """Held-out faces of a drift run, others for every seed."""
    clips: int
    """Held-out clips on which lips are measured."""
    students: dict[str, DistillRecipe]
    rows: tuple[Row, ...]

    def cells(self) -> list[Cell]:
        """Return all cells, the longest first."""
        made = [Cell(row, seed, self._key(row, seed)) for row in self.rows for seed in self.seeds]
        return sorted(made, key=lambda cell: cell.row.chunks * cell.row.steps, reverse=True)

    def _key(self, row: Row, seed: int) -> str:
        student = None if row.student is None else _changed(self.students[row.student])
        told = [_changed(row), student, self.faces, self.clips, seed]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def _changed(settings: Row | DistillRecipe) -> dict[str, Any]:
    """Return what differs from the defaults, so that a new setting leaves old keys as they are.

    Results made with a default that is changed later must be named in the table by its old value.
    """
    values = asdict(settings)
    defaults = {field.name: field.default for field in fields(settings)}
    return {name: value for name, value in values.items() if value != defaults[name]}


def load_experiment(path: Path) -> Experiment:
    """Read the table.

    Raises:
        InvalidInputError: If the file is no table of this form.
    """
    require(path.is_file(), f"experiment {path}: no such file; name a TOML table")
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        require(False, f"experiment {path}: {error}; mend the file")
    common = _checked(path, DistillRecipe, told.get("recipe", {}))
    students = {
        name: DistillRecipe(**{**common, **_checked(path, DistillRecipe, changes)})
        for name, changes in told.get("students", {}).items()
    }
    rows = tuple(_row(path, values) for values in told.get("rows", []))
    for row in rows:
        known = row.student is None or row.student in students
        require(known, f"experiment {path}: row {row.name!r} names no student of the file")
    return Experiment(
        tuple(told.get("seeds", (0,))), told.get("faces", 8), told.get("clips", 50), students, rows
    )


def _row(path: Path, values: dict[str, Any]) -> Row:
    guidance = values.get("guidance")
    checked = _checked(path, Row, values)
    return Row(**{**checked, "guidance": None if guidance is None else tuple(guidance)})


def _checked(path: Path, kind: type, values: dict[str, Any]) -> dict[str, Any]:
    known = {field.name for field in fields(kind)}
    for name in values:
        require(name in known, f"experiment {path}: {name!r} is unknown; mend the file")
    return values


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read the committed results, one JSON object a line; none if there is no file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def add_result(path: Path, result: dict[str, Any]) -> None:
    """Append one result."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result, separators=(",", ":")) + "\n")


def missing(experiment: Experiment, results: Iterable[dict[str, Any]]) -> list[Cell]:
    """Return the cells that are not among the results, or not to their end."""
    done = {result.get("key") for result in results if result.get("whole")}
    return [cell for cell in experiment.cells() if cell.key not in done]
