"""A server whose networks are a lamp: as bright as it is loud, and as slow as is declared."""

import time
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import torch

from flashtalk_core.engine.spec import PlacementSpec, RenderSpec, SamplingSpec
from flashtalk_core.engine.state import FrameGroup, SessionState
from flashtalk_core.live.chunks import live_chunk
from flashtalk_core.live.decide import ChunkCost
from flashtalk_core.live.engine import LiveEngine
from flashtalk_core.live.idle import IdleLoop
from flashtalk_core.live.plan import plan_live
from flashtalk_core.serve.access import Access
from flashtalk_core.serve.app import LiveApp
from flashtalk_core.serve.avatars import Avatar, Avatars, Ear
from flashtalk_core.serve.hub import LiveHub
from flashtalk_core.serve.limits import ServerLimits
from flashtalk_core.serve.page_files import find_page

EXAMPLE = Path(__file__).parents[3] / "flashtalk_core" / "assets" / "example"
SIZE_PX = (32, 32)
RATE_HZ = 16_000
FRAME = RATE_HZ // 25
_GROUP = 4


def speech(num_frames, level=0.5):
    """Return frames of sound at one level, as a client sends them."""
    return np.full(num_frames * FRAME, level * 32767, "<i2").tobytes()


class Lamp:
    """Draws frames as bright as their sound, 100 for silence; ``factor`` is what a chunk takes."""

    def __init__(self, chunk, ear, factor):
        self.chunk, self.ear, self.factor, self.fingerprint = chunk, ear, factor, "lamp"

    def generate(self, span, state):
        took_s = self.factor * len(span.shown) / self.chunk.frame_rate_hz
        step = self.chunk.samples_per_frame
        samples = self.ear.read(span.window.start * step, span.window.stop * step)
        levels = samples.reshape(-1, step)[span.audio_in_window][self.chunk.num_motion_frames :]
        bright = torch.from_numpy(100 + 100 * np.abs(levels).max(1)).to(torch.uint8)
        after = SessionState(state.chunk_index + 1, torch.zeros(1), "lamp")
        time.sleep(took_s / 2)
        for first in range(0, len(bright), _GROUP):
            frames = bright[first : first + _GROUP, None, None, None].expand(-1, *SIZE_PX, 3)
            is_last = first + _GROUP >= len(bright)
            yield FrameGroup(frames.contiguous(), after if is_last else None)
            time.sleep(took_s / 2 * _GROUP / len(bright))


class LampAvatars(Avatars):
    """Portraits are checked as by the server; what is drawn of them is a lamp."""

    def __init__(self, factor=0.1, chunk_frames=None):
        spec = RenderSpec(
            portrait=str(EXAMPLE / "portrait.png"),
            size_px=SIZE_PX,
            sampling=SamplingSpec(steps=1),
            placement=PlacementSpec(device="cpu"),
        )
        super().__init__(plan_live(spec), None)
        self.factor, self.length = factor, chunk_frames
        self.made = {}

    def find(self, plan, policy):
        return self.made.get((plan.fingerprint(), policy))

    def prepare(self, plan, policy, between=lambda: None):
        between()
        length = self.length or plan.chunk.num_frames
        chunk = live_chunk(plan.chunk, length, policy.look_ahead)
        num_new = chunk.num_new_frames
        ear = Ear(Silence())
        engine = LiveEngine({num_new: Lamp(chunk, ear, self.factor)})
        dark = torch.arange(40, dtype=torch.uint8)[:, None, None, None]
        idle = IdleLoop.of(dark.expand(-1, *SIZE_PX, 3).contiguous())
        costs = {num_new: ChunkCost(num_new, self.factor * num_new / 2, self.factor * num_new)}
        avatar = Avatar(plan, engine, ear, policy, idle, costs)
        self.made[plan.fingerprint(), policy] = avatar
        return avatar


class Silence:
    def read(self, start_sample, stop_sample):
        return np.zeros(stop_sample - start_sample, np.float32)


def make_hub(
    factor=0.1,
    *,
    chunk_frames=None,
    record=None,
    allow_slow=False,
    detector=None,
    now_s=time.monotonic,
    **limits,
):
    """Return a hub that is ready."""
    avatars = LampAvatars(factor, chunk_frames)
    hub = LiveHub(
        avatars,
        ServerLimits(**limits),
        record=record,
        allow_slow=allow_slow,
        detector=detector,
        now_s=now_s,
    )
    hub.start()
    return hub


@asynccontextmanager
async def serving(hub, **access):
    """Serve a hub at a free port; gives its address and a client."""
    from tests.nodes.local_server import running

    app = LiveApp(hub, Access(host="127.0.0.1", **access), find_page()).make()
    async with running(app) as (address, client):
        yield address, client


async def next_of(socket, *kinds):
    """Return the next text message of one of these types."""
    import aiohttp

    while True:
        received = await socket.receive(10)
        if received.type is aiohttp.WSMsgType.TEXT and received.json()["type"] in kinds:
            return received.json()
        assert received.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), received
