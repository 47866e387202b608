"""What the live stream costs a render: ``python tests/js/sampler_cost.py`` prints a table.

The tiny model renders the same seconds again and again, without a stream, and with one that has 0,
1 and 8 viewers over the pack's own route, of whom one never reads. The kinds take turns; each run
is compared with the one without a stream of its own round. Time is that of the rendering thread
(processor) and of the clock. Other work on the machine blurs both, so that the time spent in the
stream's own code, waiting included, is told as well: its share of the render.
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
from pathlib import Path
from typing import Any

import torch
from aiohttp import web
from stage import load_pack

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 6
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 4.5
KINDS: tuple[int | None, ...] = (None, 0, 1, 8)
VIEWER = """
import socket, sys, threading, time
port, path, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def view(index):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n".encode())
        if count > 1 and index == 0:
            time.sleep(3600)  # the one that never reads
        while connection.recv(65536):
            pass
for index in range(count):
    threading.Thread(target=view, args=(index,), daemon=True).start()
sys.stdin.read()
"""


def serve(streams: Any) -> int:
    """Serve the route in a thread of this process, as ComfyUI does; return its port."""
    ready, port = threading.Event(), []

    async def main() -> None:
        app = web.Application()
        app.router.add_get(streams.ROUTE, streams.serve_stream)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port.append(probe.getsockname()[1])
        await web.TCPSite(runner, "127.0.0.1", port[0]).start()
        ready.set()
        await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
    ready.wait()
    return port[0]


def make_plan(folder: Path) -> tuple[Any, Any]:
    """Return a plan for the tiny model, and its networks, loaded."""
    from flashtalk_core.bench.sounds import write_babble
    from flashtalk_core.engine.plan import RenderPlan
    from flashtalk_core.engine.request import AvatarRequest
    from flashtalk_core.engine.residency import Placement, StayLoaded
    from flashtalk_core.media.picture import open_picture
    from flashtalk_core.media.sound import probe_sound
    from flashtalk_core.models.attention import choose_attention
    from flashtalk_core.weights.load import open_avatar

    device = torch.device("cpu")
    checkpoint = open_avatar("tiny", choose_attention("auto", device))
    config = checkpoint.config
    write_babble(folder / "babble.flac", SECONDS)
    example = Path(__file__).parents[2] / "flashtalk_core/assets/example/portrait.png"
    plan = RenderPlan(
        checkpoint=checkpoint,
        request=AvatarRequest(
            picture=open_picture(example),
            prompt=config.prompt,
            size_px=config.size_px,
            sampling=config.sampling,
        ),
        sound=probe_sound(folder / "babble.flac"),
        placement=Placement(device, torch.float32),
    )
    return plan, StayLoaded(checkpoint, plan.placement)


def render_once(plan: Any, networks: Any, path: Path, stream: Any) -> tuple[float, float, float]:
    """Render, and return seconds of the thread's processor, of the clock, and in the stream."""
    from flashtalk_core.engine.render import open_writer, render_video

    writer, inside = open_writer(plan, path, crf=18), [0.0]
    if stream is not None:
        writer.send_live(stream)
        writer._live.add = timed(writer._live.add, inside)
    spans: list[tuple[float, float]] = []

    def note() -> None:
        spans.append((time.thread_time(), time.perf_counter()))

    render_video(plan, writer, networks, on_ready=note)
    note()
    return spans[1][0] - spans[0][0], spans[1][1] - spans[0][1], inside[0]


def timed(call: Any, total: list[float]) -> Any:
    """Return ``call`` with its seconds added to ``total``."""

    def run(*args: Any) -> None:
        start_s = time.perf_counter()
        call(*args)
        total[0] += time.perf_counter() - start_s

    return run


def measure(kind: int | None, plan: Any, networks: Any, folder: Path, port: int, sessions: Any):
    """Render with so many viewers; ``None`` is without a stream."""
    if kind is None:
        return render_once(plan, networks, folder / "out.mp4", None)
    session, stream = sessions.open()
    viewers = subprocess.Popen(
        [sys.executable, "-c", VIEWER, str(port), f"/flashtalk/stream/{session}", str(kind)],
        stdin=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 10
        while stream.num_viewers < kind and time.monotonic() < deadline:
            time.sleep(0.02)
        assert stream.num_viewers == kind
        return render_once(plan, networks, folder / "out.mp4", stream)
    finally:
        sessions.close(session)
        viewers.kill()
        viewers.wait()


def main() -> None:
    torch.set_num_threads(1)
    streams = load_pack()
    port, sessions = serve(streams), streams.stream_sessions()
    found: dict[int | None, list[tuple[float, float, float]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan, networks = make_plan(folder)
        render_once(plan, networks, folder / "out.mp4", None)  # warm
        for index in range(ROUNDS):
            for kind in KINDS[index % 4 :] + KINDS[: index % 4]:
                found[kind].append(measure(kind, plan, networks, folder, port, sessions))
    base = found[None]
    write = sys.stdout.write
    write(f"without a stream: {statistics.median(b[0] for b in base):.2f} s of processor time\n")
    titles = ("processor %, median (least to most)", "clock %, median (least to most)")
    write(f"viewers  {titles[0]:>40}   {titles[1]:>32}   inside %, most\n")
    for kind in KINDS[1:]:
        cells = []
        for which in (0, 1):
            costs = [
                100 * (run[which] / without[which] - 1)
                for run, without in zip(found[kind], base, strict=True)
            ]
            cells.append(
                f"{statistics.median(costs):+6.2f} ({min(costs):+.2f} to {max(costs):+.2f})"
            )
        inside = max(100 * run[2] / run[1] for run in found[kind])
        write(f"{kind:7d}  {cells[0]:>40}   {cells[1]:>32}   {inside:14.3f}\n")


if __name__ == "__main__":
    main()
