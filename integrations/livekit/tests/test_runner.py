"""A real AvatarRunner, with its queue, synchronizer and native sources, and a real server."""

import asyncio

import numpy as np
import pytest
from flashtalk_client import LiveAvatar, Played, Start
from livekit import rtc
from livekit.agents.voice.avatar import (
    AudioSegmentEnd,
    AvatarOptions,
    AvatarRunner,
    QueueAudioOutput,
)
from livekit.plugins.flashtalk import FlashTalkGenerator
from room import Room

RATE = 24_000


class Watched(FlashTalkGenerator):
    """Keeps what it yields, and when."""

    def __init__(self, avatar, rate):
        super().__init__(avatar, rate)
        self.yielded = []
        self.played = []

    async def __aiter__(self):
        async for output in super().__aiter__():
            self.yielded.append((asyncio.get_running_loop().time(), output))
            yield output

    def _take(self, item):
        if isinstance(item, Played):
            self.played.append(item)
        return super()._take(item)


class Stage:
    """A runner on a server."""

    def __init__(self, avatar):
        self.avatar = avatar
        self.generator = Watched(avatar, RATE)
        self.sound = QueueAudioOutput(sample_rate=RATE, wait_playback_start=True)
        self.events = []
        self.sound.on("playback_started", lambda event: self.events.append("started"))
        self.sound.on(
            "playback_finished",
            lambda event: self.events.append((event.playback_position, event.interrupted)),
        )
        ready = avatar.ready
        options = AvatarOptions(ready.width, ready.height, ready.frame_rate, RATE, 1)
        self.runner = AvatarRunner(
            Room(), audio_recv=self.sound, video_gen=self.generator, options=options
        )

    async def say(self, sound, *, flush=True):
        step = RATE // 50 * 2
        for start in range(0, len(sound), step):
            part = sound[start : start + step]
            await self.sound.capture_frame(rtc.AudioFrame(part, RATE, 1, len(part) // 2))
        if flush:
            self.sound.flush()

    async def until(self, condition, timeout_s=30):
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.02)

    @property
    def sounds(self):
        return [one for _, one in self.generator.yielded if isinstance(one, rtc.AudioFrame)]


@pytest.fixture
async def stage(server):
    avatar = await LiveAvatar.connect(server, Start(rate=RATE))
    stage = Stage(avatar)
    await stage.runner.start()
    yield stage
    await stage.runner.aclose()
    await avatar.close()


async def test_segments_are_reported_once_each_with_their_length(stage, tone):
    for seconds in (1.0, 0.06, 2.0):
        await stage.say(tone(seconds))
        await asyncio.wait_for(stage.sound.wait_for_playout(), 30)
    await asyncio.sleep(0.3)
    positions = [event[0] for event in stage.events[1::2]]
    assert stage.events[::2] == ["started"] * 3
    assert [event[1] for event in stage.events[1::2]] == [False] * 3
    assert positions == pytest.approx([1.0, 0.06, 2.0], abs=0.1)


async def test_each_picture_follows_its_sound(stage, tone):
    await asyncio.sleep(0.3)
    await stage.say(tone(1.0))
    await stage.sound.wait_for_playout()
    await asyncio.sleep(0.5)
    outputs = [output for _, output in stage.generator.yielded]
    kinds = [type(output) for output in outputs]
    first = kinds.index(rtc.AudioFrame)
    end = kinds.index(AudioSegmentEnd)
    assert set(kinds[:first]) == {rtc.VideoFrame}, "silence has no sound"
    assert kinds[first:end] == [rtc.AudioFrame, rtc.VideoFrame] * 25
    assert set(kinds[end + 1 :]) == {rtc.VideoFrame}
    for sound, picture in zip(outputs[first:end:2], outputs[first + 1 : end : 2], strict=True):
        assert (sound.samples_per_channel, sound.sample_rate) == (RATE // 25, RATE)
        assert picture.data[0] > 110, "lit while it speaks"
    dark = [picture.data[0] for picture in outputs[:first]]
    assert max(dark) < 50
    assert stage.runner.av_sync.actual_fps == pytest.approx(25, abs=2)


async def test_interrupted_as_an_agent_does_it_the_next_segment_is_whole(stage, tone):
    await stage.say(tone(3.0), flush=False)
    await stage.until(lambda: "started" in stage.events)
    await asyncio.sleep(0.8)
    stage.sound.flush()
    stage.sound.clear_buffer()  # before the end of the segment was read
    stage.sound.clear_buffer()
    await asyncio.wait_for(stage.sound.wait_for_playout(), 2)
    heard = len(stage.sounds)
    position, interrupted = stage.events[1]
    assert interrupted
    assert position == pytest.approx(heard / 25, abs=0.1), "what was published"
    await stage.until(lambda: stage.generator.played)
    assert -0.01 < stage.generator.played[0].seconds - position < 0.4, "and what was on its way"
    await asyncio.sleep(0.5)
    assert len(stage.sounds) <= heard + 1
    assert len(stage.events) == 2

    await stage.say(tone(1.0))
    await asyncio.wait_for(stage.sound.wait_for_playout(), 30)
    assert stage.events[2] == "started"
    assert stage.events[3] == (pytest.approx(1.0, abs=0.1), False)
    assert len(stage.events) == 4
    spoken = np.frombuffer(b"".join(bytes(one.data) for one in stage.sounds[-25:]), np.int16)
    assert np.abs(spoken).max() > 10_000


async def test_an_agent_does_not_wait_for_an_avatar_that_is_gone(run_server, tone, monkeypatch):
    monkeypatch.setattr("flashtalk_client.avatar.RECONNECT_S", 0.5)
    with run_server() as (url, process):
        avatar = await LiveAvatar.connect(url, Start(rate=RATE))
        stage = Stage(avatar)
        await stage.runner.start()
        await stage.say(tone(3.0))
        await stage.until(lambda: "started" in stage.events)
        process.kill()
        await asyncio.wait_for(stage.sound.wait_for_playout(), 20)
        await stage.until(lambda: stage.generator._is_lost)
        await stage.say(tone(1.0))
        await asyncio.wait_for(stage.sound.wait_for_playout(), 20)
        await stage.runner.aclose()
    assert len([event for event in stage.events if event != "started"]) == 2
