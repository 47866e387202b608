"""The head of a cluster, asked without Ray whether it is there."""

from __future__ import annotations

import socket

_CONNECT_S = 5.0


def reach_head(address: str) -> None:
    """Connect to the head of a cluster, and leave it; nothing is done for ``auto``.

    Raises:
        OSError: If it does not answer.
        ValueError: If ``address`` is none.
    """
    if address != "auto":
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), _CONNECT_S).close()
