"""The experiment written up: a table of means and spreads over seeds, and plots."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ..weights.save import replacing
from .experiment import Experiment, Row, read_results
from .experiment_run import way_of

Result = dict[str, Any]

_CHUNKS = (10, 100, 500, 2000)
_SHARPNESS_CHUNK = 100
_TABLE, _DRIFT, _RECOVERY = "experiment.md", "drift.png", "recovery.png"
_DAMAGE = {
    "cast": "colour_delta_e",
    "blur": "softness",
    "noise": "colour_delta_e",
    "shift": "structure",
}
"""What each kind of damage is seen in."""
_HEAD = (
    "row", "seeds", "lips", "shape error", "sharpness", "join jump",
    *(f"colour at {chunk:,}" for chunk in _CHUNKS),
    *(f"identity at {chunk:,}" for chunk in _CHUNKS),
    "frames/s",
)  # fmt: skip


def write_experiment(experiment: Experiment, results: Path, folder: Path) -> None:
    """Write table and plots of what is there so far.

    Args:
        experiment: The table.
        results: Its results; those of other settings are left out.
        folder: Where the files go; made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    read = read_results(results)
    speeds = {result["way"]: result["frames_per_s"] for result in read if "way" in result}
    by_key = {result["key"]: result for result in read if "key" in result}
    by_row: dict[Row, list[Result]] = {row: [] for row in experiment.rows}
    for cell in experiment.cells():
        if cell.key in by_key:
            by_row[cell.row].append(by_key[cell.key])
    done = {row: found for row, found in by_row.items() if found}
    lines = [_line(_HEAD), _line(["---"] * len(_HEAD))]
    lines += [_line(_cells(row, found, speeds.get(way_of(row)))) for row, found in done.items()]
    with replacing(folder / _TABLE) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _draw(done, folder)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Row, found: list[Result], speed: float | None) -> list[str]:
    def over_seeds(value: Callable[[Result], float | None], digits: int) -> str:
        return with_spread([value(result) for result in found], digits)

    def at(name: str, chunk: int) -> Callable[[Result], float | None]:
        return lambda result: drift_at(result, name, chunk)

    def sharpness(result: Result) -> float | None:
        softness = drift_at(result, "softness", _SHARPNESS_CHUNK)
        return None if softness is None else 1 - softness

    return [
        row.name,
        str(len(found)),
        over_seeds(lambda result: result["lips"]["correlation_mean"], 3),
        over_seeds(lambda result: result["lips"]["shape_error"], 3),
        over_seeds(sharpness, 2),
        over_seeds(lambda result: mean(result["drift"]["join_jump"]), 2),
        *(over_seeds(at("colour_delta_e", chunk), 1) for chunk in _CHUNKS),
        *(over_seeds(at("structure", chunk), 3) for chunk in _CHUNKS),
        "" if speed is None else f"{speed:.0f}",
    ]


def drift_at(result: Result, name: str, chunk: int) -> float | None:
    """Return what was measured at a chunk; ``None`` if the run was shorter."""
    drift = result["drift"]
    return drift[name][drift["chunk"].index(chunk)] if chunk in drift["chunk"] else None


def with_spread(values: list[float | None], digits: int) -> str:
    """Write the mean and the standard deviation; empty if a value is missing."""
    there = [value for value in values if value is not None]
    if len(there) < len(values):
        return ""
    spread = f" ±{stdev(there):.{digits}f}" if len(there) > 1 else ""
    return f"{mean(there):.{digits}f}{spread}"


def _draw(done: dict[Row, list[Result]], folder: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for axis, name in zip(axes, ("colour_delta_e", "structure"), strict=True):
        for row, found in done.items():
            chunks = found[0]["drift"]["chunk"]
            _plot(axis, chunks, [result["drift"][name] for result in found], row.name)
        axis.set(title=f"drift: {name}", xlabel="chunk", xscale="log")
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=6)
    figure.savefig(folder / _DRIFT, dpi=70)
    pyplot.close(figure)
    figure, axes = pyplot.subplots(1, len(_DAMAGE), figsize=(13, 3.2), layout="constrained")
    for axis, (kind, name) in zip(axes, _DAMAGE.items(), strict=True):
        for row, found in done.items():
            if all("recovery" in result for result in found):
                values = [_excess(result["recovery"], kind, name) for result in found]
                _plot(axis, list(range(len(values[0]))), values, row.name)
        axis.set(title=f"{kind}: {name} beyond a good start", xlabel="chunk")
        axis.grid(alpha=0.3)
    axes[-1].legend(fontsize=6)
    figure.savefig(folder / _RECOVERY, dpi=70)
    pyplot.close(figure)


def _excess(recovery: dict[str, Any], kind: str, name: str) -> list[float]:
    pairs = zip(recovery[kind][name], recovery["none"][name], strict=True)
    return [damaged - good for damaged, good in pairs]


def _plot(axis: Any, places: list[float], values: list[list[float]], label: str) -> None:
    """Plot the mean of some curves, and their range as a shade."""
    columns = list(zip(*values, strict=True))
    (line,) = axis.plot(places, [mean(column) for column in columns], label=label)
    low, high = [min(column) for column in columns], [max(column) for column in columns]
    axis.fill_between(places, low, high, color=line.get_color(), alpha=0.15)
