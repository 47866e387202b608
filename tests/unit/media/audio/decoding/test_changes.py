"""Sound that changes midway, and frames that do not belong to it."""

import io
import tracemalloc
from itertools import chain

import numpy as np
import pytest
import soundfile

from flashtalk_core.media.audio.decoding.changes import one_kind
from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.audio.decoding.segments import DAMAGED, AudioSegment
from flashtalk_core.media.audio.probe import AnalysisStream, probe_audio

pytestmark = pytest.mark.cpu


def segments(*runs):
    """Return segments of 20 ms; a run is a rate, channels, seconds and a level."""
    names = {1: "mono", 2: "stereo", 6: "5.1"}
    return [
        AudioSegment(
            np.full((channels, rate_hz // 50), level, np.float32), rate_hz, names[channels]
        )
        for rate_hz, channels, duration_s, level in runs
        for _ in range(round(duration_s * 50))
    ]


def joined(*runs, is_timed=False):
    notes = []
    found = list(one_kind(iter(segments(*runs)), notes.append, is_timed=is_timed))
    assert len({segment.kind for segment in found}) <= 1
    samples = np.concatenate([segment.samples for segment in found], axis=1)
    return found[0].kind, samples, list(dict.fromkeys(notes))


@pytest.mark.parametrize("stray", [(48_000, 2), (22_050, 1), (44_100, 6)])
@pytest.mark.parametrize("duration_s", [0.02, 0.1])
def test_stray_frames_are_damage(stray, duration_s):
    main = (44_100, 1, 1.0, 0.5)
    kind, samples, notes = joined(main, (*stray, duration_s, 0.9), main)
    assert kind == (44_100, 1)
    assert notes == [DAMAGED]
    assert samples.shape[1] == pytest.approx((2 + duration_s) * 44_100, abs=2)
    assert not samples[:, 44_200:44_900].any()
    assert set(np.unique(samples)) == {0, np.float32(0.5)}


def test_stray_frames_of_timed_audio_leave_their_place_to_the_clock():
    main = (44_100, 1, 1.0, 0.5)
    _, samples, notes = joined(main, (48_000, 2, 0.04, 0.9), main, is_timed=True)
    assert samples.shape[1] == 2 * 44_100
    assert notes == [DAMAGED]


@pytest.mark.parametrize(
    ("first", "second", "level"),
    [((44_100, 1), (48_000, 1), 0.5), ((32_000, 1), (44_100, 2), 0.5),
     ((48_000, 2), (24_000, 1), 0.5),
     ((48_000, 2), (48_000, 6), None), ((48_000, 6), (48_000, 2), None)],
)  # fmt: skip
def test_a_real_change_is_converted_and_reported(first, second, level):
    kind, samples, notes = joined((*first, 1.0, 0.5), (*second, 1.0, 0.5), (*first, 1.0, 0.5))
    assert kind == first
    assert samples.shape[1] == pytest.approx(3 * first[0], abs=3)
    assert len(notes) == 1
    assert notes[0].startswith(f"changes from {first[0]} Hz and {first[1]} channel")
    assert notes[0].endswith(
        f"converted to {first[0]} Hz and {first[1]} channel{'s'[: first[1] > 1]}"
    )
    middle = samples[:2, round(1.2 * first[0]) : round(1.8 * first[0])]
    assert middle.any()
    if level:
        assert np.abs(middle - level).max() < 1e-3


def test_the_kind_that_audio_begins_with_is_kept():
    # HE-AAC before its first header of spectral band replication.
    kind, samples, notes = joined((22_050, 1, 0.1, 0.5), (44_100, 1, 2.0, 0.5))
    assert kind == (44_100, 1)
    assert samples.shape[1] == pytest.approx(2.1 * 44_100, abs=3)
    assert np.abs(samples[0, 500:4_000] - 0.5).max() < 0.01
    assert np.abs(samples[0, 5_000:] - 0.5).max() < 0.01
    assert len(notes) == 1


def test_short_audio_takes_the_kind_that_most_of_it_has():
    kind, samples, _ = joined((22_050, 1, 0.02, 0.5), (44_100, 1, 0.06, 0.5))
    assert kind == (44_100, 1)
    assert samples.shape[1] == pytest.approx(0.08 * 44_100, abs=200)


def test_stray_frames_before_the_first_kind_comes_back_are_damage():
    first, second = (44_100, 1, 1.0, 0.5), (48_000, 1, 1.0, 0.5)
    _, samples, notes = joined(first, second, (22_050, 2, 0.1, 0.9), first)
    assert samples.shape[1] == pytest.approx(3.1 * 44_100, abs=3)
    assert len(notes) == 2
    assert DAMAGED in notes


def alternating(count, *kinds):
    for number in range(count):
        yield from segments((*kinds[number % len(kinds)], 0.02, 0.5))


def test_the_search_for_the_main_kind_stops_early_in_long_audio():
    source = alternating(2_000, (44_100, 1), (48_000, 2))
    next(one_kind(source, print, is_timed=False))
    assert sum(1 for _ in source) > 1_000


def test_damage_takes_no_memory_however_long_it_is():
    audio = chain(segments((44_100, 1, 1.0, 0.5)), alternating(1_500, (48_000, 2), (22_050, 2)),
                  segments((44_100, 1, 1.0, 0.5)))  # fmt: skip
    tracemalloc.start()
    num_samples = sum(
        segment.samples.shape[1] for segment in one_kind(audio, print, is_timed=False)
    )
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert num_samples == pytest.approx(32 * 44_100, abs=3)
    assert most < 2e6


def test_no_frames_give_no_frames():
    assert list(one_kind(iter([]), pytest.fail, is_timed=False)) == []


def ogg(audio, rate_hz, subtype="VORBIS"):
    file = io.BytesIO()
    soundfile.write(file, audio.T, rate_hz, subtype, format="OGG")
    return file.getvalue()


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("second", [(48_000, 1), (16_000, 1), (48_000, 2), (24_000, 2)])
def test_joined_ogg_files_are_one_recording(make, tmp_path, second, subtype):
    rate_hz, channels = second
    parts = [make.voice(48_000, 48_000)[None]]
    parts.append(np.stack([make.voice(rate_hz, rate_hz, 5)] * channels))
    path = tmp_path / "s.ogg"
    path.write_bytes(b"".join((ogg(parts[0], 48_000, subtype), ogg(parts[1], rate_hz, subtype),
                               ogg(parts[0], 48_000, subtype))))  # fmt: skip
    with AudioReader(path) as reader:
        samples = np.concatenate(list(reader.blocks()), axis=1)
    assert (reader.rate_hz, reader.channels) == (48_000, 1)
    assert samples.shape == (1, 144_000)
    assert np.corrcoef(samples[0, :48_000], parts[0][0])[0, 1] > 0.6
    assert np.corrcoef(samples[0, 96_000:], parts[0][0])[0, 1] > 0.6
    assert np.abs(samples[0, 48_000:96_000]).max() > 0.01


def test_a_damaged_part_of_joined_files_is_left_out(make, tmp_path, caplog):
    good = ogg(make.voice(48_000, 48_000)[None], 48_000)
    bad = bytearray(good)
    bad[30:40] = b"?" * 10
    path = tmp_path / "s.ogg"
    path.write_bytes(good + bytes(bad) + good)
    info = probe_audio(path)
    assert info.num_samples == 96_000
    with AnalysisStream(info) as stream:
        stream.read(0, 32_000)
    assert caplog.text.count(DAMAGED) == 1


def test_an_mp3_of_two_kinds_is_one_recording(make, tmp_path, caplog):
    first = make.encode_audio(tmp_path / "a.mp3", make.voice(32_000, 32_000)[None], 32_000,
                              "libmp3lame").read_bytes()  # fmt: skip
    stereo = np.stack([make.voice(44_100, 44_100)] * 2)
    second = make.encode_audio(tmp_path / "b.mp3", stereo, 44_100, "libmp3lame").read_bytes()
    (tmp_path / "s.mp3").write_bytes(first + second)
    info = probe_audio(tmp_path / "s.mp3")
    assert (info.rate_hz, info.channels) == (32_000, 1)
    assert info.duration_s == pytest.approx(2, abs=0.15)
    assert "changes from 32000 Hz and 1 channel to 44100 Hz" in caplog.text
