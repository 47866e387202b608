"""One WebSocket to a server, up to its answer to ``start``."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import aiohttp

from .items import Ready, RefusedError

READY_TIMEOUT_S = 150.0
"""A server may take 120 s to prepare a new portrait."""
_CONNECT_TIMEOUT_S = 10.0
_HEARTBEAT_S = 10.0
_MAX_MESSAGE_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Connection:
    """A socket whose session is ready."""

    http: aiohttp.ClientSession
    socket: aiohttp.ClientWebSocketResponse
    ready: Ready

    async def close(self) -> None:
        """Close the socket."""
        await self.socket.close()
        await self.http.close()


async def connect(url: str, start: str, token: str) -> Connection:
    """Connect, and wait until the session is ready.

    Args:
        url: Of the server.
        start: The first message.
        token: Of the server; empty sends none.

    Raises:
        RefusedError: If the server does not take the session.
        ConnectionError: If there is no server, or it does not answer.
    """
    if not url.startswith(("http://", "https://")):
        raise ConnectionError(f"FlashTalk server {url!r}: no address; use http://HOST:PORT")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    http = aiohttp.ClientSession(headers=headers)
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            socket = await http.ws_connect(
                url.rstrip("/") + "/live", heartbeat=_HEARTBEAT_S, max_msg_size=_MAX_MESSAGE_BYTES
            )
        await socket.send_str(start)
        async with asyncio.timeout(READY_TIMEOUT_S):
            fields = _parse(await socket.receive())
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        await http.close()
        raise ConnectionError(f"FlashTalk server {url}: {error or 'no answer'}") from error
    except BaseException:
        await http.close()
        raise
    return Connection(http, socket, Ready.parse(fields))


def _parse(message: aiohttp.WSMessage) -> dict[str, Any]:
    if message.type is not aiohttp.WSMsgType.TEXT:
        raise ConnectionError("the connection was closed before the session was ready")
    fields: dict[str, Any] = json.loads(message.data)
    if fields["type"] != "ready":
        raise RefusedError(
            fields.get("code", "input"), fields.get("message", ""), fields.get("retry_after")
        )
    return fields
