"""Speech by the espeak-ng library, with the time of every phoneme."""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashtalk_core.errors import FlashTalkError

from .visemes import PAUSE, Span

SAMPLE_RATE_HZ = 16_000
"""Rate of the audio the model is trained on."""

_LIBRARIES = ("libespeak-ng.so.1", "libespeak-ng.dylib", "libespeak-ng.dll")
_SYNCHRONOUS = 2
_PHONEMES_IN_IPA = 0x0003
_DO_NOT_EXIT = 0x8000
_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_LAST_EVENT, _PHONEME_EVENT = 0, 7
_STOP_CLOSURE_S = 0.045
"""Silence before the burst of a voiceless stop; the library's event marks the burst."""
_VOICELESS_STOPS = "ptkʈcq"


class Voice(NamedTuple):
    """Who speaks, and how."""

    language: str
    """Name of an espeak-ng language, such as ``en-us``."""
    variant: str
    """Name of a variant, such as ``f3``; empty for the language's own."""
    rate_wpm: int = 165
    """Words a minute, 80 to 450."""
    pitch: int = 50
    """0 to 99."""
    pitch_range: int = 50
    """0 (flat) to 99."""

    @property
    def name(self) -> str:
        """Language and variant as espeak-ng spells them."""
        return f"{self.language}+{self.variant}" if self.variant else self.language


class Speech(NamedTuple):
    """Spoken audio and its phonemes."""

    samples: NDArray[np.float32]
    """``(N,)`` in ``[-1, 1]``."""
    rate_hz: int
    spans: list[Span]

    @property
    def duration_s(self) -> float:
        """Length of the audio."""
        return len(self.samples) / self.rate_hz


class _Event(ctypes.Structure):
    """An event of the library's C interface."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("text", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Synthesiser:
    """The espeak-ng library, open for synthesis until the process ends.

    The library carries state from one utterance to the next: the same audio comes only from
    the same calls in the same order in a fresh process. It is never closed, for espeak-ng
    1.51 hangs when it is closed and opened again.

    Raises:
        FlashTalkError: The library or its data are not installed.
    """

    def __init__(self) -> None:
        self._library = _open_library()
        rate = self._library.espeak_Initialize(
            _SYNCHRONOUS, 0, None, _PHONEMES_IN_IPA | _DO_NOT_EXIT
        )
        if rate <= 0:
            raise FlashTalkError("espeak-ng found no voices: install the package espeak-ng-data")
        self.rate_hz: int = rate
        """Rate of the audio of :meth:`say`."""
        self._audio = bytearray()
        self._marks: list[tuple[int, str]] = []
        self._callback = _Callback(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: Voice) -> Speech:
        """Speak ``text``.

        Args:
            text: What to say, in the language of the voice.
            voice: Who says it.

        Returns:
            Audio at the library's own rate, and its phonemes.

        Raises:
            FlashTalkError: There is no such voice.
        """
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise FlashTalkError(f"voice {voice.name!r}: not known to espeak-ng; see its --voices")
        for parameter, value in (
            (_RATE, voice.rate_wpm),
            (_PITCH, voice.pitch),
            (_RANGE, voice.pitch_range),
        ):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._audio.clear()
        self._marks.clear()
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 0, 0, _UTF8, None, None)
        samples = np.frombuffer(bytes(self._audio), np.int16).astype(np.float32)
        samples /= 32768.0
        return Speech(samples, self.rate_hz, phoneme_spans(self._marks, len(samples), self.rate_hz))

    def _collect(self, audio: Any, count: int, events: Any) -> int:
        if audio and count > 0:
            self._audio += ctypes.string_at(audio, 2 * count)
        index = 0
        while events and events[index].type != _LAST_EVENT:
            if events[index].type == _PHONEME_EVENT:
                symbol = events[index].text.decode("utf-8", "ignore")
                self._marks.append((events[index].sample, symbol))
            index += 1
        return 0


def phoneme_spans(marks: list[tuple[int, str]], num_samples: int, rate_hz: int) -> list[Span]:
    """Turn the starts of phonemes into spans.

    Marks of a change of language are dropped. The mark of a voiceless stop is its burst: its
    span starts earlier, with the silence in which the mouth is already closed.

    Args:
        marks: First sample and symbol of each phoneme, in order.
        num_samples: Length of the audio.
        rate_hz: Rate of the audio.

    Returns:
        Spans from the first phoneme to the end of the audio, without gaps.
    """
    phonemes = [(sample / rate_hz, symbol) for sample, symbol in marks if symbol[:1] != "("]
    starts = [start for start, _ in phonemes]
    for index, (start, symbol) in enumerate(phonemes):
        if symbol.lstrip("ˈˌ")[:1] in tuple(_VOICELESS_STOPS):
            before = starts[index - 1] if index else 0.0
            starts[index] = max(start - _STOP_CLOSURE_S, (before + start) / 2)
    ends = [*starts[1:], num_samples / rate_hz]
    return [
        Span(symbol or PAUSE, start, end)
        for (_, symbol), start, end in zip(phonemes, starts, ends, strict=True)
        if end > start
    ]


def resample(samples: NDArray[np.float32], rate_hz: int, to_rate_hz: int) -> NDArray[np.float32]:
    """Return the audio at another rate."""
    import soxr

    out: NDArray[np.float32] = soxr.resample(samples, rate_hz, to_rate_hz).astype(np.float32)
    return out


def find_library() -> str | None:
    """Return the name of espeak-ng's library; ``None`` where it is not installed."""
    return ctypes.util.find_library("espeak-ng")


def _open_library() -> Any:
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.espeak_Synth.argtypes = (
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int,
            ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
        )  # fmt: skip
        return library
    raise FlashTalkError(
        "espeak-ng is not installed: making speech data needs its library (apt install espeak-ng)"
    )
