"""Live sound: what is heard, what leaves, and the one report of each utterance."""

from fractions import Fraction
from threading import Thread

import numpy as np
import pytest

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.live.audio.gate import Gate
from flashtalk_core.live.audio.sound import MAX_WAITING_S, LiveSound
from flashtalk_core.live.audio.utterance import Played
from flashtalk_core.media.audio.info import AudioInfo
from flashtalk_core.media.audio.probe import AnalysisStream
from flashtalk_core.media.audio.source import AudioArray

pytestmark = pytest.mark.cpu

FRAME = 640


def ramp(count, start=0):
    return ((np.arange(start, start + count) % 1000 + 1) / 2000).astype(np.float32)[None]


def left(sound, frames):
    """Let frames leave; return their samples."""
    return np.concatenate([sound.leave(frame)[0] for frame in frames])


def test_what_is_pushed_leaves_and_is_heard_where_it_was_placed():
    sound = LiveSound()
    samples = ramp(5 * FRAME)
    sound.push(samples[:, :1000])
    sound.push(samples[:, 1000:])
    assert (sound.waiting_frames, sound.stop) == (5, 0)
    sound.attach(7)
    assert (sound.waiting_frames, sound.stop) == (0, 12)
    heard = sound.read(5 * FRAME, 14 * FRAME)
    expected = np.concatenate([np.zeros(2 * FRAME), samples[0], np.zeros(2 * FRAME)])
    assert np.array_equal(heard, expected)
    assert np.array_equal(left(sound, range(5, 14)), expected)


def test_what_arrives_later_follows_until_it_would_be_too_late():
    sound = LiveSound()
    sound.push(ramp(2 * FRAME))
    sound.attach(3)
    sound.push(ramp(FRAME))
    assert (sound.stop, sound.waiting_frames) == (6, 0)
    left(sound, range(6))
    sound.push(ramp(FRAME))  # its place has left
    assert (sound.stop, sound.waiting_frames) == (6, 1)


def test_the_end_fills_the_last_frame_and_is_reported_once_it_left():
    sound = LiveSound()
    sound.push(ramp(FRAME + 160))
    sound.end()
    assert (sound.waiting_frames, sound.is_waiting_whole) == (2, True)
    sound.attach(0)
    sound.leave(0)
    assert sound.take_played() == []
    assert np.count_nonzero(sound.leave(1)) == 160
    assert sound.take_played() == [Played(1, Fraction(800, 16_000), interrupted=False)]
    assert sound.take_played() == []
    assert sound.speaking is None


def test_an_end_that_comes_after_everything_left_is_reported_then():
    sound = LiveSound()
    sound.push(ramp(FRAME))
    sound.attach(0)
    sound.leave(0)
    assert sound.take_played() == []
    sound.end()
    assert sound.take_played() == [Played(1, Fraction(1, 25), interrupted=False)]


def test_a_clear_reports_all_that_did_not_leave_whole_and_fades_in_5_ms():
    sound = LiveSound()
    sound.push(np.full((1, 4 * FRAME), 0.5, np.float32))
    sound.end()
    sound.push(ramp(FRAME))
    sound.attach(0)
    left(sound, range(2))
    sound.clear(2)
    assert sound.take_played() == [
        Played(1, Fraction(2, 25), interrupted=True),
        Played(2, Fraction(0), interrupted=True),
    ]
    fading = sound.leave(2)[0]
    assert fading[0] == 0.5
    assert (np.diff(fading[:80]) < 0).all()
    assert not fading[79:].any()
    assert not sound.read(2 * FRAME, 8 * FRAME).any()
    assert not left(sound, range(3, 8)).any()


def test_what_was_cleared_stays_silent_until_it_ends():
    sound = LiveSound()
    sound.push(ramp(FRAME))
    sound.clear(0)
    sound.push(ramp(9 * FRAME))
    assert sound.waiting_frames == 0
    sound.end()
    sound.push(ramp(FRAME))
    assert (sound.waiting_frames, sound.speaking) == (1, 2)
    assert [played.utterance for played in sound.take_played()] == [1]


def test_numbers_say_what_belongs_together():
    sound = LiveSound()
    sound.push(ramp(FRAME), 5)
    sound.clear(0)
    sound.push(ramp(FRAME), 5)  # cleared
    sound.push(ramp(FRAME), 8)
    sound.push(ramp(FRAME), 8)
    sound.push(ramp(FRAME), 9)  # ends 8
    sound.push(ramp(FRAME), 8)  # has ended
    assert (sound.waiting_frames, sound.is_waiting_whole, sound.speaking) == (2, True, 8)
    sound.attach(0)
    assert (sound.waiting_frames, sound.is_waiting_whole) == (1, False)


def test_a_clear_of_silence_reports_nothing():
    sound = LiveSound()
    sound.clear(0)
    sound.end()
    assert sound.take_played() == []


@pytest.mark.parametrize("block", [1, 317, 1_920, 50_000])
def test_the_model_hears_what_it_hears_of_a_file(block):
    """At another rate and with two channels."""
    chance = np.random.default_rng(0)
    count = 3 * 48_000 + 17 if block > 1 else 4_001
    samples = chance.uniform(-0.5, 0.5, (2, count)).astype(np.float32)
    sound = LiveSound(48_000, 2)
    for start in range(0, samples.shape[1], block):
        sound.push(samples[:, start : start + block])
    sound.end()
    sound.attach(0)
    frames = -(-25 * count // 48_000)
    assert sound.stop == frames
    info = AudioInfo.growing(AudioArray("x", samples, 48_000))
    with AnalysisStream(info) as stream:
        assert np.array_equal(sound.read(0, frames * FRAME), stream.read(0, frames * FRAME))


def test_it_is_an_audio_source_that_is_read_while_it_grows():
    sound, samples, read = LiveSound(), ramp(40_000), []
    reader = Thread(target=lambda: read.extend(sound.blocks()))
    reader.start()
    for start in range(0, 40_000, 999):
        sound.push(samples[:, start : start + 999])
        assert sound.num_samples is None
    sound.close()
    reader.join(10)
    assert np.array_equal(np.concatenate(read, axis=1), samples)
    assert (sound.num_samples, sound.has_sample(39_999), sound.has_sample(40_000)) == (
        40_000,
        True,
        False,
    )


def test_as_a_source_it_holds_the_newest_minute():
    sound = LiveSound(1_000)
    for second in range(70):
        sound.push(ramp(1_000))
        if second == 30:
            sound.clear(0)
    sound.close()
    with pytest.raises(InvalidInputError, match="read it while it arrives"):
        next(sound.blocks())


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(100, np.float32), r"a block of shape \(100,\); send \(channels, samples\)"),
        (np.zeros((2, 100), np.float32), "1 channel"),
        (np.zeros((1, 100)), "float32"),
        (np.full((1, 100), np.nan, np.float32), "NaN or infinite"),
        (np.full((1, 100), np.inf, np.float32), "NaN or infinite"),
    ],
)
def test_samples_of_another_form_are_refused(samples, message):
    sound = LiveSound()
    with pytest.raises(InvalidInputError, match=message):
        sound.push(samples)
    assert (sound.speaking, sound.num_pushes) == (None, 0)


def test_more_than_a_minute_does_not_wait():
    sound = LiveSound()
    sound.push(ramp(MAX_WAITING_S * 16_000))
    with pytest.raises(InvalidInputError, match="at most 60 s may, send the rest when"):
        sound.push(ramp(FRAME))
    sound.attach(0)
    sound.leave(0)
    sound.push(ramp(FRAME))  # there is room again


@pytest.mark.parametrize(
    ("rate_hz", "channels", "message"),
    [(11_024, 1, "no multiple of 25"), (500, 1, "need 1000 to"), (16_000, 9, "need 1 to 8")],
)
def test_audio_that_cannot_be_played_in_step_is_refused(rate_hz, channels, message):
    with pytest.raises(InvalidInputError, match=message):
        LiveSound(rate_hz, channels)


def test_a_gate_begins_and_ends_utterances():
    sound = LiveSound(gate=Gate(16_000))
    loud, quiet = np.full((1, 8_000), 0.3, np.float32), np.zeros((1, 16_000), np.float32)
    for part in (quiet, loud, quiet, loud):
        sound.push(part)
    assert sound.is_waiting_whole
    sound.attach(0)
    assert (sound.waiting_frames > 0, sound.is_waiting_whole) == (True, False)
    assert sound.last_number == 2


def test_memory_holds_what_the_model_may_still_hear():
    sound = LiveSound()
    sound.push(ramp(2 * FRAME))
    sound.attach(0)
    for second in range(40):
        sound.push(ramp(25 * FRAME))
        left(sound, range(25 * second, 25 * second + 25))
    assert sound.may_grow
    assert len(sound._placed) <= 200 + 33 + 2


def test_memory_holds_few_blocks_however_small_they_come():
    sound = LiveSound()
    samples = ramp(20_000)
    for at in range(20_000):
        sound.push(samples[:, at : at + 1])
    assert len(sound._all._blocks) <= 10
    sound.close()
    assert np.array_equal(np.concatenate(list(sound.blocks()), axis=1), samples)
