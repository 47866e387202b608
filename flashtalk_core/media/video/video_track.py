"""The H.264 track of a video.

Axis legend: H W pixels; frames are channel last, as encoders take them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import require
from ..isobmff.samples import nal_units

if TYPE_CHECKING:
    from av import Packet
    from av.container import OutputContainer
    from av.video.codeccontext import VideoCodecContext

Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]

# No B frames: every frame is decoded when it is shown, so the first one is at 0 s exactly.
_ENCODER_OPTIONS = {"bf": "0", "x264-params": "rc-lookahead=10:sync-lookahead=0:scenecut=0"}
# Every frame leaves as soon as it is there.
_LIVE_OPTIONS = {"bf": "0", "tune": "zerolatency", "x264-params": "scenecut=0"}
# x264 takes a crf below 1 for lossless, which exists in the High 4:4:4 Predictive profile alone:
# phones, television sets and Safari do not play that. With the finest step in all blocks values are
# off by 2 of 255 at most.
_BEST_QUALITY = {"crf": "1", "qmin": "0", "qmax": "0"}
MAX_SIDE_PX = 8192
"""Largest side of an encoded frame; level 6.2 of H.264 goes up to 8192x4320."""
MAX_FRAME_PX = 8192 * 4320
WIDELY_PLAYED_PX = 4096 * 2304
"""Frame up to which video chips decode H.264 (level 5.2)."""
_MIN_SIDE_PX = 32
_BT709 = 1
_LIMITED_RANGE = 1


def check_crf(crf: int) -> None:
    """Raise :class:`InvalidInputError` unless ``crf`` is an H.264 quality."""
    require(
        0 <= crf <= 51, f"quality crf {crf}: use 0 (best) to 51, 18 is the default", subject="crf"
    )


def check_frame_size(size_px: tuple[int, int]) -> None:
    """Raise :class:`InvalidInputError` unless H.264 has frames of this height and width."""
    height, width = size_px
    require(
        height % 2 == width % 2 == 0
        and min(size_px) >= _MIN_SIDE_PX
        and max(size_px) <= MAX_SIDE_PX
        and height * width <= MAX_FRAME_PX,
        f"frames of {height}x{width}: H.264 has even sides from {_MIN_SIDE_PX} to {MAX_SIDE_PX}, "
        "and at most 8192x4320 pixels; use a smaller size, or a smaller scale",
        subject="upscale_by",
    )


class VideoTrack:
    """Encodes frames one at a time, with a new encoder for each chunk.

    So the packets of a chunk depend on its frames alone, whether a render was interrupted before
    it or not, and the last frame of a chunk need not wait for those of the next one.
    """

    def __init__(
        self,
        container: OutputContainer,
        size_px: tuple[int, int],
        frame_rate_hz: int,
        *,
        crf: int,
        preset: Preset,
        chunk_frames: int,
        is_live: bool = False,
    ) -> None:
        """Add the track to a container.

        Args:
            container: That the packets are for.
            size_px: Height and width of the frames.
            frame_rate_hz: Frames a second.
            crf: H.264 quality, 0 (best) to 51.
            preset: x264's trade of speed for size.
            chunk_frames: Frames of a chunk; decoding can start with the first of each.
            is_live: Whether frames are encoded without those after them.
        """
        from av.video.reformatter import VideoReformatter

        quality = {"crf": str(crf)} if crf else _BEST_QUALITY
        how = _LIVE_OPTIONS if is_live else _ENCODER_OPTIONS
        self._options = how | quality | {"preset": preset}
        self._size_px = size_px
        self._time_base = Fraction(1, frame_rate_hz)
        self._chunk_frames = chunk_frames
        self.stream = container.add_stream("libx264", rate=frame_rate_hz, options=self._options)
        """The track of the container."""
        self._set_up(self.stream.codec_context)
        self._codec: VideoCodecContext | None = self.stream.codec_context
        self._converter = VideoReformatter()  # one for all frames: it caches its tables

    def parameter_sets(self) -> list[bytes]:
        """Return the NAL units that describe the track, and that its head has to hold."""
        codec = self.stream.codec_context
        codec.open(strict=False)
        assert codec.extradata is not None
        return nal_units(codec.extradata)

    def packets(self, image: NDArray[np.uint8], number: int) -> Iterator[Packet]:
        """Encode a frame.

        Args:
            image: ``(H, W, 3)`` uint8.
            number: Of the frame, from 0; its chunk begins with the first that is passed.
        """
        from av import VideoFrame

        frame = self._converter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"),
            format="yuv420p",
            dst_colorspace=_BT709,
            dst_color_range=_LIMITED_RANGE,
        )
        frame.pts, frame.time_base = number, self._time_base
        if self._codec is None:
            self._codec = self._new_codec()
        yield from self._of_track(self._codec.encode(frame))
        if (number + 1) % self._chunk_frames == 0:
            yield from self.remaining_packets()

    def remaining_packets(self) -> Iterator[Packet]:
        """Return what the encoder of this chunk still holds."""
        codec, self._codec = self._codec, None
        if codec is not None:
            yield from self._of_track(codec.encode(None))

    def _new_codec(self) -> VideoCodecContext:
        from av import CodecContext
        from av.codec.context import Flags

        codec: VideoCodecContext = CodecContext.create("libx264", "w")
        codec.options = dict(self._options)
        codec.framerate = 1 / self._time_base
        self._set_up(codec)
        codec.flags |= Flags.global_header
        return codec

    def _set_up(self, codec: VideoCodecContext) -> None:
        codec.height, codec.width = self._size_px
        codec.pix_fmt = "yuv420p"
        codec.time_base = self._time_base
        codec.gop_size = self._chunk_frames
        # Threads share a frame: with a frame each, 16 of them would hold back a whole chunk.
        codec.thread_type = "SLICE"
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
        codec.color_range = _LIMITED_RANGE

    def _of_track(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        for packet in packets:
            packet.stream = self.stream
            packet.duration = 1  # else the very last frame would have none
            yield packet
