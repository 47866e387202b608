"""A FlashTalk server for the tests of the integrations, with a lamp in the place of the networks.

All is the real server but what draws: frames are as bright as their sound is loud, and a chunk
takes a declared share of its length. Runs where flashtalk_core's requirements are installed::

    python integrations/lamp_server.py --factor 0.2

Prints its address once it listens, and stops when its standard input closes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from aiohttp import web  # noqa: E402

from flashtalk_core.config.chunk import ChunkConfig  # noqa: E402
from flashtalk_core.engine.events import RenderEvents  # noqa: E402
from flashtalk_core.engine.plan import RenderPlan  # noqa: E402
from flashtalk_core.engine.spec import ModelSpec, RenderSpec  # noqa: E402
from flashtalk_core.engine.state import ChunkSource, FrameGroup, SessionState  # noqa: E402
from flashtalk_core.geometry import ChunkSpan  # noqa: E402
from flashtalk_core.live.plan import plan_live  # noqa: E402
from flashtalk_core.media.audio.source import SampleReader  # noqa: E402
from flashtalk_core.serve.access import Access  # noqa: E402
from flashtalk_core.serve.app import LiveApp  # noqa: E402
from flashtalk_core.serve.avatars import Avatars  # noqa: E402
from flashtalk_core.serve.hub import LiveHub  # noqa: E402
from flashtalk_core.serve.limits import ServerLimits  # noqa: E402

PORTRAIT = ROOT / "flashtalk_core" / "assets" / "example" / "portrait.png"
DARK, BRIGHT = 40, 200
"""Brightness of silence, and of full scale."""
_GROUP_FRAMES = 4


@dataclass(frozen=True)
class Lamp:
    """Draws frames as bright as their sound, in a declared time."""

    chunk: ChunkConfig
    sound: SampleReader
    size_px: tuple[int, int]
    chunk_s: float
    fingerprint: str = "lamp"

    def generate(self, span: ChunkSpan, state: SessionState) -> Iterator[FrameGroup]:
        """Yield the chunk's new frames; see :class:`ChunkSource`."""
        step = self.chunk.sample_rate_hz // self.chunk.frame_rate_hz
        samples = self.sound.read(span.window.start * step, span.window.stop * step)
        heard = samples.reshape(-1, step)[span.audio_in_window][self.chunk.num_motion_frames :]
        bright = torch.from_numpy(DARK + (BRIGHT - DARK) * np.abs(heard).max(1)).to(torch.uint8)
        after = SessionState(state.chunk_index + 1, torch.zeros(1), self.fingerprint)
        for first in range(0, len(bright), _GROUP_FRAMES):
            group = bright[first : first + _GROUP_FRAMES]
            time.sleep(self.chunk_s * len(group) / len(bright))
            frames = group[:, None, None, None].expand(-1, *self.size_px, 3)
            is_last = first + _GROUP_FRAMES >= len(bright)
            yield FrameGroup(frames, after if is_last else None)


@dataclass(frozen=True)
class LampEngine:
    """An engine whose chunks take ``factor`` times their length."""

    factor: float

    @contextmanager
    def open(
        self, plan: RenderPlan, audio: SampleReader, events: RenderEvents
    ) -> Iterator[ChunkSource]:
        """Prepare a lamp; see :class:`flashtalk_core.engine.plan.Engine`."""
        del events
        chunk = plan.chunk
        chunk_s = self.factor * chunk.num_new_frames / chunk.frame_rate_hz
        yield Lamp(chunk, audio, plan.request.size_px, chunk_s)


async def serve(args: argparse.Namespace) -> None:
    """Serve until standard input closes."""
    spec = RenderSpec(
        portrait=str(PORTRAIT), model=ModelSpec(name="tiny"), size_px=(args.size, args.size)
    )
    limits = ServerLimits(
        sessions=args.sessions, idle_s=args.idle_limit, reconnect_s=args.reconnect
    )
    hub = LiveHub(Avatars(plan_live(spec), LampEngine(args.factor)), limits)
    hub.start()
    app = LiveApp(hub, Access(host="127.0.0.1", token=args.token)).make()
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", args.port)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def main() -> None:
    """Run the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factor", type=float, default=0.2, help="time of a chunk over its length")
    parser.add_argument("--size", type=int, default=64, help="height and width, pixels")
    parser.add_argument("--port", type=int, default=0, help="0 is any that is free")
    parser.add_argument("--token", default="", help="that clients must send")
    parser.add_argument("--sessions", type=int, default=8, help="most sessions")
    parser.add_argument("--idle-limit", type=float, default=300.0, help="longest silence, s")
    parser.add_argument("--reconnect", type=float, default=30.0, help="wait for a lost client, s")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
