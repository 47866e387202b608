"""Colours by tags instead of a profile: PNG's gAMA, cHRM and cICP, AVIF's nclx.

Axis legend: H W pixels, last axis red green blue. Values were compared with Chromium 150s.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_D65, _C, _E, _DCI = (0.3127, 0.3290), (0.310, 0.316), (1 / 3, 1 / 3), (0.314, 0.351)


@dataclass(frozen=True)
class Primaries:
    """Chromaticities (x, y)."""

    white: tuple[float, float]
    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]

    def to_xyz(self) -> NDArray[np.float64]:
        """Return the matrix from linear RGB to XYZ with white at Y = 1, adapted to D65."""
        columns = np.array([(x, y, 1 - x - y) for x, y in (self.red, self.green, self.blue)]).T
        white, d65 = _xyz(self.white), _xyz(_D65)
        scaled = columns * np.linalg.solve(columns, white)
        response = np.diag((_BRADFORD @ d65) / (_BRADFORD @ white))
        adapted: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ response @ _BRADFORD @ scaled
        return adapted


def _xyz(point: tuple[float, float]) -> NDArray[np.float64]:
    x, y = point
    return np.array([x / y, 1, (1 - x - y) / y])


_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_SRGB = Primaries(_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_SMPTE_C = Primaries(_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
_BT2020 = Primaries(_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
# ITU-T H.273, table 2.
_PRIMARIES = {
    1: _SRGB,
    4: Primaries(_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: Primaries(_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: _SMPTE_C,
    7: _SMPTE_C,
    8: Primaries(_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: _BT2020,
    10: Primaries(_E, (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)),
    11: Primaries(_DCI, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: Primaries(_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: Primaries(_D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}


def _srgb(v: Floats) -> Floats:
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def _smpte_240(v: Floats) -> Floats:
    return np.where(v < 0.0912, v / 4, ((v + 0.1115) / 1.1115) ** (1 / 0.45))


def _pq(v: Floats) -> Floats:
    """Return light as a multiple of 203 cd/m2, the white of papers."""
    root = v.astype(np.float64) ** (32 / 2523)
    light = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return (light ** (16384 / 2610) * (10_000 / 203)).astype(np.float32)


def _hlg(v: Floats) -> Floats:
    """Return light of the scene, 1 at most."""
    bright = (np.exp((v - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return np.where(v <= 0.5, v * v / 3, bright)


def _power(exponent: float) -> Callable[[Floats], Floats]:
    return lambda v: v ** np.float32(exponent)


_SRGB_CURVE, _PQ, _HLG = 13, 16, 18
# ITU-T H.273, table 3, as Chromium takes them for still images.
_TRANSFERS: dict[int, Callable[[Floats], Floats]] = {
    4: _power(2.2),
    5: _power(2.8),
    7: _smpte_240,
    8: _power(1),
    _SRGB_CURVE: _srgb,
    _PQ: _pq,
    17: lambda v: v ** np.float32(2.6) * np.float32(52.37 / 48),
    _HLG: _hlg,
}
_POWER = -1
"""Instead of a code point: a plain power."""
_OF_TELEVISION = (1, 6, 14, 15)
"""Code points that a PNG file means as a display's 2.4, and that count as sRGB in an AVIF file."""

# How Chromium shows light brighter than paper on a screen that is not: white as half of what
# the screen has, 1000 cd/m2 as all of it.
_LIGHT = np.array([0, 1, 1.221, 1.49, 1.818, 2.219, 2.709, 3.307, 4.036, 4.926], np.float32)
_SHOWN = np.array([0, 0.5, 0.583, 0.656, 0.719, 0.778, 0.838, 0.893, 0.949, 1], np.float32)


@dataclass(frozen=True)
class TaggedColours:
    """What the numbers of an image mean."""

    primaries: Primaries
    transfer: int
    """A code point of H.273, or :data:`_POWER`."""
    gamma: float = 2.4
    """Exponent of the plain power."""

    def to_srgb(self, pixels: Bytes) -> Bytes:
        """Return ``(H, W, 3)`` uint8 as sRGB."""
        if self.primaries is _SRGB and self.transfer == _SRGB_CURVE:
            return pixels
        levels: Floats = np.linspace(0, 1, 256, dtype=np.float32)
        curve = _power(self.gamma) if self.transfer == _POWER else _TRANSFERS[self.transfer]
        light = curve(levels).astype(np.float32)[pixels]
        if self.transfer in (_PQ, _HLG):
            light = self._shown(light)
            return _encode(_convert(light, _BT2020, _SRGB))
        return _encode(_convert(light, self.primaries, _SRGB))

    def _shown(self, light: Floats) -> Floats:
        """Bring bright light into the range of the screen, in the primaries of BT.2020."""
        light = _convert(light, self.primaries, _BT2020)
        if self.transfer == _HLG:
            weights = _BT2020.to_xyz()[1].astype(np.float32)
            luminance = np.maximum(light @ weights, 0)[..., None]
            light = light * luminance ** np.float32(0.2) * np.float32(1000 / 203)
        brightest = np.maximum(light.max(-1), np.float32(1e-6))
        return light * (np.interp(brightest, _LIGHT, _SHOWN) / brightest)[..., None].astype(
            np.float32
        )


def png_colours(notes: Mapping[bytes, bytes]) -> TaggedColours | None:
    """Return what gAMA and cHRM of a PNG file say, ``None`` for sRGB."""
    if b"sRGB" in notes or len(notes.get(b"gAMA", b"")) != 4:
        return None
    gamma = struct.unpack(">I", notes[b"gAMA"])[0] / 100_000
    if gamma == 0:
        return None
    primaries = _chromaticities(notes.get(b"cHRM", b""))
    if primaries is None and abs(gamma * 2.2 - 1) < 0.05:
        return None
    return TaggedColours(primaries or _SRGB, _POWER, 1 / gamma)


def cicp_colours(data: bytes) -> TaggedColours | None:
    """Return what cICP of a PNG file says, ``None`` if it cannot be used.

    Args:
        data: Code points of primaries, transfer and matrix, and whether the range is full.
    """
    if len(data) != 4 or data[2:] != b"\0\1" or data[0] not in _PRIMARIES:
        return None
    if data[1] in (*_OF_TELEVISION, 11):
        return TaggedColours(_PRIMARIES[data[0]], _POWER)
    return TaggedColours(_PRIMARIES[data[0]], data[1]) if data[1] in _TRANSFERS else None


def nclx_colours(primaries: int, transfer: int) -> TaggedColours:
    """Return what code points of an AVIF file mean; an unknown one counts as sRGB's."""
    known = _SRGB_CURVE if transfer in _OF_TELEVISION or transfer not in _TRANSFERS else transfer
    return TaggedColours(_PRIMARIES.get(primaries, _SRGB), known)


def _chromaticities(data: bytes) -> Primaries | None:
    """Return cHRM's, ``None`` if no colours can be made of them."""
    if len(data) != 32:
        return None
    values = [value / 100_000 for value in struct.unpack(">8I", data)]
    points = [(values[at], values[at + 1]) for at in range(0, 8, 2)]
    if any(x + y > 1 for x, y in points) or points[0][1] <= 0:
        return None
    (red_x, red_y), (green_x, green_y), (blue_x, blue_y) = points[1:]
    area = (green_x - red_x) * (blue_y - red_y) - (blue_x - red_x) * (green_y - red_y)
    return Primaries(*points) if abs(area) > 1e-3 else None


def _convert(light: Floats, source: Primaries, target: Primaries) -> Floats:
    if source is target:
        return light
    matrix = np.linalg.solve(target.to_xyz(), source.to_xyz()).astype(np.float32)
    return light @ matrix.T


@lru_cache(maxsize=1)
def _levels() -> Bytes:
    """Return the sRGB level of each of 65536 amounts of light."""
    light = np.arange(65536) / 65535
    values = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(values * 255).astype(np.uint8)


def _encode(light: Floats) -> Bytes:
    return _levels()[(np.clip(light, 0, 1) * np.float32(65535) + np.float32(0.5)).astype(np.uint16)]
