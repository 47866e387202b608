"""Thumbnails of the templates, on servers of both kinds."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from tests.nodes import local_server

pytestmark = pytest.mark.cpu

aiohttp = pytest.importorskip("aiohttp", reason="the route needs ComfyUI's server")


@asynccontextmanager
async def serving(pack):
    """Serve as ComfyUI does since 0.38: of other packs' folders only the workflows."""
    from aiohttp import web

    async def workflows_only(request):
        is_workflow = request.match_info["filename"].endswith(".json")
        return web.Response(text="workflow") if is_workflow else web.HTTPNotFound()

    app = web.Application()
    handlers = pack["server"].PromptServer.instance.routes.handlers
    for path, handler in handlers.items():
        app.router.add_get(f"/api{path}", handler)
    app.router.add_get("/api/workflow_templates/{module}/{filename}", workflows_only)
    async with local_server.running(app) as (base, client):
        yield lambda name: client.get(f"{base}/api/workflow_templates/{name}")


def test_a_server_that_hands_out_workflows_only_shows_the_images(pack):
    module = pack["nodes.host.thumbnails"]
    assert pack.nodes  # what loads the pack registers the route
    folder = module.PACK.name
    names = sorted(path.stem for path in module.WORKFLOWS.glob("*.json"))
    assert names

    async def ask():
        async with serving(pack) as get:
            for name in names:
                async with get(f"{folder}/{name}.jpg") as answer:
                    assert answer.status == 200
                    assert answer.content_type == "image/jpeg"
                    assert await answer.read() == (module.WORKFLOWS / f"{name}.jpg").read_bytes()
                async with get(f"{folder}/{name}.json") as answer:
                    assert await answer.text() == "workflow"  # left to the server
            for other in ("missing.jpg", "..%2Fdocs%2Fmedia%2Ficon.jpg", "api%2F1.jpg"):
                async with get(f"{folder}/{other}") as answer:
                    assert answer.status == 404, other

    asyncio.run(asyncio.wait_for(ask(), 30))
