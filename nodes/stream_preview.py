"""The end of the chain: it runs everything before it and writes the video."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from comfy_api.latest import InputImpl, io, ui

from ..flashtalk_core.errors import require
from .graph.errors import attribute_errors
from .search_words import TALKING_VIDEO
from .sockets import CATEGORY, ChunksSocket

if TYPE_CHECKING:
    from .graph.descriptions import RenderDescription

CONTAINERS = ("mp4", "mov", "mkv")


class StreamPreview(io.ComfyNode):
    """Render chunk by chunk into a file that plays at any moment."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FlashTalk_StreamPreview",
            display_name="FlashTalk Stream Preview",
            category=CATEGORY,
            description=(
                "Renders the video and plays it while rendering. What was rendered is on disk at "
                "any moment, as a .partial.mp4 that plays; the finished file takes its place. "
                "Memory does not grow with the length."
            ),
            search_aliases=[*TALKING_VIDEO, "save avatar", "talking video", "save video"],
            inputs=[
                ChunksSocket.Input("frames"),
                io.String.Input(
                    "filename_prefix",
                    default="FlashTalk/avatar",
                    tooltip="Name of the file in the output folder; may hold folders and fields "
                    "such as %year%-%month%-%day%.",
                ),
                io.Int.Input(
                    "quality",
                    default=18,
                    min=0,
                    max=51,
                    tooltip="H.264 CRF: 18 looks like the source, 23 is half the size, 0 is the "
                    "best that every player shows (not quite lossless), in files some ten times as "
                    "large.",
                ),
                io.Combo.Input(
                    "container",
                    options=list(CONTAINERS),
                    default="mp4",
                    tooltip="Kind of file; the streams in it are the same. ComfyUI's page reads "
                    "the workflow back from mp4 and mov, not from mkv.",
                ),
                io.Float.Input(
                    "keep_gb",
                    default=10.0,
                    min=0.0,
                    max=1000.0,
                    step=1.0,
                    advanced=True,
                    tooltip="Finished renders are kept in output/.flashtalk up to this size, so "
                    "that a run with the same settings copies instead of rendering. The one "
                    "unused for longest goes first. 0 neither looks there nor keeps this one.",
                ),
            ],
            outputs=[
                io.Video.Output(display_name="video"),
                io.String.Output(display_name="path"),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo, io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **_inputs: Any) -> int:
        """Change when a file that this node wrote is gone, so that it is made again."""
        from .host.written_files import written_files

        node = cls.hidden.unique_id
        return 0 if node is None else written_files().generation(node)

    @classmethod
    def execute(
        cls,
        frames: RenderDescription,
        filename_prefix: str,
        quality: int,
        container: str,
        keep_gb: float,
    ) -> io.NodeOutput:
        from .graph.render_job import RenderJob
        from .host.output import workflow_metadata
        from .preview.live_preview import workflow_id

        with attribute_errors(cls, "keep_gb"):
            check_kept(keep_gb)
        extra = cls.hidden.extra_pnginfo
        metadata = workflow_metadata(cls.hidden.prompt, extra)
        workflow = workflow_id(extra)
        job = RenderJob(cls, frames, cls.hidden.unique_id, quality, keep_gb, metadata, workflow)
        output = job.run(filename_prefix, container)
        saved = ui.SavedResult(output.path.name, output.subfolder, io.FolderType.output)
        video = InputImpl.VideoFromFile(str(output.path))
        return io.NodeOutput(video, str(output.path), ui=ui.PreviewVideo([saved]))


def check_kept(keep_gb: float) -> None:
    """Raise :class:`InvalidInputError` unless finished renders may take ``keep_gb`` gigabytes."""
    require(
        math.isfinite(keep_gb) and keep_gb >= 0,
        f"kept renders of {keep_gb} GB: use 0 to keep none, or more",
    )
