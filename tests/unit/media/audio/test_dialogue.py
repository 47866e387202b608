"""Audio of two speakers: its place in the video, turns, the mix, and what each is heard as."""

import numpy as np
import pytest

from flashtalk_core.engine.speakers.planning import sound_of
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.audio.dialogue.analysis import open_analysis
from flashtalk_core.media.audio.dialogue.periods import check_heard, dialogue_notes
from flashtalk_core.media.audio.dialogue.turns import check_place, parse_turns
from flashtalk_core.media.audio.dialogue.voices import place_audio
from flashtalk_core.media.audio.info import AudioInfo
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.audio.source import AudioArray

pytestmark = pytest.mark.cpu


def tone(hz, seconds, rate_hz=16_000, channels=1):
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    wave = 0.3 * np.sin(2 * np.pi * hz * time).astype(np.float32)
    return probe_audio(AudioArray(f"{hz} Hz", np.repeat(wave[None], channels, 0), rate_hz))


def samples(source):
    return np.concatenate(list(source.blocks()), axis=1)


def test_audio_begins_late_and_the_video_lasts_to_the_end_of_the_last():
    first, second = tone(200, 1.0), tone(300, 1.0)
    placed = place_audio([first, second], [0, 0.5], [(), ()])
    assert [each.num_samples for each in placed] == [24_000, 24_000]
    late = samples(placed[1])
    assert not late[:, :8_000].any()
    assert np.array_equal(late[:, 8_000:], second.source.samples)
    assert np.array_equal(samples(sound_of(placed).source), samples(placed[0]) + late)


def test_voices_of_other_rates_and_channels_are_mixed_at_the_higher_one():
    placed = place_audio([tone(200, 0.5), tone(300, 0.5, 24_000, 2)], [0.25, 0], [(), ()])
    sound = sound_of(placed)
    assert (sound.rate_hz, sound.channels, sound.num_samples) == (24_000, 2, 18_000)
    mixed = samples(sound.source)
    alone = mixed[:, 12_200:]  # the second voice is over: the first one in both channels
    assert np.allclose(alone[0], alone[1])
    assert abs(np.abs(alone).max() - 0.3) < 0.01


def test_turns_share_a_recording_which_the_video_has_whole():
    audio = tone(200, 1.0)
    turns = parse_turns("1: 0-0.25, 2: 0.25-0.5\n1: 0.75-1")
    placed = place_audio([audio, audio], [0, 0], turns)
    assert sound_of(placed) is audio
    first, second = (samples(each) != 0 for each in placed)
    assert not (first & second).any()
    assert abs(first.sum() - 8_000) < 100 > abs(second.sum() - 4_000)
    assert first[:, 12_100:].any()
    with open_analysis([each.info() for each in placed], 16_000) as heard:
        window = heard.read(4_000, 8_000)
    assert window.shape == (2, 4_000)
    assert np.abs(window[1]).mean() > 10 * np.abs(window[0]).mean()


def test_turns_without_audio_are_told_and_a_speaker_without_any_other_is_refused():
    audio = tone(200, 1.0)
    placed = place_audio([audio, audio], [0, 0], parse_turns("1: 0-0.5, 2: 0.5-1, 2: 7-9"))
    check_heard([each.period for each in placed])
    said = "turn 2: 7-9: the audio lasts 1.00 s, so it is never heard"
    assert dialogue_notes([each.period for each in placed]) == [said]
    placed = place_audio([audio, audio], [2, 2], parse_turns("1: 0-1, 1: 2.5-3, 2: 3-9"))
    assert dialogue_notes([each.period for each in placed])[0] == (
        "turn 1: 0-1: the audio begins at 2.00 s, so it is never heard"
    )
    with pytest.raises(InvalidInputError, match=r"ends at 3.00 s of the video, so speaker 2 is"):
        check_heard([each.period for each in placed])


def test_silence_of_hours_is_not_measured_but_told():
    first, second = tone(200, 1.0), tone(300, 1.0, 24_000, 2)
    far, near = (
        place_audio([first, second], [70.0, offset], [((70.0, 70.5),), ()])
        for offset in (300_000.25, 72.25)
    )
    sound, usual = sound_of(far), sound_of(near)
    assert sound.duration_s == pytest.approx(300_001.25)
    assert (sound.peak, sound.loudness_lufs) == (usual.peak, pytest.approx(usual.loudness_lufs))
    assert sound.source.voices == far
    assert dialogue_notes([each.period for each in far]) == [
        "nobody speaks from 0.00 to 70.00 s of the video, 1 minute(s); starts are in seconds",
        "nobody speaks from 71.00 to 300000.25 s of the video, 4999 minute(s); starts are in "
        "seconds",
    ]


def test_the_sum_after_a_gap_is_what_it_is_without_one():
    first, second = tone(200, 0.5), tone(300, 0.5)
    placed = place_audio([first, second], [0.0, 65.5], [(), ()])
    assert samples(sound_of(placed).source)[:, -8_000:].tobytes() == second.source.samples.tobytes()


def test_what_identifies_audio_is_its_place_as_well():
    audio = tone(200, 0.2)
    places = [place_audio([audio], [offset], [()])[0] for offset in (0, 0.1, 0.1)]
    assert places[1].identity == places[2].identity != places[0].identity


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1: 0-3, 3: 3-4", "turn '3: 3-4': use the speaker, 1 or 2"),
        ("1: now, 2: 3-4", "turn '1: now'"),
        ("1: 0-3", "speaker 2 has none"),
        ("1: 0-3, 2:05-1:10", "turn '2:05-1:10': it may begin with a speaker or with minutes"),
        ("1: 0-3, 2: 0:x-1:10", "turn '2: 0:x-1:10': use the speaker, 1 or 2, and times"),
    ],
)
def test_what_is_no_timeline(text, message):
    with pytest.raises(InvalidInputError, match=message):
        parse_turns(text)


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        (((3.0, 0.0),), "speaker 1 has a turn from 3 to 0 s: its end is before its start"),
        (((3.0, 3.0),), "its end is at its start"),
        (((0.0, 2.0), (1.0, 3.0)), "list turns in order of time"),
    ],
)
def test_turns_are_in_order(turns, message):
    with pytest.raises(InvalidInputError, match=message):
        check_place(0, turns, "speaker 1")


def test_turns_are_written_as_a_clock_shows_them_too():
    found = parse_turns("1: 0:00-0:03.5, 2:0:03.5-1:05\n1: 65-1:10, 2: 1:00:00-3601")
    assert found == (((0.0, 3.5), (65.0, 70.0)), ((3.5, 65.0), (3600.0, 3601.0)))


def test_live_audio_has_one_speaker():
    growing = AudioInfo.growing(tone(200, 0.1).source)
    with pytest.raises(InvalidInputError, match="has not ended"):
        place_audio([growing, growing], [0, 0], [(), ()])
