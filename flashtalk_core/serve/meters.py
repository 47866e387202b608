"""What is counted of a session, and of all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from ..live.session import Counts
from ..live.shown import Shown

_KEPT = 2_000
"""Newest values that percentiles are taken of: 80 s of frames."""


@dataclass(eq=False)
class SessionMeter:
    """Times of one session, in seconds of one clock."""

    due_s: Callable[[int], float]
    """When a frame is due, by the session's clock."""
    lateness_s: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    """How long after it may leave each frame left."""
    responses_s: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    """From the first sound of an utterance to when its first frame is due."""
    clears_s: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    """From a clear to the end of the last frame of speech."""
    _said: dict[int, float] = field(default_factory=dict)
    _last_said: int = 0
    _lock: Lock = field(default_factory=Lock)

    def note_said(self, utterance: int, now_s: float) -> None:
        """Note that sound of an utterance came."""
        with self._lock:
            if utterance > self._last_said:
                self._last_said = utterance
                self._said[utterance] = now_s

    def note_clear(self, now_s: float, playhead: int) -> None:
        """Note a clear, while ``playhead`` is the first frame that had not left."""
        with self._lock:
            self.clears_s.append(max(0.0, self.due_s(playhead) - now_s))

    def note_shown(self, shown: Shown, now_s: float, lead_s: float) -> None:
        """Note a frame as it leaves."""
        with self._lock:
            due_s = self.due_s(shown.frame)
            self.lateness_s.append(now_s - (due_s - lead_s))
            said_s = self._said.get(shown.utterance or 0)
            if said_s is not None and shown.utterance is not None:
                del self._said[shown.utterance]
                self.responses_s.append(due_s - said_s)
            for played in shown.played:
                self._said.pop(played.utterance, None)

    def row(self, counts: Counts) -> dict[str, Any]:
        """Return what ``/stats`` says of the session."""
        with self._lock:
            return {
                **{name: getattr(counts, name) for name in Counts.__dataclass_fields__},
                "lateness_p99_ms": _quantile_ms(self.lateness_s, 0.99),
                "response_median_ms": _quantile_ms(self.responses_s, 0.5),
                "response_max_ms": _quantile_ms(self.responses_s, 1.0),
                "clear_max_ms": _quantile_ms(self.clears_s, 1.0),
            }


@dataclass
class ServerCounts:
    """What happened in a server."""

    sessions: int = 0
    refused: int = 0
    """Sessions and messages that were refused."""
    utterances: int = 0
    clears: int = 0
    dropped_clients: int = 0
    """Clients that did not take what was sent."""
    failed_sessions: int = 0


def metrics_of(stats: dict[str, Any]) -> dict[str, tuple[str, str, float]]:
    """Return the metrics of ``/metrics``, as :func:`prometheus` takes them, from ``/stats``."""
    rows = stats["per_session"]

    def worst(name: str) -> float:
        return max((row[name] for row in rows if row[name] is not None), default=float("nan"))

    return {
        "flashtalk_chunk_factor": ("gauge", "Time of a chunk over its length.", stats["factor"]),
        "flashtalk_speakers_max": ("gauge", "Sessions that may speak.", stats["capacity"]),
        "flashtalk_speakers": ("gauge", "Sessions that speak.", stats["speaking"]),
        "flashtalk_sessions_max": ("gauge", "Sessions that may be open.", stats["max_sessions"]),
        "flashtalk_sessions": ("gauge", "Sessions that are open.", stats["open_sessions"]),
        "flashtalk_sessions_total": ("counter", "Sessions so far.", stats["sessions"]),
        "flashtalk_failed_sessions_total": (
            "counter", "Sessions that ended by an error.", stats["failed_sessions"],
        ),
        "flashtalk_refused_total": (
            "counter", "Sessions and messages that were refused.", stats["refused"],
        ),
        "flashtalk_utterances_total": ("counter", "Utterances so far.", stats["utterances"]),
        "flashtalk_clears_total": ("counter", "Interruptions so far.", stats["clears"]),
        "flashtalk_dropped_clients_total": (
            "counter", "Clients that did not take what was sent.", stats["dropped_clients"],
        ),
        "flashtalk_held_frames": (
            "gauge", "Frames of open sessions that showed the last picture again.",
            sum(row["held"] for row in rows),
        ),
        "flashtalk_clock_moves": (
            "gauge", "Times that clocks of open sessions stood still for a second and were moved.",
            sum(row["clock_moves"] for row in rows),
        ),
        "flashtalk_lateness_p99_ms": (
            "gauge", "99 % of an open session's frames left at most so late; the worst session.",
            worst("lateness_p99_ms"),
        ),
        "flashtalk_response_max_ms": (
            "gauge", "From the first sound of an utterance to its first frame; the longest.",
            worst("response_max_ms"),
        ),
        "flashtalk_clear_max_ms": (
            "gauge", "From an interruption to the last frame of speech; the longest.",
            worst("clear_max_ms"),
        ),
    }  # fmt: skip


def prometheus(values: dict[str, tuple[str, str, float]]) -> str:
    """Return metrics as Prometheus reads them.

    Args:
        values: By name: the kind, ``counter`` or ``gauge``, what it is, and the value.
    """
    lines = []
    for name, (kind, text, value) in values.items():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value:g}"]
    return "\n".join(lines) + "\n"


def _quantile_ms(values: deque[float], share: float) -> float | None:
    """Return the value that a share of ``values`` does not exceed; ``None`` of none."""
    if not values:
        return None
    return round(1000 * float(np.quantile(values, share, method="higher")), 1)
