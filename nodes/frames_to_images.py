"""A part of a finished video as images, for compositing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from .graph.errors import attribute_errors
from .sockets import CATEGORY

if TYPE_CHECKING:
    from comfy_api.latest import Input


class FramesToImages(io.ComfyNode):
    """Read some frames and their audio back from the file; nothing is rendered again."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FlashTalk_FramesToImages",
            display_name="FlashTalk Frames to Images",
            category=CATEGORY,
            description=(
                "Read a part of a video as a player shows it, as IMAGE and AUDIO. A variable "
                "frame rate becomes a constant one, the nominal rate of the video, or its average "
                "above 60. Images are large: an hour at 448x768 would take 370 GB of memory, so a "
                "part is chosen and limited."
            ),
            search_aliases=["video to images", "extract frames", "get video frames", "compositing"],
            inputs=[
                io.Video.Input(
                    "video",
                    tooltip="A video. With a file, as Stream Preview returns it, only the part "
                    "that is asked for is read.",
                ),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=360000.0,
                    step=0.04,
                    tooltip="Where the part begins, seconds. Between two frames the earlier one is "
                    "shown.",
                ),
                io.Int.Input(
                    "num_frames",
                    default=0,
                    min=0,
                    max=9000000,
                    tooltip="Frames to read, fps of them a second: 25 in videos of this pack. 0 "
                    "is up to the end of the video, if that stays below limit_gb.",
                ),
                io.Float.Input(
                    "limit_gb",
                    default=8.0,
                    min=0.1,
                    max=1000.0,
                    step=0.1,
                    advanced=True,
                    tooltip="Most memory the images and their audio may take. One frame of "
                    "448x768 takes 4.1 MB.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images"),
                io.Audio.Output(display_name="audio"),
                io.Float.Output(display_name="fps"),
            ],
        )

    @classmethod
    def execute(
        cls, video: Input.Video, start: float, num_frames: int, limit_gb: float
    ) -> io.NodeOutput:
        from .graph.video_part import read_part

        with attribute_errors(cls, "video"):
            part = read_part(video, start, num_frames, limit_gb)
        return io.NodeOutput(part.images, part.audio, part.fps)
