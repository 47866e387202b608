"""Starts the ranks of a fleet and watches them: ``python -m flashtalk_core.runtime.launcher``.

It is a process of its own so that all ranks have one parent whose main thread started them, which
does nothing else: they end with it, and it sees how each of them ends, in order. Not torch's
elastic launcher: that reports times in whole seconds, sets up a rendezvous over the network and
restarts, none of which is wanted, and loads torch. Here the socket at which the ranks meet is
opened before they start and handed on, so that its port is free by construction.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path

from ..json_text import parse_json
from ..settings import read_plain
from .channel import Channel, ChannelClosed
from .messages import Exit, RankEnded, Started

_PAUSE_S = 0.1
_SETTLE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class LaunchSettings:
    """What the launcher is started with; files are numbers that it inherits."""

    parent: int
    """Process id of the process that renders."""
    control: int
    """Socket to it."""
    channels: tuple[int, ...]
    """Socket of each rank to it."""
    pages: int
    """File of the shared pages."""
    devices: tuple[str, ...]
    """Of each rank, as the ranks count them."""
    start_s: float
    """How long the ranks wait for each other at the start, seconds."""
    exchange_s: float
    """How long an exchange may wait for a rank, seconds: the first ones wait for weights."""
    log: str
    """File that is removed when the process that renders is gone."""


@dataclass(frozen=True, kw_only=True)
class RankSettings:
    """What a rank is started with; files are numbers that it inherits."""

    rank: int
    devices: tuple[str, ...]
    launcher: int
    """Process id of the launcher."""
    pipe: int
    """Ends with the launcher."""
    channel: int
    pages: int
    port: int
    """Where rank 0 listens for the others, on this host only."""
    listener: int | None
    """Socket that listens there; rank 0 has it."""
    start_s: float
    exchange_s: float


def main(text: str) -> int:
    """Run the ranks until they or the process that renders have ended."""
    assert os.getpgrp() == os.getpid(), "it ends its whole process group"
    settings: LaunchSettings = read_plain(LaunchSettings, parse_json(text), "launcher")
    control = Channel.inherited(settings.control)
    ranks: list[subprocess.Popen[bytes]] = []
    try:
        _start(settings, ranks)
        control.send(Started(pids=tuple(process.pid for process in ranks)))
        _supervise(settings, control, ranks)
    except ChannelClosed:
        pass  # the process that renders is gone, or wants an end at once
    finally:
        _kill(ranks)
        if os.getppid() != settings.parent:
            with suppress(OSError):
                Path(settings.log).unlink()
    # Processes that ranks started, for example to compile kernels, end with this group.
    os.killpg(0, signal.SIGKILL)
    return 0


def _start(settings: LaunchSettings, ranks: list[subprocess.Popen[bytes]]) -> None:
    """Start all ranks, and close what only they are to hold."""
    pipe, writing_end = os.pipe()
    with socket.create_server(("127.0.0.1", 0), backlog=len(settings.devices) + 8) as listener:
        for rank, channel in enumerate(settings.channels):
            mine = RankSettings(
                rank=rank,
                devices=settings.devices,
                launcher=os.getpid(),
                pipe=pipe,
                channel=channel,
                pages=settings.pages,
                port=listener.getsockname()[1],
                listener=None if rank else listener.fileno(),
                start_s=settings.start_s,
                exchange_s=settings.exchange_s,
            )
            ranks.append(_start_rank(mine))
    for file in (pipe, settings.pages, *settings.channels):
        os.close(file)
    os.set_inheritable(writing_end, False)


def _start_rank(settings: RankSettings) -> subprocess.Popen[bytes]:
    files = [settings.pipe, settings.channel, settings.pages]
    if settings.listener is not None:
        files.append(settings.listener)
    return subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.worker", dumps(asdict(settings))],
        stdin=subprocess.DEVNULL,
        pass_fds=files,
    )


def _supervise(
    settings: LaunchSettings, control: Channel, ranks: Sequence[subprocess.Popen[bytes]]
) -> None:
    """Report each rank that ends, until all have, or it is asked to end."""
    running = dict(enumerate(ranks))
    while running and os.getppid() == settings.parent:
        if select.select([control], [], [], _PAUSE_S)[0] and isinstance(control.receive()[0], Exit):
            return
        ended = {rank: code for rank, each in running.items() if (code := each.poll()) is not None}
        # A rank that was killed comes before those that failed because of it.
        for rank, code in sorted(ended.items(), key=lambda item: item[1] != -signal.SIGKILL):
            del running[rank]
            control.send(RankEnded(rank=rank, code=code))


def _kill(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in ranks:
        process.kill()  # no handler of theirs would run in a kernel that does not return
    for process in ranks:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_SETTLE_S)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
