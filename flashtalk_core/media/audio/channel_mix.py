"""One downmix: what stands at which loudspeaker, and what it weighs where there are fewer.

Axis legend: C channels of the audio, O channels it is mixed to.

Source: ITU-R BS.775 as FFmpeg's libswresample applies it: centre and surrounds 3 dB lower, the
effects channel left out. Nothing is scaled down for channels that might be loud, so speech in one
of many channels keeps its level; what would be too loud is clipped by the player.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .layout import listed_positions

Matrix = NDArray[np.float32]
"""Weights, ``(O, C)``."""

_HALF_POWER = 0.5**0.5
_FRONT_PAIRS = (("FL", "FR"), ("DL", "DR"), ("BIL", "BIR"))
_SILENT = ("LFE", "LFE2")
# Without positions in the file: the speakers in the order of WAV, as most programs write them.
_BY_COUNT = (
    "FC", "FL FR", "FL FR FC", "FL FR FC BC", "FL FR FC BL BR", "FL FR FC LFE BL BR",
    "FL FR FC LFE BC SL SR", "FL FR FC LFE BL BR SL SR",
)  # fmt: skip


@cache
def positions_of(layout: str, channels: int) -> tuple[str, ...]:
    """Return FFmpeg's short names of the loudspeakers; what has no place is called by a number.

    Args:
        layout: FFmpeg's name of the layout; empty or ``N channels`` where the file has none.
        channels: How many there are; 0 is as many as the layout has.
    """
    import av

    if is_unnamed(layout) and channels <= len(_BY_COUNT):
        return tuple(_BY_COUNT[channels - 1].split())
    numbers = tuple(str(number) for number in range(channels))
    if is_unnamed(layout):
        return numbers
    if listed := listed_positions(layout):
        return listed if channels in (0, len(listed)) else numbers
    try:
        found = [channel.name for channel in av.AudioLayout(layout).channels]
    except ValueError:
        return numbers
    return tuple(found) if channels in (0, len(found)) else numbers


def is_unnamed(layout: str) -> bool:
    """Whether a file says nothing about its loudspeakers but how many there are."""
    return not layout or re.fullmatch(r"\d+ channels", layout) is not None


def mono_weights(positions: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the weight of each channel in the mono mix, ``(C,)``: mono 1, stereo 1/2."""
    weights = mix_matrix(positions, ("FL", "FR")).mean(axis=0)
    has_pair = any(set(pair) <= set(positions) for pair in _FRONT_PAIRS)
    if not has_pair and weights.any():
        weights = weights / weights.max()  # a lone centre, or channels without a place
    return weights.astype(np.float32)


def mix_matrix(positions: tuple[str, ...], target: tuple[str, ...]) -> Matrix:
    """Return the weights that bring channels to the loudspeakers ``target``, ``(O, C)``."""
    matrix = np.zeros((len(target), len(positions)), np.float32)
    is_ambisonic = any(name.startswith("AMBI") for name in positions)
    for column, name in enumerate(positions):
        if is_ambisonic and name.startswith("AMBI") and name != "AMBI0":
            continue  # the first is omnidirectional, the others are directions
        for goal, weight in _shares(name, positions, target):
            if goal in target:
                matrix[target.index(goal), column] = weight
    return matrix


def _shares(
    name: str, positions: tuple[str, ...], target: tuple[str, ...]
) -> list[tuple[str, float]]:
    """Return which loudspeakers of ``target`` take a channel, and with what weight."""
    if name in target:
        return [(name, 1.0)]
    if name in _SILENT:
        return []
    if target == ("FC",):
        weights = mono_weights(positions)
        return [("FC", float(weights[positions.index(name)]))]
    if len(positions) == 1 or not name.isalpha():
        return [("FL", 1.0), ("FR", 1.0)]
    side = _side(name)
    return (
        _shares_of_side(name, side, positions, target) if side else _shares_of_middle(name, target)
    )


def _shares_of_middle(name: str, target: tuple[str, ...]) -> list[tuple[str, float]]:
    if "FC" in target and name in ("TFC", "BFC"):
        return [("FC", _HALF_POWER)]
    back = [goal for goal in ("BL", "BR", "SL", "SR") if goal in target]
    if name in ("BC", "TBC") and back:
        return [(goal, _HALF_POWER) for goal in back[:2]]
    weight = _HALF_POWER if name == "FC" else 0.5
    return [("FL", weight), ("FR", weight)]


def _shares_of_side(
    name: str, side: str, positions: tuple[str, ...], target: tuple[str, ...]
) -> list[tuple[str, float]]:
    front = "FL" if side == "L" else "FR"
    is_front = any(name in pair for pair in _FRONT_PAIRS)
    if is_front:
        # A stereo mix in addition to the channels it was made of says the same twice.
        said_twice = "FL" in positions and not name.startswith("F")
        return [] if said_twice else [(front, 1.0)]
    if name in ("FLC", "FRC"):
        return [(front, 1.0)]
    for goal in ("SL", "SR", "BL", "BR"):
        if goal in target and goal.endswith(side) and not name.startswith(("TF", "BF", "W")):
            return [(goal, 1.0 if goal not in positions else _HALF_POWER)]
    return [(front, _HALF_POWER)]


def _side(name: str) -> str:
    """Return ``L`` or ``R``, or nothing for what stands in the middle."""
    stem = name.removesuffix("C") if name in ("FLC", "FRC") else name
    return stem[-1] if stem[-1] in "LR" else ""
