"""One rank of a fleet: ``python -m flashtalk_core.runtime.worker``."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
from typing import NoReturn

from ...json_text import parse_json
from ...settings import read_plain
from ..channel import Channel, ChannelClosed
from ..launcher import RankSettings
from ..shared.pages import Pages
from .lifeline import tie_to


def main(text: str) -> NoReturn:
    """Carry out commands until the process that renders ends or wants an end."""
    settings: RankSettings = read_plain(RankSettings, parse_json(text), "worker")
    pages = Pages(settings.pages)
    tie_to(settings.launcher, settings.pipe, settings.channel, pages.row(settings.rank))
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    name = f"rank {settings.rank}"
    logging.basicConfig(level="INFO", format=f"%(asctime)s {name} %(name)s: %(message)s")
    channel = Channel.inherited(settings.channel)
    os.set_inheritable(settings.channel, False)
    from .rank import serve

    try:
        serve(settings, channel, pages)
    except ChannelClosed:
        os._exit(1)
    os._exit(0)  # there is nothing to tidy up, and what libraries do at an end may take long


if __name__ == "__main__":
    main(sys.argv[1])
