"""The service behind Pipecat's own WebRTC transport, watched by an aiortc peer."""

import asyncio
import logging
import time
from contextlib import asynccontextmanager

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    InterruptionFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.observers.base_observer import BaseObserver
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat.workers.runner import WorkerRunner
from pipecat_flashtalk import FlashTalkVideoService

log = logging.getLogger(__name__)
RATE = 24_000
SIZE = 64


class Peer:
    """A viewer: when it saw a lit picture, and heard sound."""

    def __init__(self):
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.seen, self.heard, self.tasks = [], [], []
        self.pc.on("track", self._on_track)

    async def connect(self, connection):
        self.pc.addTrack(AudioStreamTrack())
        self.pc.addTransceiver("video", direction="sendrecv")
        self.pc.createDataChannel("chat")
        await self.pc.setLocalDescription(await self.pc.createOffer())
        offer = self.pc.localDescription
        await connection.initialize(sdp=offer.sdp, type=offer.type)
        answer = connection.get_answer()
        await self.pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))

    async def close(self):
        for task in self.tasks:
            task.cancel()
        await self.pc.close()

    def _on_track(self, track):
        watch = self._see if track.kind == "video" else self._hear
        self.tasks.append(asyncio.ensure_future(watch(track)))

    async def _see(self, track):
        try:
            while True:
                frame = await track.recv()
                self.seen.append((time.monotonic(), int(frame.to_ndarray(format="gray").mean())))
        except MediaStreamError:
            pass

    async def _hear(self, track):
        try:
            while True:
                frame = await track.recv()
                level = int(np.abs(frame.to_ndarray().astype(np.int32)).max())
                self.heard.append((time.monotonic(), level))
        except MediaStreamError:
            pass

    def lit(self, since_s=0.0):
        return [at_s for at_s, light in self.seen if light > 80 and at_s > since_s]

    def loud(self, since_s=0.0):
        return [at_s for at_s, level in self.heard if level > 3000 and at_s > since_s]


class Bot(BaseObserver):
    """Notes when the transport says that the bot speaks."""

    def __init__(self):
        super().__init__()
        self.said = []

    async def on_push_frame(self, data):
        kind = type(data.frame)
        if kind in (BotStartedSpeakingFrame, BotStoppedSpeakingFrame) and (
            not self.said or self.said[-1][1] is not kind
        ):
            self.said.append((time.monotonic(), kind))


@asynccontextmanager
async def call(server):
    connection, peer, bot = SmallWebRTCConnection(ice_servers=[]), Peer(), Bot()
    await peer.connect(connection)
    params = TransportParams(
        audio_out_enabled=True, video_out_enabled=True, video_out_width=SIZE,
        video_out_height=SIZE, video_out_framerate=25,
    )  # fmt: skip
    transport = SmallWebRTCTransport(connection, params)
    pipeline = Pipeline([transport.input(), FlashTalkVideoService(url=server), transport.output()])
    worker = PipelineWorker(
        pipeline, params=PipelineParams(audio_out_sample_rate=RATE), observers=[bot],
        cancel_on_idle_timeout=False, enable_rtvi=False,
    )  # fmt: skip
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(30):
            while len(peer.seen) < 10 or len(peer.heard) < 10:
                await asyncio.sleep(0.05)
        yield worker, peer, bot
    finally:
        await worker.queue_frame(EndFrame())
        await asyncio.wait({running}, timeout=20)
        await peer.close()


async def say(worker, sound, *, end=True):
    step = RATE // 50 * 2
    await worker.queue_frame(TTSStartedFrame())
    for start in range(0, len(sound), step):
        part = sound[start : start + step]
        await worker.queue_frame(TTSAudioRawFrame(audio=part, sample_rate=RATE, num_channels=1))
    if end:
        await worker.queue_frame(TTSStoppedFrame())


async def until(condition, timeout_s=15):
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_viewer_sees_and_hears_speech_together_and_an_interruption(server, tone):
    async with call(server) as (worker, peer, bot):
        assert not peer.lit()
        assert not peer.loud()
        await say(worker, tone(2.0))
        await until(lambda: len(bot.said) == 2)
        await asyncio.sleep(0.5)
        lit, loud = peer.lit(), peer.loud()
        log.info("picture - sound: first %.3f, last %.3f s", lit[0] - loud[0], lit[-1] - loud[-1])
        assert abs(lit[0] - loud[0]) < 0.2
        assert abs(lit[-1] - loud[-1]) < 0.25
        assert 1.7 < loud[-1] - loud[0] < 2.3
        assert len(lit) > 35
        assert bot.said[1][0] - loud[-1] < 1.0, "it is soon told that it has stopped"

        began_s = time.monotonic()
        await say(worker, tone(8.0), end=False)
        await until(lambda: len(peer.loud(began_s)) > 20)
        stopped_s = time.monotonic()
        await worker.queue_frame(InterruptionFrame())
        await asyncio.sleep(1.5)
        loud, lit = peer.loud(began_s), peer.lit(began_s)
        log.info(
            "interrupted: heard %.3f, seen %.3f s more", loud[-1] - stopped_s, lit[-1] - stopped_s
        )
        assert loud[-1] - stopped_s < 0.4
        assert lit[-1] - stopped_s < 0.8

        again_s = time.monotonic()
        await say(worker, tone(1.0))
        await until(lambda: bot.said[-1][1] is BotStoppedSpeakingFrame and peer.loud(again_s))
        loud = peer.loud(again_s)
        assert 0.7 < loud[-1] - loud[0] < 1.3
