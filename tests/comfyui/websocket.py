"""What ComfyUI pushes to a page: its websocket, listened to in a thread."""

import asyncio
import json
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession, WSMessage, WSMsgType

PREVIEW_IMAGE = 1
JPEG = 1
CONNECT_S = 30


@dataclass(frozen=True)
class Message:
    """One message; previews are of kind ``preview`` and hold the bytes of a JPEG."""

    kind: str
    data: Any
    at_s: float


class Listener:
    """Collects all messages to one client while it is entered."""

    def __init__(self, port: int, client_id: str, host: str = ""):
        self.messages: list[Message] = []
        self._changed = threading.Condition()
        self._connected = threading.Event()
        work = self._listen(f"http://127.0.0.1:{port}/ws?clientId={client_id}", host)
        self._thread = threading.Thread(target=asyncio.run, args=(work,), daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._connected.wait(CONNECT_S), "no connection"
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._socket.close(), self._loop).result(CONNECT_S)
        self._thread.join()

    def of_kind(self, kind: str) -> list[Message]:
        with self._changed:
            return [message for message in self.messages if message.kind == kind]

    def wait_for(self, is_it: Callable[[Message], bool], limit_s: float = 60) -> Message:
        """Return the first message that ``is_it`` accepts, waiting for it if need be."""
        deadline = time.monotonic() + limit_s
        with self._changed:
            while True:
                for message in self.messages:
                    if is_it(message):
                        return message
                left_s = deadline - time.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    raise TimeoutError(f"no such message in {limit_s} s: {self.messages[-3:]}")

    async def _listen(self, url: str, host: str) -> None:
        self._loop = asyncio.get_running_loop()
        headers = {"Host": host} if host else {}
        async with ClientSession() as session:
            self._socket = await session.ws_connect(url, headers=headers, max_msg_size=0)
            self._connected.set()
            async for message in self._socket:
                self._add(_decode(message))

    def _add(self, message: Message) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()


def _decode(received: WSMessage) -> Message:
    now_s = time.monotonic()
    if received.type == WSMsgType.TEXT:
        message = json.loads(received.data)
        return Message(message["type"], message["data"], now_s)
    event, image_format = struct.unpack(">II", received.data[:8])
    if event == PREVIEW_IMAGE and image_format == JPEG:
        return Message("preview", received.data[8:], now_s)
    return Message("binary", received.data, now_s)
