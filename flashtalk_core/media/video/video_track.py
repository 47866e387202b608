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

if TYPE_CHECKING:
    from av import Packet
    from av.container import OutputContainer

Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]

# No B frames: every frame is decoded when it is shown, so the first one is at 0 s exactly.
_ENCODER_OPTIONS = {"bf": "0", "x264-params": "rc-lookahead=10:sync-lookahead=0:scenecut=0"}
# x264 takes a crf below 1 for lossless, which exists in the High 4:4:4 Predictive profile alone:
# phones, television sets and Safari do not play that. With the finest step in all blocks values are
# off by 2 of 255 at most.
_BEST_QUALITY = {"crf": "1", "qmin": "0", "qmax": "0"}
_BT709 = 1
_LIMITED_RANGE = 1


def check_crf(crf: int) -> None:
    """Raise :class:`InvalidInputError` unless ``crf`` is an H.264 quality."""
    require(
        0 <= crf <= 51, f"quality crf {crf}: use 0 (best) to 51, 18 is the default", subject="crf"
    )


class VideoTrack:
    """Encodes frames one at a time."""

    def __init__(
        self,
        container: OutputContainer,
        size_px: tuple[int, int],
        frame_rate_hz: int,
        *,
        crf: int,
        preset: Preset,
        key_frame_interval: int,
    ) -> None:
        """Add the track to a container.

        Args:
            container: That the packets are for.
            size_px: Height and width of the frames.
            frame_rate_hz: Frames a second.
            crf: H.264 quality, 0 (best) to 51.
            preset: x264's trade of speed for size.
            key_frame_interval: Frames from one that decoding can start with to the next.
        """
        from av.video.reformatter import VideoReformatter

        quality = {"crf": str(crf)} if crf else _BEST_QUALITY
        options = _ENCODER_OPTIONS | quality | {"preset": preset}
        self.stream = container.add_stream("libx264", rate=frame_rate_hz, options=options)
        """The track of the container."""
        self.stream.height, self.stream.width = size_px
        self.stream.pix_fmt = "yuv420p"
        codec = self.stream.codec_context
        self._time_base = codec.time_base = Fraction(1, frame_rate_hz)
        codec.gop_size = key_frame_interval
        # Threads share a frame: with a frame each, 16 of them would hold back a whole chunk.
        codec.thread_type = "SLICE"
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
        codec.color_range = _LIMITED_RANGE
        self._converter = VideoReformatter()  # one for all frames: it caches its tables

    def packets(self, image: NDArray[np.uint8], number: int) -> Iterator[Packet]:
        """Encode a frame.

        Args:
            image: ``(H, W, 3)`` uint8.
            number: Of the frame, from 0.
        """
        from av import VideoFrame

        frame = self._converter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"),
            format="yuv420p",
            dst_colorspace=_BT709,
            dst_color_range=_LIMITED_RANGE,
        )
        frame.pts, frame.time_base = number, self._time_base
        return _one_frame_long(self.stream.encode(frame))

    def remaining_packets(self) -> Iterator[Packet]:
        """Return what the encoder still holds. The track cannot go on afterwards."""
        return _one_frame_long(self.stream.encode(None))


def _one_frame_long(packets: Iterable[Packet]) -> Iterator[Packet]:
    for packet in packets:
        packet.duration = 1  # else the very last frame would have none
        yield packet
