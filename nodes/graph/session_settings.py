"""Settings of a live session: how it is played, when it ends, what is spoken first.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ...flashtalk_core.errors import require
from ...flashtalk_core.live.audio.silero import find_silero
from ...flashtalk_core.live.audio.sound import MAX_WAITING_S
from ...flashtalk_core.live.decide import Idle, Policy
from ...flashtalk_core.live.scheduler import MOST_LOAD
from ...flashtalk_core.media.audio.resampling import StreamResampler
from ...flashtalk_core.serve.limits import ServerLimits
from ...flashtalk_core.serve.protocol import Source, Start

if TYPE_CHECKING:
    from ...flashtalk_core.live.audio.gate import SpeechDetector
    from ...flashtalk_core.media.audio.source import AudioArray, Block

RATES_HZ: dict[Source, int] = {"microphone": 48_000, "speech": 24_000}
"""Of a session's sound: what the page sends, and what most services send."""
_NO_SILENCE_LIMIT_S = 86_400.0


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """How a session is played, and when it ends."""

    source: Source
    policy: Policy
    limits: ServerLimits
    allow_slow: bool
    detector: Callable[[int], SpeechDetector] | None = None
    """Makes what judges what a microphone hears, beside its level; ``None`` goes by level alone."""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Return the settings of the node's widgets.

        Raises:
            InvalidInputError: If a value is out of range, or the package of ``vad`` is missing.
        """
        asks_network = values.get("vad", False) and values["source"] == "microphone"
        idle: Idle = values["idle"]
        for name in ("max_minutes", "idle_minutes"):
            minutes = values[name]
            require(
                math.isfinite(minutes) and 0 < minutes <= 1440,
                f"{name} {minutes}: use more than 0, at most 1440 minutes",
                subject=name,
            )
        limits = ServerLimits(
            session_s=60 * values["max_minutes"],
            idle_s=60 * values["idle_minutes"],
            # Whoever leaves may come back until then: a page is opened again.
            reconnect_s=_NO_SILENCE_LIMIT_S,
        )
        return cls(
            source=values["source"],
            policy=Policy(idle=idle, look_ahead=values["look_ahead"]),
            limits=limits,
            allow_slow=values["allow_slow"],
            detector=find_silero() if asks_network else None,
        )

    @property
    def start(self) -> Start:
        """How the session begins."""
        rate = RATES_HZ[self.source]
        return Start(source=self.source, idle=self.policy.idle, rate=rate)

    def check_speed(self, factor: float) -> None:
        """Check that chunks are drawn as fast as they are shown.

        Args:
            factor: Time of a chunk over its length.

        Raises:
            InvalidInputError: If they are not, and slow sessions were not allowed.
        """
        require(
            self.allow_slow or factor <= MOST_LOAD,
            f"a chunk takes {factor:.2f} times as long as it is shown, and live sound needs at "
            f"most {MOST_LOAD:g}; use a smaller size in FlashTalk Reference, fewer steps, float8 "
            "or a faster GPU, or allow_slow for a picture that stops and goes",
            subject="steps",
        )


def opening_block(audio: AudioArray, rate_hz: int) -> Block:
    """Return what is spoken first as a session's sound, ``(1, n)`` float32.

    Args:
        audio: As it came.
        rate_hz: Of the session.

    Raises:
        InvalidInputError: If it is too long to wait.
    """
    seconds = audio.samples.shape[1] / audio.rate_hz
    require(
        seconds <= MAX_WAITING_S,
        f"opening of {seconds:.1f} s: at most {MAX_WAITING_S} s wait to be spoken; cut it, or send "
        "it to the session in pieces",
        subject="opening",
    )
    mono = audio.samples.mean(axis=0, keepdims=True, dtype=np.float32)
    require(
        bool(np.isfinite(mono).all()),
        "opening: it holds NaN or infinite values; correct the node it comes from",
        subject="opening",
    )
    resampler = StreamResampler(audio.rate_hz, rate_hz, 1)
    return np.concatenate([resampler.process(mono), resampler.finish()], axis=1)
