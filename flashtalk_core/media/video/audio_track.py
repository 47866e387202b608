"""The user's own audio as the AAC track of a video, encoded in step with the video.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Generator, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from ...log import printable_log
from ..audio.analysis_mix import AnalysisMix
from ..audio.channel_mix import Matrix, is_unnamed, mix_matrix, positions_of
from ..audio.decoding.reader import AudioReader
from ..audio.info import AudioInfo
from ..audio.marks import measured_blocks
from ..audio.resampling import StreamResampler
from ..audio.source import Block

if TYPE_CHECKING:
    from av import Packet
    from av.container import OutputContainer

_log = printable_log(logging.getLogger(__name__))

_LEGAL_RATES_HZ = (
    7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000,
)  # fmt: skip
# Channel layouts that AAC has a fixed code for, by the names FFmpeg gives to the audio and to
# the encoder. Side and back speakers of 5.0 and 5.1 come in the same order. 7.1 is left out:
# PyAV cannot make frames of 8 planar channels.
_LEGAL_LAYOUTS = {
    "mono": "mono",
    "stereo": "stereo",
    "3.0": "3.0",
    "4.0": "4.0",
    "5.0": "5.0",
    "5.0(side)": "5.0",
    "5.1": "5.1",
    "5.1(side)": "5.1",
}
_UNNAMED_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}
AAC_FRAME_SAMPLES = 1024
"""Of each channel; what is encoded at a time."""
_BITS_PER_SAMPLE = 4
_MAX_BITS_PER_CHANNEL = 96_000


def aac_rate_hz(rate_hz: int) -> int:
    """Return the rate AAC can carry: the same, else the next higher one, at most 96 kHz."""
    return next((legal for legal in _LEGAL_RATES_HZ if legal >= rate_hz), _LEGAL_RATES_HZ[-1])


def aac_layout(layout: str, channels: int) -> str:
    """Return the layout AAC can carry: the same, else that of the nearest downmix."""
    if is_unnamed(layout) and channels in _UNNAMED_LAYOUTS:
        return _UNNAMED_LAYOUTS[channels]
    positions = positions_of(layout, channels)
    return _LEGAL_LAYOUTS.get(layout) or _nearest_layout(set(positions))


def _nearest_layout(positions: set[str]) -> str:
    """Return the smallest layout that keeps what matters: front, centre and behind."""
    if not {"FL", "FR"} <= positions:
        return "stereo" if {"DL", "DR"} <= positions or {"BIL", "BIR"} <= positions else "mono"
    if "FC" not in positions:
        return "stereo"
    if {"BL", "SL"} & positions:
        return "5.1" if "LFE" in positions else "5.0"
    return "4.0" if "BC" in positions else "3.0"


def track_notes(audio: AudioInfo) -> list[str]:
    """Return what of an audio source the track of the video cannot carry, a sentence each."""
    notes, rate_hz = [], aac_rate_hz(audio.rate_hz)
    if rate_hz != audio.rate_hz:
        notes.append(f"AAC has no {audio.rate_hz} Hz, the video gets {rate_hz} Hz")
    if _downmix(audio) is not None:
        notes.append(
            f"AAC has no layout like its {audio.channels} channels ({audio.layout or 'unnamed'}), "
            f"the video gets {aac_layout(audio.layout, audio.channels)}"
        )
    return [f"audio {audio.source}: {note}" for note in notes]


def _downmix(audio: AudioInfo) -> Matrix | None:
    """Return the weights that make the track's channels; ``None`` where they are the audio's."""
    layout = aac_layout(audio.layout, audio.channels)
    target = positions_of(layout, 0)
    if len(target) == audio.channels and (
        is_unnamed(audio.layout) or audio.layout in _LEGAL_LAYOUTS
    ):
        return None
    if layout != "mono":
        return mix_matrix(positions_of(audio.layout, audio.channels), target)
    # Channels without a place are added up, as loud as the loudest of them at most.
    loudest = max(audio.mix_peak, audio.peak) or 1.0
    weights = np.asarray(AnalysisMix.downmix(audio.layout, audio.channels).weights, np.float32)
    return weights[None] * np.float32(audio.peak / loudest)


class AudioTrack:
    """Decodes the audio a second time and encodes it as far as the video has come."""

    def __init__(
        self, container: OutputContainer, audio: AudioInfo, length: AudioInfo | None = None
    ) -> None:
        """Open the audio and add the track to a container.

        Args:
            container: That the packets are for.
            audio: What is heard.
            length: Audio that the track is as long as: more is cut off, silence fills what is
                missing. ``None`` is ``audio`` itself.
        """
        self.rate_hz = aac_rate_hz(audio.rate_hz)
        self.layout = aac_layout(audio.layout, audio.channels)
        self._length = length or audio
        self._downmix = _downmix(audio)
        self._reader = AudioReader(audio.source)
        try:
            self.stream = container.add_stream("aac", rate=self.rate_hz, layout=self.layout)
            """The track of the container."""
            self._channels = len(self.stream.codec_context.layout.channels)
            self.stream.codec_context.bit_rate = self._channels * min(
                _MAX_BITS_PER_CHANNEL, _BITS_PER_SAMPLE * self.rate_hz
            )
        except BaseException:
            self._reader.close()
            raise
        self._source = self._converted(audio)
        self._pending: Block = np.zeros((self._channels, 0), np.float32)
        self._position = 0
        self._is_stopped = False
        for note in track_notes(audio):
            _log.warning("%s", note)

    @property
    def num_samples(self) -> int | None:
        """Length of the track at its own rate, rounded up; ``None`` until it is known."""
        total, rate_hz = self._length.total_samples, self._length.rate_hz
        return None if total is None else -(-total * self.rate_hz // rate_hz)

    def packets_until(self, time_s: Fraction) -> Iterator[Packet]:
        """Encode what is played before ``time_s``, to the end of the AAC frame around it."""
        stop = math.ceil(time_s * self.rate_hz)
        while self._position < stop and not self._is_stopped:
            self._fill()
            samples = self._take()
            if not samples.shape[1]:
                return
            yield from self._encode(samples)

    def remaining_packets(self) -> Iterator[Packet]:
        """Return what the encoder still holds. The track cannot go on afterwards."""
        yield from self.stream.encode(None)

    def stop(self) -> None:
        """Let what another thread encodes end soon; the track cannot go on afterwards."""
        self._is_stopped = True

    def close(self) -> None:
        """Release the source. The encoder and its threads end with the last reference to this."""
        self._source.close()  # it refers to this, which would live on until memory is tidied up
        self._reader.close()

    def _converted(self, audio: AudioInfo) -> Generator[Block]:
        resampler = StreamResampler(audio.rate_hz, self.rate_hz, self._channels)
        for block in measured_blocks(self._reader, audio):
            if self._downmix is not None:
                block = self._downmix @ block
            yield _within_full_scale(resampler.process(block))
        yield _within_full_scale(resampler.finish())

    @property
    def _num_wanted(self) -> int:
        """Samples of the next AAC frame."""
        total = self.num_samples
        left = AAC_FRAME_SAMPLES if total is None else total - self._position
        return min(AAC_FRAME_SAMPLES, left)

    def _fill(self) -> None:
        """Read on until the next AAC frame is there, or the audio has ended."""
        while self._pending.shape[1] < self._num_wanted:
            more = next(self._source, None)
            if more is None:
                return
            self._pending = np.concatenate([self._pending, more], axis=1)

    def _take(self) -> Block:
        """Return the next AAC frame ``(C, n)``; rounding may leave one of silence at the end."""
        num_samples = self._num_wanted
        short = num_samples - self._pending.shape[1]
        if short > 0:
            silence = np.zeros((self._channels, short), np.float32)
            self._pending = np.concatenate([self._pending, silence], axis=1)
        taken, self._pending = np.split(self._pending, [num_samples], axis=1)
        return taken

    def _encode(self, samples: Block) -> Iterator[Packet]:
        from av import AudioFrame

        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(samples), format="fltp", layout=self.layout
        )
        frame.sample_rate = self.rate_hz
        frame.time_base = Fraction(1, self.rate_hz)
        frame.pts = self._position
        self._position += samples.shape[1]
        yield from self.stream.encode(frame)


def _within_full_scale(block: Block) -> Block:
    # Players cut louder samples off anyway; far louder ones make the encoder fail.
    return np.clip(block, -1, 1)
