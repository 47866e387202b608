"""Live sessions of the node with a lamp for the networks: as bright as its sound is loud."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager, contextmanager

import numpy as np
import torch

from tests.nodes import local_server

RATE_HZ = 24_000
_GROUP = 4


def words(seconds):
    """Return pieces of 20 ms of what a microphone hears: quiet, then syllables."""
    generator = np.random.default_rng(0)
    times = np.arange(round(seconds * 16_000)) / 16_000
    loud = np.where(times < 0.2, 0.001, 0.3 * np.abs(np.sin(9 * times)))
    samples = (loud * generator.standard_normal(len(times)) * 10_000).astype("<i2")
    return [part.tobytes() for part in np.split(samples, len(samples) // 320)]


def sound(seconds, level=0.5, rate_hz=RATE_HZ, channels=1):
    """Return sound at one level, s16le."""
    return np.full(round(seconds * rate_hz) * channels, level * 32767, "<i2").tobytes()


class Lamp:
    """Draws frames as bright as their sound, 100 for silence; ``factor`` is what a chunk takes."""

    def __init__(self, pack, plan, ear, events, factor):
        self.chunk, self.ear, self.events, self.factor = plan.chunk, ear, events, factor
        self.size_px, self.fingerprint = plan.request.size_px, "lamp"
        self.state_module = pack["flashtalk_core.engine.state"]
        self.fault = None
        self.load = lambda: None

    def generate(self, span, state):
        self.load()
        self.events.step(0)
        if self.fault is not None and np.abs(self._levels(span)).max() > 0:
            raise self.fault
        took_s = self.factor * len(span.shown) / self.chunk.frame_rate_hz
        bright = torch.from_numpy(100 + 100 * self._levels(span)).to(torch.uint8)
        after = self.state_module.SessionState(state.chunk_index + 1, torch.zeros(1), "lamp")
        time.sleep(took_s)
        for first in range(0, len(bright), _GROUP):
            frames = bright[first : first + _GROUP, None, None, None]
            is_last = first + _GROUP >= len(bright)
            yield self.state_module.FrameGroup(
                frames.expand(-1, *self.size_px, 3).contiguous(), after if is_last else None
            )

    def _levels(self, span):
        step = self.chunk.samples_per_frame
        samples = self.ear.read(span.window.start * step, span.window.stop * step)
        frames = samples.reshape(-1, step)[span.audio_in_window]
        return np.abs(frames[self.chunk.num_motion_frames :]).max(1)


class LampEngine:
    """Opens lamps."""

    def __init__(self, pack, factor):
        self.pack, self.factor, self.fault = pack, factor, None
        self.residency_events, self.is_unloaded = None, False

    @contextmanager
    def open(self, plan, audio, events):
        lamp = Lamp(self.pack, plan, audio, events, self.factor)
        lamp.fault, lamp.load = self.fault, self.load
        yield lamp

    def load(self):
        """Read weights, once they were unloaded: what provides networks tells of it."""
        if self.is_unloaded:
            self.residency_events.loading(self.pack["flashtalk_core.models.vae.model"].VideoVAE)
            time.sleep(0.5)
            self.is_unloaded = False


class RunningNode:
    """The node in a thread, as a prompt runs it, and a server with the pack's routes."""

    def __init__(self, pack, given, hidden):
        self.pack, self.output, self.error = pack, None, None
        self._thread = threading.Thread(target=self._run, args=(given, hidden))

    def _run(self, given, hidden):
        try:
            with torch.inference_mode():
                self.output = self.pack.run("Live", hidden, **given)
        except BaseException as error:
            self.error = error

    @property
    def messages(self):
        """What the page was told."""
        sent = self.pack["server"].PromptServer.instance.messages
        return [data for event, data, _ in sent if event == "flashtalk.live"]

    async def told(self, condition):
        """Return the first message for which ``condition`` holds."""
        for _ in range(1000):
            for message in list(self.messages):
                if condition(message):
                    return message
            assert self._thread.is_alive() or self.error is None, self.error
            await asyncio.sleep(0.01)
        raise AssertionError(self.messages)

    async def ended(self):
        await asyncio.to_thread(self._thread.join, 20)
        assert not self._thread.is_alive()

    @asynccontextmanager
    async def serving(self):
        """Run it beside a server; gives the session's address, a client, and its first message."""
        from aiohttp import web

        routes = self.pack["server"].PromptServer.instance.routes
        self.pack["nodes.extension"].register_session_routes()
        app = web.Application()
        for path, handler in routes.handlers.items():
            app.router.add_route(routes.methods[path], path, handler)
        async with local_server.running(app) as (base, client):
            self._thread.start()
            try:
                first = await self.told(lambda message: message["session"])
                yield f"{base}/flashtalk/live/{first['session']}", client, first
            except BaseException:
                self.pack["comfy.model_management"].interrupt_current_processing()
                raise
            finally:
                await self.ended()


async def next_of(socket, *kinds):
    """Return the next text message of one of these types."""
    import aiohttp

    while True:
        received = await socket.receive(10)
        if received.type is aiohttp.WSMsgType.TEXT and received.json()["type"] in kinds:
            return received.json()
        assert received.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), received
