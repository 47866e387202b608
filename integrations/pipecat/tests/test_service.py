"""The service in a real pipeline, on a real server."""

import asyncio

import numpy as np
import pytest
from pipecat.frames.frames import (
    InterruptionFrame,
    MetricsFrame,
    OutputImageRawFrame,
    SpeechOutputAudioRawFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.metrics.metrics import TTFBMetricsData
from pipecat.pipeline.worker import PipelineParams
from pipecat.tests.utils import SleepFrame, run_test
from pipecat_flashtalk import FlashTalkVideoService

RATE = 24_000
PARAMS = PipelineParams(audio_out_sample_rate=RATE, enable_metrics=True)


def speech(sound, rate=RATE):
    step = rate // 50 * 2
    parts = [sound[start : start + step] for start in range(0, len(sound), step)]
    return [
        TTSStartedFrame(),
        *(TTSAudioRawFrame(audio=part, sample_rate=rate, num_channels=1) for part in parts),
        TTSStoppedFrame(),
    ]


async def play(server, *frames, wait_s=10.0, **wishes):
    service = FlashTalkVideoService(url=server, **wishes)
    down, up = await run_test(
        service, frames_to_send=frames, pipeline_params=PARAMS, start_timeout=wait_s
    )
    return down, up


def is_loud(frame):
    return np.abs(np.frombuffer(frame.audio, np.int16)).max() > 1000


def loud(frames):
    return [one for one in frames if isinstance(one, SpeechOutputAudioRawFrame) and is_loud(one)]


async def test_sound_comes_before_its_picture_and_the_stop_after_the_last(server, tone):
    idle = SleepFrame(sleep=0.4)
    down, _ = await play(server, idle, *speech(tone(1.0)), SleepFrame(sleep=2.5))
    kinds = [type(frame) for frame in down]
    first = kinds.index(SpeechOutputAudioRawFrame)
    stopped = kinds.index(TTSStoppedFrame)
    assert TTSAudioRawFrame not in kinds
    assert kinds.index(TTSStartedFrame) < first < stopped

    spoken = [one for one in down[first:stopped] if not isinstance(one, MetricsFrame)]
    assert [type(one) for one in spoken] == [SpeechOutputAudioRawFrame, OutputImageRawFrame] * 25
    assert all(is_loud(one) for one in spoken[::2])
    assert {len(one.audio) for one in spoken[::2]} == {2 * RATE // 25}
    assert all(one.sync_with_audio and one.image[0] > 110 for one in spoken[1::2])

    after = [one for one in down[stopped:] if isinstance(one, SpeechOutputAudioRawFrame)]
    assert 9 <= len(after) <= 12, "silence, so that the transport finds the end"
    assert not loud(after)
    before = [one for one in down[:first] if isinstance(one, OutputImageRawFrame)]
    assert len(before) >= 5
    assert not any(one.sync_with_audio or one.image[0] > 50 for one in before)
    assert isinstance(down[-1], OutputImageRawFrame)
    assert not down[-1].sync_with_audio


async def test_time_to_the_first_frame_is_measured_once_an_utterance(server, tone):
    down, _ = await play(server, *speech(tone(0.4)), SleepFrame(sleep=1.5), *speech(tone(0.4)))
    data = [one for frame in down if isinstance(frame, MetricsFrame) for one in frame.data]
    times_s = [one.value for one in data if isinstance(one, TTFBMetricsData) and one.value]
    assert len(times_s) == 2
    assert all(0.1 < time_s < 2 for time_s in times_s), times_s


async def test_an_interruption_ends_speech_and_the_next_is_whole(server, tone):
    pause = SleepFrame(sleep=1.5)
    first = speech(tone(5.0))[:-1]  # still being made
    down, _ = await play(
        server, *first, pause, InterruptionFrame(), SleepFrame(sleep=0.3), *speech(tone(1.0))
    )
    at = next(n for n, one in enumerate(down) if isinstance(one, InterruptionFrame))
    heard = loud(down[:at])
    assert 10 < len(heard) < 40
    rest = down[at:]
    again = next(n for n, one in enumerate(rest) if isinstance(one, TTSStartedFrame))
    assert not loud(rest[:again]), "nothing is heard after an interruption"
    dark = [one.image[0] for one in rest[:again] if isinstance(one, OutputImageRawFrame)]
    assert max(dark[-2:]) < 60, "the picture has faded"
    assert len(loud(rest[again:])) == 25
    assert [type(one) for one in rest].count(TTSStoppedFrame) == 1


async def test_the_end_of_a_pipeline_waits_for_the_last_words(server, tone):
    down, _ = await play(server, *speech(tone(2.0)))
    assert len(loud(down)) == 50
    assert TTSStoppedFrame in [type(one) for one in down]


async def test_speech_of_another_rate_is_resampled(server, tone):
    down, _ = await play(server, *speech(tone(1.0, rate=16_000), rate=16_000))
    assert len(loud(down)) == pytest.approx(25, abs=1)


async def test_without_a_server_speech_passes_through(tone):
    down, _ = await play("http://127.0.0.1:9", *speech(tone(0.1)))
    kinds = [type(frame) for frame in down]
    assert kinds.count(TTSAudioRawFrame) == 5
    assert kinds[-1] is TTSStoppedFrame


async def test_a_server_that_goes_lets_speech_pass_through(run_server, tone, monkeypatch):
    monkeypatch.setattr("flashtalk_client.avatar.RECONNECT_S", 0.5)
    with run_server() as (url, process):
        asyncio.get_running_loop().call_later(2.0, process.kill)
        down, _ = await play(url, *speech(tone(4.0)), SleepFrame(sleep=5.0), *speech(tone(0.1)))
    kinds = [type(frame) for frame in down]
    assert kinds.count(TTSAudioRawFrame) == 5
    assert kinds.count(TTSStoppedFrame) == 2
