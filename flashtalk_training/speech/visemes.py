"""Mouth shapes of phonemes, and the track of a mouth that speaks them.

The mouth follows the phonemes and their timing alone, never the loudness: vowels open it by
their height, lips meet for p, b and m, and a pause closes it.
"""

# The tables are written in IPA, whose letters resemble Latin ones.
# ruff: noqa: RUF001

from __future__ import annotations

import unicodedata
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..drawn_faces.motion import FRAME_RATE_HZ, MOUTH_CHANNELS

FloatArray = NDArray[np.float32]

PAUSE = ""
"""Symbol of a pause."""
_GRID_HZ = 200
_BLUR_S = 0.032
"""Deviation of the Gaussian that blends neighbouring shapes."""
_APPROACH_S = 0.055
"""Time the lips take to meet and to part."""
_MIN_PAUSE_S = 0.08
"""Shorter pauses are gaps within speech and keep the shape before them."""
_LABIODENTAL_OPENING = 0.05


class Span(NamedTuple):
    """One phoneme in time."""

    symbol: str
    """IPA or ASCII mnemonic, with or without stress, length and tone; empty for a pause."""
    start_s: float
    end_s: float


class Shape(NamedTuple):
    """Mouth target of one phoneme."""

    kind: str
    """One of :data:`PHONEME_CLASSES`."""
    weight: float
    """How strongly it holds its shape against its neighbours."""
    opening: float
    width: float = 0.0
    round: float = 0.0
    closure: float = 0.0
    teeth: float = 0.0
    tongue: float = 0.0
    held: float = 1.0
    """Share of its time that the shape is held; the rest belongs to what follows."""

    @property
    def target(self) -> tuple[float, ...]:
        """The channels ``MOUTH_CHANNELS``."""
        return (self.opening, self.width, self.round, self.closure, self.teeth, self.tongue)


PHONEME_CLASSES = (
    "silence", "open", "mid", "close", "rounded", "bilabial", "labiodental", "dental",
    "alveolar", "sibilant", "postalveolar", "palatal", "back", "glide", "breath",
)  # fmt: skip
"""Classes by number; a track of them says what is spoken in each frame."""

_SILENCE = Shape("silence", 1.0, 0.0)
_CONSONANTS = {
    "pbʙ": Shape("bilabial", 1.5, 0.0, closure=1.0, held=0.6),
    "mɸβ": Shape("bilabial", 1.5, 0.0, closure=1.0),
    "fvɱʋ": Shape("labiodental", 1.3, _LABIODENTAL_OPENING, 0.1, teeth=1.0),
    "θðTD": Shape("dental", 0.9, 0.20, 0.1, teeth=0.5, tongue=1.0),
    "tdnlrɾɫɬɮɭɳʈɖɽ": Shape("alveolar", 0.6, 0.24, 0.1, teeth=0.5, tongue=0.6),
    "ɹɻ": Shape("alveolar", 0.7, 0.24, -0.2, 0.45, teeth=0.2, tongue=0.4),
    "sz": Shape("sibilant", 1.0, 0.12, 0.4, teeth=1.0),
    "ʃʒɕʑʂʐSZ": Shape("postalveolar", 1.0, 0.20, -0.3, 0.5, teeth=0.9),
    "jɲʎcɟçC": Shape("palatal", 0.7, 0.20, 0.5, teeth=0.4, tongue=0.3),
    "kɡgŋxɣqχʁɴʀGNXR": Shape("back", 0.4, 0.32, tongue=0.2),
    "wʍɥɰW": Shape("glide", 1.2, 0.10, -0.6, 0.95),
    "hɦʔħʕ?H": Shape("breath", 0.2, 0.35),
}
# Opening, width and roundness by vowel.
_VOWELS = {
    "aæ": ("open", 0.92, 0.30, 0.0),
    "ɑA": ("open", 1.00, 0.05, 0.0),
    "ɐʌV": ("open", 0.72, 0.05, 0.0),
    "ɒɶ0": ("open", 0.78, -0.2, 0.5),
    "ɛE": ("mid", 0.60, 0.40, 0.0),
    "e": ("mid", 0.45, 0.55, 0.0),
    "əɘɚɝɜɞ@3ɤ": ("mid", 0.40, 0.0, 0.1),
    "ɔO": ("rounded", 0.62, -0.25, 0.65),
    "oɵ": ("rounded", 0.42, -0.45, 0.85),
    "øœ": ("rounded", 0.45, -0.30, 0.75),
    "ʊU": ("rounded", 0.28, -0.45, 0.80),
    "uʉyʏ": ("rounded", 0.18, -0.60, 1.0),
    "ɪI": ("close", 0.28, 0.50, 0.0),
    "iɨɯ": ("close", 0.20, 0.80, 0.0),
}


def _table() -> dict[str, Shape]:
    shapes = {letter: shape for letters, shape in _CONSONANTS.items() for letter in letters}
    for letters, (kind, opening, width, rounded) in _VOWELS.items():
        teeth = 0.35 if kind in ("mid", "close") else 0.15
        tongue = 0.6 if kind == "open" else 0.2
        shape = Shape(kind, 1.0, opening, width, rounded, teeth=teeth, tongue=tongue)
        shapes |= dict.fromkeys(letters, shape)
    return shapes


_SHAPES = _table()


def shapes_of(symbol: str) -> list[Shape]:
    """Return the shapes a phoneme passes through; two for a diphthong or an affricate.

    Stress, length, tone and other marks are dropped. A letter that is not known takes the
    shape of its base letter, and one without any the shape of a neutral vowel.
    """
    shapes = []
    for char in unicodedata.normalize("NFD", symbol):
        if char in _SHAPES:
            shapes.append(_SHAPES[char])
        elif unicodedata.category(char) in ("Ll", "Lo", "Lu"):
            shapes.append(_SHAPES.get(char.lower(), _SHAPES["ə"]))
    return shapes or [_SILENCE]


def mouth_track(spans: list[Span], num_frames: int) -> FloatArray:
    """Return the mouth at the moments ``k / 25`` s.

    Args:
        spans: Phonemes in order of time; what they leave out is a pause.
        num_frames: Frames F of the track.

    Returns:
        Track ``(F, 6)`` float32 with the channels ``MOUTH_CHANNELS``. The opening is exactly 0
        in the frame nearest to every p, b and m, however short, and inside pauses.
    """
    segments = _segments(spans, num_frames / FRAME_RATE_HZ)
    frame_s = np.arange(num_frames) / FRAME_RATE_HZ
    grid_s = np.arange(-_GRID_HZ // 2, round(num_frames / FRAME_RATE_HZ * _GRID_HZ) + 1) / _GRID_HZ
    blended = _blend(segments, grid_s)
    track = np.stack([np.interp(frame_s, grid_s, channel) for channel in blended.T], axis=1)
    opening, closure = MOUTH_CHANNELS.index("opening"), MOUTH_CHANNELS.index("closure")
    for shape, start, end in segments:
        if shape.kind in ("bilabial", "labiodental"):
            near = _nearness(frame_s, start, start + shape.held * (end - start))
            at_most = np.minimum(track[:, opening], shape.opening)
            track[:, opening] += near * (at_most - track[:, opening])
            track[:, closure] = np.maximum(track[:, closure], near * shape.closure)
        elif shape.kind == "silence":
            track[:, opening] *= 1.0 - _nearness(frame_s, start + 0.06, end - 0.06)
    return track.astype(np.float32)


def class_track(spans: list[Span], num_frames: int) -> NDArray[np.uint8]:
    """Return the index into ``PHONEME_CLASSES`` at the moments ``k / 25`` s, ``(F,)``."""
    track = np.zeros(num_frames, np.uint8)
    for shape, start, end in _segments(spans, num_frames / FRAME_RATE_HZ):
        first, stop = (int(np.ceil(max(t, 0.0) * FRAME_RATE_HZ - 1e-9)) for t in (start, end))
        track[first:stop] = PHONEME_CLASSES.index(shape.kind)
    return track


def _nearness(moments: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    """Return 1 inside an interval, and in the frame nearest to it, falling to 0 around it."""
    if end <= start:
        return np.zeros_like(moments)
    outside = np.maximum(np.maximum(start - moments, moments - end), 0.0)
    near = np.clip(1.0 - outside / _APPROACH_S, 0.0, 1.0)
    near = near * near * (3.0 - 2.0 * near)
    centre = round((start + end) / 2 * FRAME_RATE_HZ)
    if 0 <= centre < len(moments):
        near[centre] = 1.0
    return near


def _segments(spans: list[Span], duration_s: float) -> list[tuple[Shape, float, float]]:
    """Return shapes with their times, gaps filled with silence."""
    segments: list[tuple[Shape, float, float]] = []
    clock = -1.0
    for span in _without_gaps(spans):
        if span.start_s > clock:
            segments.append((_SILENCE, clock, span.start_s))
        shapes = shapes_of(span.symbol)
        step = (span.end_s - span.start_s) / len(shapes)
        for index, shape in enumerate(shapes):
            start = span.start_s + index * step
            segments.append((shape, start, start + step))
        clock = span.end_s
    if clock < duration_s:
        segments.append((_SILENCE, clock, duration_s + 1.0))
    return segments


def _without_gaps(spans: list[Span]) -> list[Span]:
    """Return the spans with pauses joined; inaudibly short ones are added to the span before."""
    joined: list[Span] = []
    for span in spans:
        if joined and span.symbol == PAUSE == joined[-1].symbol:
            joined[-1] = joined[-1]._replace(end_s=span.end_s)
        else:
            joined.append(span)
    kept: list[Span] = []
    for span in joined:
        if span.symbol == PAUSE and kept and span.end_s - span.start_s < _MIN_PAUSE_S:
            kept[-1] = kept[-1]._replace(end_s=span.end_s)
        else:
            kept.append(span)
    return kept


def _blend(
    segments: list[tuple[Shape, float, float]], grid_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ``(G, 6)``: the shapes blended over time by weight."""
    targets = np.zeros((len(grid_s), len(MOUTH_CHANNELS)))
    weights = np.full(len(grid_s), 1e-3)
    for shape, start, end in segments:
        inside = (grid_s >= start) & (grid_s < start + shape.held * (end - start))
        targets[inside] = shape.target
        weights[inside] = shape.weight
    reach = round(3 * _BLUR_S * _GRID_HZ)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (_BLUR_S * _GRID_HZ)) ** 2)

    def blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.convolve(np.pad(values, reach, mode="edge"), kernel, mode="valid")

    total = blur(weights)
    return np.stack([blur(channel * weights) / total for channel in targets.T], axis=1)
