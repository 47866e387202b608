"""The experiment table of Stage 2: rows, students and seeds, and the results so far."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flashtalk_core.borders import library_border
from flashtalk_core.config.sampling import SamplingConfig, StepRule
from flashtalk_core.errors import InvalidInputError, require
from flashtalk_core.json_text import parse_json

from ..recipe import DistillRecipe, changed_settings
from .checks import check_settings
from .result import is_whole


@dataclass(frozen=True, kw_only=True)
class Row:
    """One configuration that is measured for every seed."""

    name: str
    student: str | None = None
    """Name of the student; ``None`` for Stage 1 itself."""
    steps: int = 4
    rule: StepRule = "euler"
    guidance: tuple[float, float] | None = None
    """Scales of prompt and audio; ``None`` for none."""
    chunks: int = 500
    """Length of the drift run."""
    recovery: bool = False
    """Whether recovery from damaged motion frames is measured."""
    chunk_frames: int | None = None
    """Frames of the chunks that are played, motion frames included; ``None`` for the model's."""
    live: bool = False
    """Whether nothing is heard after a chunk, as in a live session."""


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
        # Results made with a default that is changed later must be named by its old value.
        recipe = None if row.student is None else changed_settings(self.students[row.student])
        settings = [changed_settings(row), recipe, self.faces, self.clips, seed]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True)
class _Table:
    """What a file holds."""

    seeds: list[int] = field(default_factory=lambda: [0])
    faces: int = 8
    clips: int = 50
    recipe: dict[str, Any] = field(default_factory=dict)
    """Settings that all students share."""
    students: dict[str, Any] = field(default_factory=dict)
    rows: list[Any]


def load_experiment(path: Path) -> Experiment:
    """Read the table.

    Raises:
        InvalidInputError: If the file is no table of this form.
    """
    where = f"experiment {path}"
    table = _Table(**check_settings(where, _Table, _read(path)))
    common = check_settings(f"{where}, recipe", DistillRecipe, table.recipe)
    students = {
        name: _recipe(f"{where}, student {name!r}", name, common, changes)
        for name, changes in table.students.items()
    }
    require(bool(table.rows), f"{where}: there are no rows; add [[rows]]")
    rows = tuple(_row(where, values) for values in table.rows)
    for row in rows:
        known = row.student is None or row.student in students
        require(known, f"{where}: row {row.name!r} names no student of the file")
    for name, count in Counter(row.name for row in rows).items():
        require(count == 1, f"{where}: {count} rows are called {name!r}; give them different names")
    require(
        len(set(table.seeds)) == len(table.seeds),
        f"{where}: seeds {table.seeds} contain one twice; remove it",
    )
    return Experiment(tuple(table.seeds), table.faces, table.clips, students, rows)


def _read(path: Path) -> dict[str, Any]:
    require(path.is_file(), f"experiment {path}: no such file; name a TOML table")
    # Numbers of thousands of digits and lists in lists raise other errors than those of TOML.
    with library_border(
        lambda why: InvalidInputError(f"experiment {path}: {why}; correct the file")
    ):
        return tomllib.loads(path.read_text(encoding="utf-8"))


def _recipe(where: str, name: str, common: dict[str, Any], changes: Any) -> DistillRecipe:
    """Return a student's recipe; errors in it are raised before anything is trained."""
    is_name = re.fullmatch(r"\w[\w.-]*", name) is not None
    require(is_name, f"{where}: the name is a folder's; use letters, digits, '.', '-' and '_'")
    changed = check_settings(where, DistillRecipe, changes)
    settings = {**common, **changed}
    if "chunk_lengths" in settings:
        settings["chunk_lengths"] = tuple(settings["chunk_lengths"])
    with _named(where):
        return DistillRecipe(**settings)


def _row(where: str, values: Any) -> Row:
    checked = check_settings(f"{where}, row", Row, values)
    guidance = checked.get("guidance")
    row = Row(**{**checked, "guidance": None if guidance is None else tuple(guidance)})
    with _named(f"{where}, row {row.name!r}"):
        SamplingConfig(steps=row.steps, rule=row.rule)  # refuses what is impossible
    return row


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Add the position in the file to the error of a value that is refused."""
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError(f"{where}: {error}") from error


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read the committed results, one JSON object a line; none if there is no file.

    Raises:
        InvalidInputError: If a line is none, such as one that was cut off when a run was killed.
    """
    if not path.is_file():
        return []
    read = []
    with library_border(lambda why: InvalidInputError(f"results {path}: {why}; restore the file")):
        lines = path.read_bytes().splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            result = parse_json(line)
        except ValueError:  # no JSON, or no UTF-8
            result = None
        require(is_whole(result), f"results {path}: line {number} is no whole result; remove it")
        read.append(result)
    return read


def add_result(path: Path, result: dict[str, Any]) -> None:
    """Append one result, on a line of its own even where an editor has left none."""
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.write(b"\n")
        file.write(json.dumps(result, separators=(",", ":")).encode() + b"\n")


def missing(experiment: Experiment, results: Iterable[dict[str, Any]]) -> list[Cell]:
    """Return the cells that are not among the results, or not to their end."""
    done = {result.get("key") for result in results if result.get("whole")}
    return [cell for cell in experiment.cells() if cell.key not in done]


def sampling_mode(row: Row) -> str:
    """Name what a row's speed depends on."""
    chunks = "" if row.chunk_frames is None else f", chunks of {row.chunk_frames}"
    return f"{row.steps} steps, {'guided' if row.guidance else 'not guided'}{chunks}"
