"""What ComfyUI loads: the list of nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from comfy_api.latest import ComfyExtension, io

from .audio_encode import AudioEncode
from .batch import Batch
from .chunk_sampler import ChunkSampler
from .example import Example
from .frames_to_images import FramesToImages
from .host.folders import register_model_folder
from .host.thumbnails import register_thumbnail_route
from .live import Live
from .lora import Lora
from .model_loader import ModelLoader
from .native.from_native import ModelFromNative
from .parallel_decode import ParallelDecode
from .preview.session_messages import CLEAR, END, HEAR, ROUTE, SAY, STREAM
from .preview.streams import register_stream_routes
from .reference import Reference
from .speakers.two_speakers import TwoSpeakers
from .stages.frame_stage import FrameStage
from .stream_preview import StreamPreview

if TYPE_CHECKING:
    from aiohttp import web

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

NODES: tuple[type[io.ComfyNode], ...] = (
    Example,
    ModelLoader,
    AudioEncode,
    Reference,
    ChunkSampler,
    ParallelDecode,
    StreamPreview,
    FramesToImages,
    Batch,
    Lora,
    Live,
    ModelFromNative,
    FrameStage,
    TwoSpeakers,
)


class FlashTalkExtension(ComfyExtension):
    """The pack as ComfyUI sees it."""

    def __init__(self) -> None:
        """Register nothing; :meth:`on_load` does."""
        self._is_loaded = False

    async def on_load(self) -> None:
        """Register the pack's own model folder and its routes with ComfyUI."""
        if not self._is_loaded:
            register_model_folder()
            register_stream_routes()
            register_session_routes()
            register_thumbnail_route()
            self._is_loaded = True

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return every node, in the order of the graph."""
        await self.on_load()  # ComfyUI calls it from 0.14 on
        return list(NODES)


def register_session_routes() -> None:
    """Serve live sessions, by code that their first request imports."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is None:
        return
    for path in ("", STREAM):
        server.routes.get(ROUTE + path)(_answer_of(path))
    for path in (SAY, HEAR, CLEAR, END):
        server.routes.post(ROUTE + path)(_answer_of(path))


def _answer_of(path: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        from .preview.session_routes import handlers

        return await handlers()[path](request)

    return answer


async def comfy_entrypoint() -> FlashTalkExtension:
    """Return the extension; ComfyUI calls this once."""
    return FlashTalkExtension()
