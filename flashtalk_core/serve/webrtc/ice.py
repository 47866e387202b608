"""Servers that help two hosts find a way to each other; none is asked unless it is named."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...errors import InvalidInputError

_FORM = re.compile(
    r"(?P<scheme>stun|turns?):(?:(?P<user>[^:@\s]+):(?P<password>[^@\s]+)@)?"
    r"(?P<rest>[^@\s?]+(?:\?transport=(?:udp|tcp))?)"
)


@dataclass(frozen=True)
class IceServer:
    """A STUN or TURN server."""

    url: str
    """As WebRTC writes it, ``turn:example.org:3478?transport=tcp``."""
    username: str | None = None
    credential: str | None = None

    @staticmethod
    def parse(text: str) -> IceServer:
        """Return ``stun:HOST[:PORT]`` or ``turn:USER:PASSWORD@HOST[:PORT]`` as a server.

        Raises:
            InvalidInputError: If it has another form.
        """
        found = _FORM.fullmatch(text)
        if found is None or (found["scheme"] != "stun") != (found["user"] is not None):
            scheme = text.partition(":")[0][:10]
            raise InvalidInputError(  # the rest may be a password
                f"ICE server '{scheme}:...': use stun:HOST:PORT, or turn:USER:PASSWORD@HOST:PORT"
            )
        return IceServer(f"{found['scheme']}:{found['rest']}", found["user"], found["password"])
