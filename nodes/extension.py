"""What ComfyUI loads: the list of nodes."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .audio_encode import AudioEncode
from .chunk_sampler import ChunkSampler
from .frames_to_images import FramesToImages
from .host.folders import register_model_folder
from .host.streams import register_stream_routes
from .model_loader import ModelLoader
from .parallel_decode import ParallelDecode
from .reference import Reference
from .stream_preview import StreamPreview

NODES: tuple[type[io.ComfyNode], ...] = (
    ModelLoader,
    AudioEncode,
    Reference,
    ChunkSampler,
    ParallelDecode,
    StreamPreview,
    FramesToImages,
)


class FlashTalkExtension(ComfyExtension):
    """The pack as ComfyUI sees it."""

    async def on_load(self) -> None:
        """Tell ComfyUI of the pack's own model folder and of the route for live streams."""
        register_model_folder()
        register_stream_routes()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return every node, in the order of the graph."""
        return list(NODES)


async def comfy_entrypoint() -> FlashTalkExtension:
    """Return the extension; ComfyUI calls this once."""
    return FlashTalkExtension()
