"""Speaks with a Ray cluster: ``python -m flashtalk_core.runtime.cluster ADDRESS SETTINGS``."""

from __future__ import annotations

import logging
import os
import sys
import time
from contextlib import suppress
from threading import Thread

from ...errors import FlashTalkError
from ...json_text import parse_json
from ...settings import read_plain
from ..channel import Channel, ChannelClosed
from ..faults import fault_of
from ..messages import Ready
from .broker import BrokerSettings, serve

_PAUSE_S = 1.0


def main(address: str, text: str) -> int:
    """Find engines for the process that renders until it ends or wants an end."""
    settings: BrokerSettings = read_plain(BrokerSettings, parse_json(text), "cluster")
    Thread(target=_end_with, args=(settings.parent,), daemon=True).start()
    logging.basicConfig(level="INFO", format="%(asctime)s %(name)s: %(message)s")
    channel = Channel.inherited(settings.channel)
    os.set_inheritable(settings.channel, False)
    with suppress(ChannelClosed):
        try:
            from .ray_engines import connect

            engines = connect(address, settings.devices, settings.num_threads, settings.limits)
        except FlashTalkError as error:
            channel.send(fault_of(error, command=0, rank=0, phase=""))
            return 1
        channel.send(
            Ready(
                rank=0, pid=os.getpid(), device=address,
                free_bytes=None, total_bytes=None, versions=(),
            )
        )  # fmt: skip
        serve(channel, engines, address)
    return 0


def _end_with(parent: int) -> None:
    """End this process, and with it its engine, when the process that renders is gone."""
    while os.getppid() == parent:
        time.sleep(_PAUSE_S)
    os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
