"""What ComfyUI pushes to a page: a listening websocket (RFC 6455) of the standard library."""

import base64
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TEXT, BINARY, CLOSE = 1, 2, 8
PREVIEW_IMAGE = 1
JPEG = 1


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
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._stream = self._socket.makefile("rb")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._greet(host or f"127.0.0.1:{port}", client_id)
        self._socket.settimeout(None)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._stream.close()
        self._socket.close()

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

    def _greet(self, host: str, client_id: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            f"GET /ws?clientId={client_id} HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        )
        self._socket.sendall("\r\n".join((*lines, "", "")).encode())
        status = self._stream.readline()
        assert b" 101 " in status, status
        while self._stream.readline().strip():
            pass

    def _listen(self) -> None:
        while head := self._stream.read(2):
            opcode, length = head[0] & 0x0F, head[1] & 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", self._stream.read(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self._stream.read(8))
            payload = self._stream.read(length)
            if opcode == CLOSE:
                return
            if opcode in (TEXT, BINARY):
                self._add(_decode(opcode, payload))

    def _add(self, message: Message) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()


def _decode(opcode: int, payload: bytes) -> Message:
    now_s = time.monotonic()
    if opcode == TEXT:
        message = json.loads(payload)
        return Message(message["type"], message["data"], now_s)
    event, picture_format = struct.unpack(">II", payload[:8])
    if event == PREVIEW_IMAGE and picture_format == JPEG:
        return Message("preview", payload[8:], now_s)
    return Message("binary", payload, now_s)
