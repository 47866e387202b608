"""What viewers get of a session: how far it lags behind the clock, in step."""

import io

import av
import numpy as np
import pytest
import torch

from flashtalk_core.live.audio.framer import AudioFormat
from flashtalk_core.live.held_pictures import HeldPictures
from flashtalk_core.live.shown import Shown
from flashtalk_core.serve.encoders import FragmentOutput

NUM_FRAMES = 40


class Pieces(list):
    """Keeps fragments."""

    begin = list.append

    def add(self, data, start_ms, *, is_key):
        self.append(data)

    def close(self):
        pass


def shown(number, rate_hz):
    time_s = (np.arange(rate_hz // 25) + number * (rate_hz // 25)) / rate_hz
    sound = np.sin(2 * np.pi * 440 * time_s).astype(np.float32)[None] * (number >= 20)
    picture = torch.full((32, 32, 3), 255 * (number >= 20), dtype=torch.uint8)
    return Shown(number, picture, sound, None, is_held=False)


@pytest.mark.cpu
@pytest.mark.parametrize(("rate_hz", "most"), [(16_000, 4.2), (24_000, 4.2), (48_000, 3.2)])
def test_what_was_sent_plays_nearly_to_the_newest_frame_and_in_step(rate_hz, most):
    pieces = Pieces()
    output = FragmentOutput(pieces, (32, 32), AudioFormat(rate_hz, 1, "mono"))
    lags = []
    for number in range(NUM_FRAMES):
        output.take(shown(number, rate_hz))
        if number >= 30:
            lags.append(number + 1 - 25 * min(times(b"".join(pieces))))
    assert max(lags) <= most
    output.close(is_whole=True)
    with av.open(io.BytesIO(b"".join(pieces))) as file:
        light = [float(f.to_ndarray(format="gray").mean()) for f in file.decode(video=0)]
    with av.open(io.BytesIO(b"".join(pieces))) as file:
        sound = np.concatenate([f.to_ndarray()[0] for f in file.decode(audio=0)])
        out_hz = file.streams.audio[0].rate
    assert len(light) == NUM_FRAMES
    assert next(i for i, level in enumerate(light) if level > 100) == 20
    begins_s = next(i for i, x in enumerate(np.abs(sound)) if x > 0.3) / out_hz
    assert abs(begins_s - 20 / 25) < 0.002
    assert len(sound) / out_hz >= NUM_FRAMES / 25


def times(data):
    """Return to where video and audio of an MP4 can be played, seconds."""
    with av.open(io.BytesIO(data)) as file:
        ends = {}
        for packet in file.demux():
            if packet.pts is not None:
                end = (packet.pts + packet.duration) * packet.time_base
                ends[packet.stream.type] = float(end)
        return ends["video"], ends["audio"]


@pytest.mark.e2e
@pytest.mark.parametrize("rate_hz", [16_000])
def test_pictures_and_sound_do_not_drift_in_three_minutes(rate_hz, record_property):
    pieces, every = Pieces(), 50
    output = FragmentOutput(pieces, (32, 32), AudioFormat(rate_hz, 1, "mono"))
    for number in range(4_600):
        tone = shown(20 + number % every, rate_hz)
        loud = number % every < 10
        picture, sound = tone.picture * loud, tone.sound * np.float32(loud)
        output.take(Shown(number, picture, sound, None, is_held=False))
    output.close(is_whole=True)
    data = b"".join(pieces)
    with av.open(io.BytesIO(data)) as file:
        light = [f.to_ndarray(format="gray").mean() > 128 for f in file.decode(video=0)]
    with av.open(io.BytesIO(data)) as file:
        sound = np.abs(np.concatenate([f.to_ndarray()[0] for f in file.decode(audio=0)]))
        out_hz = file.streams.audio[0].rate
    lit_s = [i / 25 for i in range(len(light)) if light[i] and not (i and light[i - 1])]
    late_ms = [
        1000 * (np.argmax(sound[round((at - 0.2) * out_hz) :] > 0.25) / out_hz - 0.2)
        for at in lit_s[1:]
    ]
    slope = np.polyfit(np.array(lit_s[1:]) / 60, late_ms, 1)[0]
    record_property("late_ms", [round(float(one), 2) for one in (late_ms[0], late_ms[-1])])
    record_property("slope_ms_a_minute", round(float(slope), 4))
    assert len(late_ms) == 91
    assert max(map(abs, late_ms)) < 3
    assert abs(slope) < 0.1


@pytest.mark.cpu
@pytest.mark.parametrize("out_hz", [16_000, 48_000])
def test_held_pictures_all_come_with_all_of_their_sound(out_hz):
    held = HeldPictures("test", AudioFormat(16_000, 1, "mono"), out_hz)
    given = [held.add(shown(number, 16_000)) for number in range(NUM_FRAMES)]
    given.append(held.finish())
    assert sum(len(one) for one in given if one is not None) == NUM_FRAMES
    assert held.audio.total_samples == NUM_FRAMES * out_hz // 25
