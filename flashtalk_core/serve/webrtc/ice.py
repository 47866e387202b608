"""Servers that help two hosts find a way to each other; none is asked unless it is named."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...errors import InvalidInputError

_FORM = re.compile(
    r"(?P<scheme>stun|turns?):(?:(?P<user>[^:@\s]+):(?P<password>[^@\s]+)@)?"
    r"(?P<host>[^@:/?\[\]\s]+)(?::(?P<port>[0-9]{1,5}))?(?P<query>\?transport=(?:udp|tcp))?"
)
"""What aiortc reads: it knows no IPv6 addresses, and no transport of STUN."""
_MOST_PORT = 65_535


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

        A TURN server may have ``?transport=tcp`` behind it.

        Raises:
            InvalidInputError: If it has another form.
        """
        found = _FORM.fullmatch(text)
        if found is None or not _is_whole(found):
            scheme = text.partition(":")[0][:10]
            raise InvalidInputError(  # the rest may be a password
                f"ICE server '{scheme}:...': use stun:HOST:PORT, or turn:USER:PASSWORD@HOST:PORT, "
                f"with a name or an IPv4 address and a port of 1 to {_MOST_PORT}"
            )
        port = "" if found["port"] is None else f":{found['port']}"
        url = f"{found['scheme']}:{found['host']}{port}{found['query'] or ''}"
        return IceServer(url, found["user"], found["password"])


def _is_whole(found: re.Match[str]) -> bool:
    """Return whether a server has what its kind needs, and nothing else."""
    is_stun = found["scheme"] == "stun"
    is_port = found["port"] is None or 1 <= int(found["port"]) <= _MOST_PORT
    return is_port and is_stun == (found["user"] is None) and not (is_stun and found["query"])
