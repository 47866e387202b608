"""What the live stream costs a render: ``python -m tools.sampler_cost`` prints a table.

The tiny model renders one chunk again and again, without a stream, and with one that has 0, 1 and 8
viewers over the pack's own route, of whom one never reads. The kinds take turns; each run is
compared with the one without a stream of its own round. Time is that of the rendering thread
(processor) and of the clock. A machine's own noise is larger than what is measured, so the table
gives the confidence interval of the median (95 %) and half of the rounds (quartiles). What the
noise hides is measured by accounting: the time the rendering thread spends in the stream's own
code, waiting included, and the server thread's processor time, all of which might hold the
interpreter.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from aiohttp import web

from tests.js.stage import load_pack

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 40
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 1.12
KINDS: tuple[int | None, ...] = (None, 0, 1, 8)
VIEWER = """
import socket, sys, threading, time
port, path, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def view(index):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # soon full, if not read
        connection.connect(("127.0.0.1", port))
        connection.sendall(f"GET {path} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n".encode())
        if count > 1 and index == 0:
            time.sleep(3600)  # the one that never reads
        while connection.recv(65536):
            pass
for index in range(count):
    threading.Thread(target=view, args=(index,), daemon=True).start()
sys.stdin.read()
"""


class Server:
    """The route, served in a thread of this process, as ComfyUI does."""

    def __init__(self, streams: Any) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.port = self.call(self._start(streams))

    def call(self, work: Any) -> Any:
        """Run a coroutine in the thread and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def used_s(self) -> float:
        """Return the thread's processor time so far."""

        async def read() -> float:
            return time.thread_time()

        return self.call(read())

    async def _start(self, streams: Any) -> int:
        app = web.Application()
        app.router.add_get(streams.ROUTE, streams.serve_stream)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return port


def make_plan(folder: Path) -> tuple[Any, Any]:
    """Return a plan for the tiny model, and its networks, loaded."""
    from flashtalk_core.bench.signals import write_babble
    from flashtalk_core.engine.resolve import LocalHost, resolve
    from flashtalk_core.engine.spec import PlacementSpec, RenderSpec, Speaker
    from flashtalk_core.placement.residency import CachedNetworks

    write_babble(folder / "babble.flac", SECONDS)
    example = Path(__file__).parents[1] / "flashtalk_core/assets/example/portrait.png"
    spec = RenderSpec(
        portrait=str(example),
        speakers=(Speaker(audio=str(folder / "babble.flac")),),
        placement=PlacementSpec(device="cpu"),
    )
    plan = resolve(spec, LocalHost())
    return plan, CachedNetworks(plan.checkpoint, plan.placement)


@dataclass(frozen=True)
class Cost:
    """Seconds of one render."""

    processor: float
    """Of the rendering thread."""
    clock: float
    inside: float
    """In the stream's own code, waiting included."""
    server: float
    """Processor of the server's thread."""


def render_once(plan: Any, networks: Any, path: Path, stream: Any, server: Server) -> Cost:
    """Render, and return what it took."""
    from flashtalk_core.engine.build import LocalEngine
    from flashtalk_core.engine.events import EventHandlers
    from flashtalk_core.engine.render import render_video
    from flashtalk_core.jobs.job import open_writer
    from flashtalk_core.media.isobmff.live import LiveMp4

    inside: list[float] = [0.0]
    sinks: list[Any] = []
    if stream is not None:
        live: Any = LiveMp4(stream)
        live.add = timed(live.add, inside)
        sinks.append(live)
    writer = open_writer(plan, path, crf=18, sinks=sinks)
    spans: list[tuple[float, ...]] = []

    def note() -> None:
        spans.append((time.thread_time(), time.perf_counter(), inside[0], server.used_s()))

    render_video(plan, writer, LocalEngine(networks), events=EventHandlers(ready=note))
    note()
    return Cost(*(after - before for before, after in zip(*spans, strict=True)))


def timed(call: Any, total: list[float]) -> Any:
    """Return ``call`` with its seconds added to ``total``."""

    def run(*args: Any) -> None:
        start_s = time.perf_counter()
        call(*args)
        total[0] += time.perf_counter() - start_s

    return run


def measure(
    kind: int | None, plan: Any, networks: Any, path: Path, server: Server, sessions: Any
) -> Cost:
    """Render with so many viewers; ``None`` is without a stream."""
    if kind is None:
        return render_once(plan, networks, path, None, server)
    session, stream = sessions.open()
    viewers = subprocess.Popen(
        [sys.executable, "-c", VIEWER, str(server.port), f"/flashtalk/stream/{session}", str(kind)],
        stdin=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 10
        while stream.num_viewers < kind and time.monotonic() < deadline:
            time.sleep(0.02)
        assert stream.num_viewers == kind
        return render_once(plan, networks, path, stream, server)
    finally:
        sessions.close(session)
        viewers.kill()
        viewers.wait()


def main() -> None:
    """Measure in rounds and print the table."""
    torch.set_num_threads(1)
    streams = load_pack()
    server, sessions = Server(streams), streams.stream_sessions()
    found: dict[int | None, list[Cost]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as name:
        plan, networks = make_plan(Path(name))
        path = Path(name) / "out.mp4"
        render_once(plan, networks, path, None, server)  # warm
        for index in range(ROUNDS):
            for kind in KINDS[index % 4 :] + KINDS[: index % 4]:
                found[kind].append(measure(kind, plan, networks, path, server, sessions))
    report(found)


def report(found: dict[int | None, list[Cost]]) -> None:
    """Print the table."""
    base = found[None]
    write = sys.stdout.write
    own_s = statistics.median(run.clock for run in base)
    write(f"{len(base)} rounds; without a stream a render takes {own_s:.2f} s\n")
    title = "%, median (95 % of it) [quartiles]"
    write(f"viewers   {'processor ' + title:>44}   {'clock ' + title:>44}")
    write("   own code %, median, most   server %, median, most\n")
    for kind, runs in found.items():
        if kind is None:
            continue
        pairs = list(zip(runs, base, strict=True))
        write(f"{kind:7d}")
        for name in ("processor", "clock"):
            costs = [100 * (getattr(run, name) / getattr(own, name) - 1) for run, own in pairs]
            write(f"   {describe(costs):>44}")
        for name in ("inside", "server"):
            shares = [100 * getattr(run, name) / run.clock for run in runs]
            write(f"   {statistics.median(shares):11.3f} {max(shares):11.3f}")
        write("\n")


def describe(costs: list[float]) -> str:
    """Return the median, the interval that holds it 19 times in 20, and the quartiles."""
    costs = sorted(costs)
    # Of n values, so many lie below their median: n / 2, give or take 0.98 sqrt(n).
    reach = 0.98 * len(costs) ** 0.5
    low = costs[max(0, round(len(costs) / 2 - reach))]
    high = costs[min(len(costs) - 1, round(len(costs) / 2 + reach))]
    first, median, third = statistics.quantiles(costs, n=4)
    return f"{median:+.2f} ({low:+.2f} to {high:+.2f}) [{first:+.1f}, {third:+.1f}]"


if __name__ == "__main__":
    main()
