"""The routes of live sessions; what answers is imported at the first request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .session_messages import CLEAR, END, HEAR, ROUTE, SAY, STREAM

if TYPE_CHECKING:
    from aiohttp import web

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def register_session_routes() -> None:
    """Serve the sessions; without a server there is nothing to do."""
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
        from .session_routes import handlers  # ComfyUI starts without the networks' modules

        return await handlers()[path](request)

    return answer
