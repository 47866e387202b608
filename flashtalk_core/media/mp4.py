"""Video file written while it is rendered: playable at any moment, faststart when finished.

Axis legend: F frames, H W pixels; frames are channel last, as encoders take them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..config import require
from ..errors import OutputError
from ..geometry import check_size, num_video_frames
from ..log import printable_log
from .input_path import file_url
from .live_mp4 import LiveMp4, LiveSink
from .mp4_boxes import cut_to_whole_fragments, has_whole_fragment
from .mp4_finish import count_fragmented_frames, write_plain_mp4
from .output_lock import lock_output
from .output_path import check_output, fault_line
from .sound import SoundInfo
from .sound_track import SoundTrack

if TYPE_CHECKING:
    from av import Packet
    from av.container import OutputContainer
    from av.video.stream import VideoStream

_log = printable_log(logging.getLogger(__name__))

Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]

# What a killed render loses at most: one fragment, the frames the encoder looks ahead, and
# nothing more, since the file is flushed after every packet. The head is written with the first
# fragment, because only then is the delay of the AAC encoder known and can be declared.
_PARTIAL_OPTIONS = {
    "movflags": "delay_moov+default_base_moof+use_metadata_tags",
    "frag_duration": "400000",
    "flush_packets": "1",
}
_MIN_KEY_FRAME_INTERVAL = 25
# No B frames: every frame is decoded when it is shown, so the first one is at 0 s exactly.
_ENCODER_OPTIONS = {"bf": "0", "x264-params": "rc-lookahead=10:sync-lookahead=0:scenecut=0"}
_BT709 = 1
_LIMITED_RANGE = 1


def check_crf(crf: int) -> None:
    """Raise :class:`InvalidInputError` unless ``crf`` is an H.264 quality."""
    require(0 <= crf <= 51, f"quality crf {crf}: use 0 (lossless) to 51, 18 is the default")


class Mp4Writer:
    """Writes frames and the user's own sound into ``<stem>.partial.mp4``, then ``<stem>.mp4``.

    Use it as a context manager. The partial file is a fragmented MP4 that plays, with sound,
    whatever stops the render; an older final file is replaced only by a complete one.
    """

    def __init__(
        self,
        path: str | Path,
        size_px: tuple[int, int],
        sound: SoundInfo,
        frame_rate_hz: int = 25,
        *,
        crf: int = 18,
        preset: Preset = "fast",
        chunk_frames: int = 28,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Check everything that can be checked; nothing is written yet.

        Args:
            path: Final name, in ``.mp4``.
            size_px: Height and width of the frames.
            sound: Sound of the video; it also fixes its length.
            frame_rate_hz: Frames a second.
            crf: H.264 quality, 0 (lossless) to 51; 18 looks like the source.
            preset: x264's trade of speed for size.
            chunk_frames: Frames of a chunk; key frames lie at borders of chunks.
            metadata: Texts kept in the file, by any names; ``None`` for no text.

        Raises:
            OutputError: If the file cannot be written.
            InvalidInputError: If the size or the quality is out of range.
        """
        check_size(size_px)
        check_crf(crf)
        self.output = check_output(path)
        self.size_px = size_px
        self.sound = sound
        self.frame_rate_hz = frame_rate_hz
        self.num_frames = num_video_frames(sound.num_samples, sound.rate_hz, frame_rate_hz)
        """Frames of the finished video, ``ceil(frame rate * samples / rate)``."""
        self.num_written = 0
        # A chunk, or as many as make a second: more key frames make a larger file.
        self._key_frame_interval = chunk_frames * -(-_MIN_KEY_FRAME_INTERVAL // chunk_frames)
        self._encoder_options = _ENCODER_OPTIONS | {"crf": str(crf), "preset": preset}
        self._metadata = dict(metadata or {})
        self._container: OutputContainer | None = None
        self._live: LiveMp4 | None = None
        self._video: VideoStream
        self._track: SoundTrack
        self._held = ExitStack()

    def send_live(self, sink: LiveSink) -> None:
        """Hand the packets of the file to ``sink``, too. Call it before the first frame."""
        self._live = LiveMp4(sink)

    def __enter__(self) -> Self:
        with self._faults(), ExitStack() as held:
            held.enter_context(lock_output(self.output.final, self.output.lock))
            self.output.finishing.unlink(missing_ok=True)
            self._open()
            self._held = held.pop_all()
        return self

    def write(self, frames: NDArray[np.uint8] | Tensor) -> None:
        """Encode frames and the sound that belongs to them.

        Args:
            frames: ``(F, H, W, 3)`` uint8; no more than :attr:`num_frames` in all.

        Raises:
            OutputError: If the disk is full or the file cannot be written for another reason.
        """
        pixels = frames.cpu().numpy() if isinstance(frames, Tensor) else frames
        assert pixels.shape[1:] == (*self.size_px, 3), pixels.shape
        assert pixels.dtype == np.uint8, pixels.dtype
        assert self.num_written + len(pixels) <= self.num_frames, (len(pixels), self.num_frames)
        with self._faults():
            for picture in pixels:
                self._mux(self._encode(picture))
                self.num_written += 1  # not before: a stop in between would count one too many
                time_s = Fraction(self.num_written, self.frame_rate_hz)
                self._mux(self._track.packets_until(time_s))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._held:
            if kind is not None or self.num_written != self.num_frames:
                self._abandon()
                counts = f"{self.num_written} of {self.num_frames}"
                assert exception is not None, f"{counts} frames written"
                self._note_partial(exception)
                return
            with self._faults():
                self._close()
                self._finish()

    def _open(self) -> None:
        import av
        from av.video.reformatter import VideoReformatter

        partial = file_url(self.output.partial)
        self._converter = VideoReformatter()  # one for all frames: it keeps its tables
        self._container = av.open(partial, "w", format="mp4", options=_PARTIAL_OPTIONS)
        try:
            self._container.metadata.update(self._metadata)
            self._video = self._add_video(self._container)
            self._track = SoundTrack(self._container, self.sound)
        except BaseException:
            self._container.close()
            self._tidy_partial()
            raise

    def _add_video(self, container: OutputContainer) -> VideoStream:
        height, width = self.size_px
        stream = container.add_stream(
            "libx264", rate=self.frame_rate_hz, options=self._encoder_options
        )
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        codec = stream.codec_context
        codec.time_base = Fraction(1, self.frame_rate_hz)
        codec.gop_size = self._key_frame_interval
        # Threads share a frame: with a frame each, 16 of them would hold back a whole chunk.
        codec.thread_type = "SLICE"
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
        codec.color_range = _LIMITED_RANGE
        return stream

    def _encode(self, picture: NDArray[np.uint8]) -> Iterator[Packet]:
        from av import VideoFrame

        frame = self._converter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"),
            format="yuv420p",
            dst_colorspace=_BT709,
            dst_color_range=_LIMITED_RANGE,
        )
        frame.pts, frame.time_base = self.num_written, Fraction(1, self.frame_rate_hz)
        return self._one_frame_long(self._video.encode(frame))

    def _one_frame_long(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        for packet in packets:
            packet.duration = 1  # else the very last frame would have none
            yield packet

    def _mux(self, packets: Iterable[Packet]) -> None:
        assert self._container is not None
        for packet in packets:
            self._container.mux(packet)
            if self._live is not None:
                self._live.add(packet, (self._video, self._track.stream))

    def _close(self) -> None:
        """Flush the encoders and end the partial file."""
        assert self._container is not None
        try:
            self._mux(self._one_frame_long(self._video.encode(None)))
            self._mux(self._track.remaining_packets())
        finally:
            if self._live is not None:
                self._live.close()
            container, self._container = self._container, None
            self._track.close()
            container.close()

    def _abandon(self) -> None:
        """End the partial file as well as the disk allows, and leave it."""
        import av

        if self._container is None:
            return
        with suppress(OSError, av.FFmpegError):
            self._close()
        self._tidy_partial()

    def _note_partial(self, exception: BaseException) -> None:
        """Add to what stopped the render where its frames are, unless it says so itself."""
        partial = self.output.partial
        if not self.num_written or not partial.exists() or isinstance(exception, OutputError):
            return
        with suppress(OSError):  # a stop may have come between a frame and its count
            count = count_fragmented_frames(partial)
            exception.add_note(f"the first {count} of {self.num_frames} frames are in {partial}")

    def _tidy_partial(self) -> None:
        """Leave the partial file playable, or not at all."""
        with suppress(OSError):
            if not cut_to_whole_fragments(self.output.partial):
                self.output.partial.unlink()

    def _finish(self) -> None:
        output, rate_hz = self.output, self._track.rate_hz
        # Counting in sound samples makes the length of the sound exact.
        picture_ticks = -(-self.num_frames * rate_hz // self.frame_rate_hz)
        durations = {b"vide": picture_ticks, b"soun": self._track.num_samples}
        try:
            found = write_plain_mp4(output.partial, output.finishing, rate_hz, durations)
            if found != self.num_frames:
                raise OutputError(
                    f"output {output.final}: {found} of {self.num_frames} frames are left in "
                    f"{output.partial}, another program changed it; render again"
                )
            output.finishing.replace(output.final)
        except BaseException:
            with suppress(OSError):
                output.finishing.unlink(missing_ok=True)
            raise
        try:
            output.partial.unlink()
        except OSError as error:
            _log.warning(
                "%s is complete, but %s stays behind: %s", output.final, output.partial, error
            )

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Tell what stopped the writing in one line."""
        import av

        try:
            yield
        except (OSError, av.FFmpegError) as error:
            partial = self.output.partial
            size = partial.stat().st_size if partial.exists() else 0
            is_playable = has_whole_fragment(partial)
            line = fault_line(self.output.final, partial, size, is_playable, error)
            raise OutputError(line) from error
