"""Frames and the audio that belongs to them, encoded once for any number of packet sinks.

Axis legend: F frames, H W pixels; frames are channel last, as encoders take them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...errors import require
from ...files.deferred_stops import deferred_stops
from ...geometry import num_video_frames
from ..audio.info import AudioInfo
from .audio_track import AudioTrack
from .catching_up import CatchingUp
from .partial_file import MuxerOutput
from .video_track import Preset, VideoTrack, check_crf, check_frame_size

if TYPE_CHECKING:
    from av import Packet
    from av.container import OutputContainer
    from av.stream import Stream

# What a killed render loses: the 10 frames the encoder looks ahead, and the one it works on. The
# head is written with the first fragment, because only then is the delay of the AAC encoder known
# and can be declared.
_MUXER_OPTIONS = {
    "movflags": "delay_moov+default_base_moof+use_metadata_tags",
    "frag_duration": "40000",
    "flush_packets": "1",
}
# Room for the head of the file less its texts: the muxer goes back in it to note sizes.
_BUFFER_BYTES = 1 << 20


class PacketSink(Protocol):
    """Takes the packets of a video: a file, a live stream."""

    def add(self, packet: Packet, streams: tuple[Stream, Stream]) -> None:
        """Take a packet.

        Args:
            packet: Of video or audio, in the order of decoding.
            streams: Video and audio, opened by their first packets.

        Raises:
            Exception: Ends the encoding. A sink that others must not depend on raises nothing.
        """
        ...

    def close(self) -> None:
        """End: no packet follows."""
        ...


class VideoEncoder:
    """Encodes a video and hands each packet to all its sinks.

    Use it as a context manager, or open and close it. PyAV's encoders belong to a container, so
    the muxer of the fragmented MP4 that a file holds while it grows is here as well.
    """

    def __init__(
        self,
        size_px: tuple[int, int],
        audio: AudioInfo,
        frame_rate_hz: int = 25,
        *,
        soundtrack: AudioInfo | None = None,
        crf: int = 18,
        preset: Preset = "fast",
        chunk_frames: int = 28,
        metadata: Mapping[str, str] | None = None,
        output: MuxerOutput | None = None,
        sinks: Sequence[PacketSink] = (),
        is_live: bool = False,
    ) -> None:
        """Check everything that can be checked; nothing is opened yet.

        Args:
            size_px: Height and width of the frames.
            audio: Audio of the video, which ends with it.
            frame_rate_hz: Frames a second.
            soundtrack: What is heard instead, from the same start and as long; ``None`` is
                ``audio``.
            crf: H.264 quality, 0 (best) to 51; 18 looks like the source.
            preset: x264's trade of speed for size.
            chunk_frames: Frames of a chunk; each begins with a key frame.
            metadata: Texts in the head of a fragmented MP4, by any names; ``None`` for no text.
            output: Takes the start of a fragmented MP4 as long as it wants it; ``None`` drops it.
            sinks: Get each packet, in this order.
            is_live: Whether a frame's packet comes with it, instead of ten frames later.

        Raises:
            InvalidInputError: If the size or the quality is out of range.
        """
        check_frame_size(size_px)
        check_crf(crf)
        self.size_px = size_px
        self.audio = audio
        self._soundtrack = soundtrack or audio
        self.frame_rate_hz = frame_rate_hz
        self.num_written = 0
        self._chunk_frames = chunk_frames
        self._crf, self._preset, self._is_live = crf, preset, is_live
        self._metadata = dict(metadata or {})
        self._output = output or MuxerOutput(deque(maxlen=0))
        self._sinks = tuple(sinks)
        self._container: OutputContainer | None = None
        self._images: VideoTrack
        self._track: AudioTrack
        self._catching_up: CatchingUp | None = None

    @property
    def num_frames(self) -> int | None:
        """Frames of the video, ``ceil(frame rate * samples / rate)``; ``None`` until known."""
        total, rate_hz = self.audio.total_samples, self.audio.rate_hz
        return None if total is None else num_video_frames(total, rate_hz, self.frame_rate_hz)

    @property
    def is_open(self) -> bool:
        """Whether frames can be written."""
        return self._container is not None

    @property
    def track(self) -> AudioTrack:
        """The track of the audio, once the encoder was opened."""
        return self._track

    def open(self) -> None:
        """Open the audio and set up the encoders.

        Raises:
            InvalidInputError: If the audio cannot be read.
        """
        import av

        texts = sum(len(text.encode()) for pair in self._metadata.items() for text in pair)
        container = av.open(
            self._output,
            "w",
            format="mp4",
            options=_MUXER_OPTIONS,
            buffer_size=_BUFFER_BYTES + texts,
        )
        try:
            container.metadata.update(self._metadata)
            self._images = VideoTrack(
                container,
                self.size_px,
                self.frame_rate_hz,
                crf=self._crf,
                preset=self._preset,
                chunk_frames=self._chunk_frames,
                is_live=self._is_live,
            )
            self._track = AudioTrack(container, self._soundtrack, self.audio)
        except BaseException:
            container.close()
            raise
        self._container = container

    def skip(self, num_frames: int, num_audio_packets: int, head: bytes) -> None:
        """Go on where an earlier encoder of the same video has come; call it before any frame.

        The audio is encoded again up to there and dropped: its encoder adapts to what it had. That
        takes a minute for an hour, in a thread that the next frame waits for.

        Args:
            num_frames: Frames that it has encoded, whole chunks.
            num_audio_packets: Packets of audio that it has given out.
            head: Of the fragmented MP4 that it has begun.

        Raises:
            InvalidInputError: If the frames of this encoder would not follow those. If its audio
                would not, the next call of :meth:`write` raises.
        """
        require(
            num_frames % self._chunk_frames == 0,
            f"{num_frames} frames are there, and a chunk has {self._chunk_frames}",
        )
        require(
            self.is_described_by(head),
            "the H.264 encoder of this FFmpeg describes the video differently",
        )
        assert self._container is not None
        self._container.start_encoding()  # what describes the streams to the sinks
        skip = partial(self.skip_audio, num_frames)
        self._catching_up = CatchingUp(skip, self._track.stop, num_audio_packets, num_frames)
        self.num_written = num_frames

    def _caught_up(self) -> None:
        """Wait until the audio has come as far as the frames; raise what went wrong."""
        catching_up, self._catching_up = self._catching_up, None
        if catching_up is not None:
            catching_up.wait()

    def is_described_by(self, head: bytes) -> bool:
        """Return whether a file with this head can hold the frames of this encoder."""
        return all(unit in head for unit in self._images.parameter_sets())

    def skip_audio(self, num_frames: int) -> int:
        """Encode and drop the audio of that many frames; return the number of its packets."""
        time_s = Fraction(num_frames, self.frame_rate_hz)
        return sum(1 for _ in self._track.packets_until(time_s))

    def write(self, frames: NDArray[np.uint8] | Tensor) -> None:
        """Encode frames and the audio that belongs to them.

        Args:
            frames: ``(F, H, W, 3)`` uint8; no more than :attr:`num_frames` in all.

        Raises:
            Exception: What a sink raises; av.FFmpegError: if the frames cannot be encoded.
        """
        pixels = frames.cpu().numpy() if isinstance(frames, Tensor) else frames
        assert pixels.shape[1:] == (*self.size_px, 3), pixels.shape
        assert pixels.dtype == np.uint8, pixels.dtype
        self._caught_up()
        total = self.num_frames
        assert total is None or self.num_written + len(pixels) <= total, (len(pixels), total)
        for image in pixels:
            with deferred_stops():
                time_s = Fraction(self.num_written + 1, self.frame_rate_hz)
                if self._is_live:  # a fragment leaves with its last picture, and needs its sound
                    self._mux(self._track.packets_until(time_s))
                self._mux(self._images.packets(image, self.num_written))
                self.num_written += 1
                self._mux(self._track.packets_until(time_s))

    def video_packets(self, images: Iterable[NDArray[np.uint8]], first: int) -> Iterator[Packet]:
        """Encode images ``(H, W, 3)`` of whole chunks without audio; ``first`` is a border."""
        for number, image in enumerate(images, first):
            yield from self._images.packets(image, number)
        yield from self._images.remaining_packets()

    def close(self) -> None:
        """Flush the encoders and close everything; all of it, whatever fails."""
        if self._container is None:
            return
        with deferred_stops(), ExitStack() as ends:
            ends.callback(self._close_container)
            ends.callback(self._track.close)
            for sink in self._sinks:
                ends.callback(sink.close)
            if self._catching_up is not None and self.num_written != self.num_frames:
                self._catching_up.stop()  # nothing was written since, and nothing follows
                return
            self._caught_up()
            self._mux(self._images.remaining_packets())
            self._mux(self._track.remaining_packets())

    def check_complete(self) -> None:
        """Assert that all frames were written."""
        counts = f"{self.num_written} of {self.num_frames}"
        assert self.num_written == self.num_frames, f"{counts} frames written"

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exception is None:
            self.close()
            self.check_complete()
            return
        with suppress(BaseException):  # what stopped the render is raised
            self.close()

    def _mux(self, packets: Iterable[Packet]) -> None:
        assert self._container is not None
        streams = self._images.stream, self._track.stream
        for packet in packets:
            if self._output.is_wanted:
                self._container.mux(packet)
            for sink in self._sinks:
                sink.add(packet, streams)

    def _close_container(self) -> None:
        container, self._container = self._container, None
        assert container is not None
        container.close()
