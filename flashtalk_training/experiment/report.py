"""The experiment written up: a table of means and spreads over seeds, and plots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from io import BytesIO
from itertools import takewhile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from flashtalk_core.files.replacing import replacing

from ..drawn_faces.damage import DAMAGES
from ..drawn_faces.motion import LIVELINESS
from .pairs import DRIFTS, BySeed, Result, drift_at, find_stage_1, paired_cells
from .pairs import HEAD as _PAIRED_HEAD
from .table import Experiment, Row, sampling_mode

_CHUNKS = (10, 100, 500, 2000)
_SHARPNESS_CHUNK = 100
_COLOURS = 256
_MOST_DRAWN = 10
"""Rows of 4 steps or more by euler whose drift is drawn, from the first on, one a colour."""
_TABLE, _DRIFT, _RECOVERY = "experiment.md", "drift.png", "recovery.png"
_DAMAGE = {
    "cast": "colour_delta_e",
    "blur": "softness",
    "noise": "colour_delta_e",
    "shift": "structure",
}
"""The measure that shows each kind of damage."""
_NAMES = {name: called for name, called, _ in DRIFTS} | {"colour_delta_e": "colour, Delta E"}
_MOODS = ", ".join(LIVELINESS)
_HEAD = (
    "row", "seeds", "lips", "shape error", "sharpness", "change, %",
    f"sway, %: {_MOODS}", f"eyes shut, %: {_MOODS}", "join jump",
    *(f"{called} at {chunk:,}" for _, called, _ in DRIFTS for chunk in _CHUNKS),
    f"recovered in chunk: {', '.join(DAMAGES)}",
)  # fmt: skip
_PAIRED = """\
Against Stage 1 of the same seed, which has the same faces, voices and noise: lips, chunk of
recovery (mean of all damages) and drift are the row's value less Stage 1's, drift at the last chunk
that all pairs have. The last columns are the row's own drift at the last chunk of all its runs,
over that at chunk 10.
"""


def write_experiment(experiment: Experiment, results: list[Result], folder: Path) -> None:
    """Write table and plots of what is there so far.

    Args:
        experiment: The table.
        results: Lines as they were read; those of other settings are left out.
        folder: Where the files go; made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device, speeds = _speeds(results)
    found = sorted((r for r in results if "key" in r), key=lambda r: len(r["drift"]["chunk"]))
    by_key = {result["key"]: result for result in found}
    by_row: dict[Row, BySeed] = {row: {} for row in experiment.rows}
    for cell in experiment.cells():
        if cell.key in by_key:
            by_row[cell.row][cell.seed] = by_key[cell.key]
    by_row = {row: by_seed for row, by_seed in by_row.items() if by_seed}
    done = {row: list(by_seed.values()) for row, by_seed in by_row.items()}
    head = (*_HEAD, f"frames/s of Stage 1, {device}" if device else "frames/s of Stage 1")
    text = _table(
        head, [_cells(row, cells, speeds.get(sampling_mode(row))) for row, cells in done.items()]
    )
    with replacing(folder / _TABLE) as temporary:
        temporary.write_text(text + _paired(by_row), encoding="utf-8")
    _draw(done, folder)


def _speeds(results: list[Result]) -> tuple[str, dict[str, float]]:
    """Return the device with most timed sampling modes, the latest of several, and its speeds."""
    by_device: dict[str, dict[str, float]] = {}
    for result in results:
        if "way" in result:
            # Put last, so that it is the latest.
            speeds = by_device.pop(result["device"], {})
            by_device[result["device"]] = {**speeds, result["way"]: result["frames_per_s"]}
    latest_first = reversed(by_device.items())
    return max(latest_first, key=lambda timed: len(timed[1]), default=("", {}))


def _paired(by_row: dict[Row, BySeed]) -> str:
    """Return the table of what the rows are against Stage 1, nothing if that is not there."""
    first = find_stage_1(by_row)
    if first is None:
        return ""
    rows = [
        paired_cells(row, found, {} if row == first else by_row[first], with_spread)
        for row, found in by_row.items()
    ]
    return f"\n{_PAIRED}\n{_table(_PAIRED_HEAD, rows)}"


def _table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Lay out a table without the columns that are empty in every row."""
    rows = list(rows)
    columns = [column for column in zip(head, *rows, strict=True) if not rows or any(column[1:])]
    first, *others = zip(*columns, strict=True)
    lines = [first, ["---"] * len(first), *others]
    safe = ([cell.replace("|", "\\|") for cell in cells] for cells in lines)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in safe)


def _cells(row: Row, found: list[Result], speed: float | None) -> list[str]:
    def over_seeds(value: Callable[[Result], float | None], digits: int) -> str:
        return with_spread([value(result) for result in found], digits)

    def at(name: str, chunk: int) -> Callable[[Result], float | None]:
        return lambda result: drift_at(result, name, chunk)

    def sharpness(result: Result) -> float | None:
        softness = drift_at(result, "softness", _SHARPNESS_CHUNK)
        return None if softness is None else 1 - softness

    def by_mood(name: str, digits: int) -> str:
        values = (over_seeds(partial(_head, name, mood), digits) for mood in LIVELINESS)
        return ", ".join(filter(None, values))

    return [
        row.name,
        str(len(found)),
        over_seeds(lambda result: result["lips"]["correlation_mean"], 3),
        over_seeds(lambda result: result["lips"]["shape_error"], 3),
        over_seeds(sharpness, 2),
        over_seeds(_change, 2),
        by_mood("sway", 1),
        by_mood("eyes_shut", 0),
        over_seeds(_join_jump, 2),
        *(over_seeds(at(name, chunk), n) for name, _, n in DRIFTS for chunk in _CHUNKS),
        _recovered(found),
        "" if speed is None else f"{speed:.0f}",
    ]


def _recovered(found: list[Result]) -> str:
    """Write for each damage the latest chunk of all seeds in which they had recovered."""
    measured = [result["recovery"] for result in found if "recovery" in result]
    if not measured:
        return ""
    chunks = [[recovery[kind]["chunk"] for recovery in measured] for kind in DAMAGES]
    latest = ["never" if None in each else str(max(each)) for each in chunks]
    count = f" ({len(measured)})" if len(measured) < len(found) else ""
    return f"{', '.join(latest)}{count}"


def _change(result: Result) -> float | None:
    """Return the mean change from frame to frame, in percent of the range of values."""
    changes = result["drift"].get("movement", [])
    return 100 * mean(changes) if changes else None


def _head(name: str, liveliness: str, result: Result) -> float | None:
    """Return a measure of heads in percent; ``None`` if not measured."""
    heads = result.get("heads")
    return 100 * heads[liveliness][name] if heads else None


def _join_jump(result: Result) -> float | None:
    """Return the mean over all chunks with a join before them; ``None`` if not measured."""
    jumps = result["drift"].get("join_jump", [])[1:]
    return mean(jumps) if jumps else None


def with_spread(values: list[float | None], digits: int) -> str:
    """Write mean and standard deviation, and how many values there are if some are missing."""
    there = [value for value in values if value is not None]
    if not there:
        return ""
    spread = f" +-{stdev(there):.{digits}f}" if len(there) > 1 else ""
    count = f" ({len(there)})" if len(there) < len(values) else ""
    return f"{mean(there):.{digits}f}{spread}{count}"


def _draw(done: dict[Row, list[Result]], folder: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    most = max(map(len, done.values()), default=0)
    _draw_drift(done, most, folder / _DRIFT)
    _draw_recovery(done, most, folder / _RECOVERY)


def _draw_drift(done: dict[Row, list[Result]], most: int, path: Path) -> None:
    from matplotlib import pyplot

    plain = [row for row in done if row.steps >= 4 and row.rule == "euler"][:_MOST_DRAWN]
    known = {name for found in done.values() for result in found for name in result["drift"]}
    names = [name for name, *_ in DRIFTS if name in known or not done]
    figure, (axes,) = pyplot.subplots(
        1, len(names), figsize=(5.5 * len(names), 5), layout="constrained", squeeze=False
    )
    for axis, name in zip(axes, names, strict=True):
        for number, row in enumerate(plain):
            drifts = [each["drift"] for each in done[row] if name in each["drift"]]
            chunks: list[float] = max((drift["chunk"] for drift in drifts), key=len, default=[])
            label = _label(row, len(drifts), most)
            _plot(axis, chunks, [_measured(drift[name]) for drift in drifts], label, number)
        axis.set(title=f"drift: {_NAMES.get(name, name)}", xlabel="chunk", xscale="log")
        axis.grid(alpha=0.3)
    _add_legend(figure, axes[0])
    _save(figure, path)


def _draw_recovery(done: dict[Row, list[Result]], most: int, path: Path) -> None:
    from matplotlib import pyplot

    recovered = {
        row: there
        for row, found in done.items()
        if (there := [each["recovery"] for each in found if "recovery" in each])
    }
    if not recovered:
        path.unlink(missing_ok=True)
        return
    figure, axes = pyplot.subplots(1, len(_DAMAGE), figsize=(13, 3.6), layout="constrained")
    for axis, (kind, name) in zip(axes, _DAMAGE.items(), strict=True):
        for number, (row, there) in enumerate(recovered.items()):
            values = [_excess(recovery, kind, name) for recovery in there]
            label = _label(row, len(there), most)
            _plot(axis, list(range(len(values[0]))), values, label, number)
        axis.set(title=f"after {kind}: {_NAMES.get(name, name)}", xlabel="chunk, 0 is the start")
        axis.grid(alpha=0.3)
    _add_legend(figure, axes[0])
    _save(figure, path)


def _add_legend(figure: Any, axis: Any) -> None:
    """Name the lines of ``axis`` below all axes."""
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=3)


def _save(figure: Any, path: Path) -> None:
    """Write a figure as a small PNG of few colours."""
    from matplotlib import pyplot
    from PIL import Image

    whole = BytesIO()
    figure.savefig(whole, dpi=70, format="png")
    pyplot.close(figure)
    with replacing(path) as temporary:
        # Median cut would give lines of like colours the same one.
        small = Image.open(whole).convert("RGB").quantize(_COLOURS, Image.Quantize.MAXCOVERAGE)
        small.save(temporary, format="png", optimize=True)


def _measured(values: list[float | None]) -> list[float]:
    """Return values up to the first that was not measured."""
    return list(takewhile(lambda value: value is not None, values))  # type: ignore[arg-type]


def _excess(recovery: dict[str, Any], kind: str, name: str) -> list[float]:
    pairs = zip(recovery[kind][name], recovery["none"][name], strict=True)
    return [damaged - good for damaged, good in pairs]


def _label(row: Row, seeds: int, most: int) -> str:
    """Name a row, and its seeds if it has fewer than others; it then lacks their faces."""
    return row.name if seeds in {0, most} else f"{row.name} ({seeds} of {most} seeds)"


def _plot(
    axis: Any, places: list[float], values: list[list[float]], label: str, number: int
) -> None:
    """Plot the mean of some curves as far as all go, and their range as a shade.

    Args:
        axis: Where.
        places: Of the longest curve's points.
        values: The curves; without any there is only the name.
        label: What they are.
        number: Of their colour.
    """
    columns, colour = list(zip(*values, strict=False)), f"C{number}"
    places = places[: len(columns)]
    axis.plot(places, [mean(column) for column in columns], label=label, color=colour)
    low, high = [min(column) for column in columns], [max(column) for column in columns]
    axis.fill_between(places, low, high, color=colour, alpha=0.1)
