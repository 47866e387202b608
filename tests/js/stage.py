"""A bare page with the preview on it, and the pack's own route behind it; no ComfyUI.

``python tests/js/stage.py`` prints where it listens. What is shown is drawn and heard here: a bar
that moves, and each second a white flash with a beep.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import threading
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web

ROOT = Path(__file__).parents[2]
PAGE = Path(__file__).with_name("stage.html")
RATE_HZ, FRAME_RATE_HZ, GROUP = 48_000, 25, 4
FLASH_FRAMES, BEEP_HZ = 2, 1000
# As ComfyUI sends it with --disable-api-nodes: no blob: URL may play.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; object-src 'none'"
)


def load_pack() -> Any:
    """Import the pack with a stand-in for ComfyUI; return the module of its route."""
    sys.path[:0] = [str(ROOT / "tests" / "nodes" / "host"), str(ROOT)]
    spec = spec_from_file_location(
        "flashtalk_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules["flashtalk_pack"] = pack = module_from_spec(spec)
    spec.loader.exec_module(pack)
    from importlib import import_module

    return import_module("flashtalk_pack.nodes.preview.streams")


def draw(first: int, count: int, size_px: tuple[int, int]) -> np.ndarray:
    """Return frames ``(count, H, W, 3)`` uint8 from number ``first`` on."""
    height, width = size_px
    frames = np.empty((count, height, width, 3), np.uint8)
    for index in range(count):
        number = first + index
        is_flash = number % FRAME_RATE_HZ < FLASH_FRAMES
        frames[index] = (255, 255, 255) if is_flash else (40, 90, 60)
        at = number * 2 % (width - 8)
        frames[index, :, at : at + 8] = (220, 160, 40)
    return frames


def beeps(seconds: float) -> np.ndarray:
    """Return the audio, ``(1, n)`` float32: a beep with each flash, faint noise between."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    audio = 0.6 * np.sin(2 * np.pi * BEEP_HZ * times) * (times % 1 < FLASH_FRAMES / FRAME_RATE_HZ)
    noise = np.random.default_rng(0).standard_normal(len(times)) * 0.003
    return (audio + noise).astype(np.float32)[None]


class Show:
    """One video that is written to a file and a stream."""

    def __init__(self, streams: Any, folder: Path, query: Any) -> None:
        self.seconds = float(query.get("seconds", 10))
        self.speed = float(query.get("speed", 1))
        self.stop_at = int(query.get("stop_at", 10**9))
        height, width = (int(side) for side in query.get("size", "96x160").split("x"))
        self.size_px = height, width
        self.sessions = streams.stream_sessions()
        self.last_messages = streams.last_messages()
        self.session, self.stream = self.sessions.open()
        self.path = folder / f"show_{self.session[:8]}.mp4"
        self.frames, self.state, self.start_s = 0, "live", time.monotonic()
        self.num_frames = round(self.seconds * FRAME_RATE_HZ)
        self.is_wanted = True
        self.first_bytes_s: float | None = None
        self.last_messages[self.session] = self.message()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        """Write the video at its speed, a chunk's groups as they come."""
        from flashtalk_core.media.audio.probe import probe_audio
        from flashtalk_core.media.audio.source import AudioArray
        from flashtalk_core.media.isobmff.live import LiveMp4
        from flashtalk_core.media.video.writer import Mp4Writer

        audio = probe_audio(AudioArray("beeps", beeps(self.seconds), RATE_HZ))
        try:
            options = {"preset": "ultrafast", "sinks": [LiveMp4(self)]}
            with Mp4Writer(self.path, self.size_px, audio, **options) as writer:
                self.start_s = time.monotonic()
                while self.frames < self.num_frames:
                    if self.frames >= self.stop_at or not self.is_wanted:
                        raise InterruptedError
                    count = min(GROUP, self.num_frames - self.frames)
                    due_s = (self.frames + count) / FRAME_RATE_HZ / self.speed
                    time.sleep(max(0.0, self.start_s + due_s - time.monotonic()))
                    writer.write(draw(self.frames, count, self.size_px))
                    self.frames += count
                    self.last_messages[self.session] = self.message()
            self.state = "finished"
        except InterruptedError:
            self.state = "interrupted"
        finally:
            self.sessions.close(self.session)
            self.last_messages[self.session] = self.message()

    def begin(self, head: bytes) -> None:
        self.first_bytes_s = time.time()
        self.stream.begin(head)

    def add(self, data: bytes, start_ms: int, *, is_key: bool) -> None:
        self.stream.add(data, start_ms, is_key=is_key)

    def close(self) -> None:
        self.stream.close()

    def end(self) -> None:
        """Interrupt it and wait for that."""
        self.is_wanted = False
        self.thread.join()

    def message(self) -> dict[str, Any]:
        """Return the message that ComfyUI's page would get now."""
        path = self.path if self.state == "finished" else self.path.with_suffix(".partial.mp4")
        file = {"filename": path.name, "subfolder": "", "type": "output"}
        elapsed_s = max(1e-3, time.monotonic() - self.start_s)
        return {
            "node": "7",
            "workflow": None,
            "session": self.session,
            "state": self.state,
            "chunk": self.frames // 28,
            "num_chunks": -(-self.num_frames // 28),
            "frames": self.frames,
            "num_frames": self.num_frames,
            "frame_rate_hz": FRAME_RATE_HZ,
            "frames_per_s": round(self.frames / elapsed_s, 2),
            "dropped": self.stream.num_dropped,
            "file": None if self.state == "live" else file,
            "reason": None,
            "text": None,
            "notes": [],
            "left_s": None,
            "partial": None,
        }


class Stage:
    """The server's handlers."""

    def __init__(self, streams: Any, folder: Path) -> None:
        self.streams, self.folder = streams, folder
        self.shows: dict[str, Show] = {}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self.page)
        app.router.add_get("/start", self.start)
        app.router.add_get("/message", self.message)
        app.router.add_get("/clear", self.clear)
        app.router.add_get("/die", self.die)
        app.router.add_get("/view", self.view)
        app.router.add_get(self.streams.ROUTE, self.streams.serve_stream)
        app.router.add_get(self.streams.MESSAGE_ROUTE, self.streams.serve_message)
        app.router.add_static("/js", ROOT / "js")
        return app

    async def page(self, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Security-Policy": POLICY} if "policy" in request.query else {}
        return web.FileResponse(PAGE, headers=headers)

    async def start(self, request: web.Request) -> web.Response:
        show = Show(self.streams, self.folder, request.query)
        self.shows[show.session] = show
        return web.json_response(show.message())

    async def message(self, request: web.Request) -> web.Response:
        show = self.shows[request.query["session"]]
        extra = {"viewers": show.stream.num_viewers, "first_bytes_s": show.first_bytes_s}
        return web.json_response(show.message() | extra)

    async def clear(self, _request: web.Request) -> web.Response:
        """End all shows, so that they take no time from the next."""
        shows = list(self.shows.values())
        self.shows.clear()
        await asyncio.gather(*(asyncio.to_thread(show.end) for show in shows))
        return web.Response()

    async def die(self, _request: web.Request) -> web.Response:
        os._exit(0)

    async def view(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(self.folder / Path(request.query["filename"]).name)


async def serve(folder: Path) -> None:
    import av  # noqa: F401, before the clock of a show starts

    runner = web.AppRunner(Stage(load_pack(), folder).app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(serve(Path(name)))
