"""Thumbnails of the templates, for servers that serve workflows only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

PACK = Path(__file__).parents[2]
WORKFLOWS = PACK / "workflows"
ROUTE = f"/workflow_templates/{PACK.name}/{{name}}.jpg"
"""Where the page asks for them; older servers serve the whole folder there."""


def register_thumbnail_route() -> None:
    """Serve the thumbnails; without a server there is nothing to do."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.routes.get(ROUTE)(serve_thumbnail)


async def serve_thumbnail(request: web.Request) -> web.StreamResponse:
    """Send the thumbnail of one template."""
    from aiohttp import web

    path = WORKFLOWS / f"{request.match_info['name']}.jpg"
    if path not in WORKFLOWS.glob("*.jpg"):
        raise web.HTTPNotFound
    return web.FileResponse(path)
