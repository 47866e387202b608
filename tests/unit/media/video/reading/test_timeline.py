"""The frame that a player shows at a time."""

from fractions import Fraction

import numpy as np
import pytest

from flashtalk_core.media.video.reading.reader import probe_video, read_frames_at

from . import video_files as files

pytestmark = pytest.mark.cpu

UNEVEN = [0, 1, 2, 3, 4, 5, 7, 9, 11, 20]
"""Ticks of 1/25 s."""
CONTAINERS = ["v.mp4", "v.mov", "v.mkv", "v.ts", "v.flv"]


def shown_at(path, *times_s):
    """Return the numbers of the frames that are shown at these times."""
    info = probe_video(path)
    timeline = info.timeline
    found = [timeline.frames_at(timeline.start_of(Fraction(time)), 1)[0] for time in times_s]
    order = np.argsort(found, kind="stable")
    images = read_frames_at(path, np.array(found)[order], info).numpy()
    numbers = np.array(files.numbers_of(images))
    return numbers[np.argsort(order)].tolist()


def expected(times_s, ticks, tick_s=Fraction(1, 25)):
    starts = [number * tick_s for number in ticks]
    return [max(0, sum(start <= time for start in starts) - 1) for time in times_s]


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("frames", ["0", "2"])
def test_frames_at_uneven_times(tmp_path, name, frames):
    options = {"bf": frames, "g": "4", "crf": "4"}
    path = files.write(tmp_path / name, UNEVEN, codec_options=options)
    # Off the borders, which clocks of milliseconds move.
    times = [Fraction(k, 50) + Fraction(1, 100) for k in range(44)]
    assert shown_at(path, *times) == expected(times, UNEVEN)


def test_uneven_frames_come_in_even_steps_of_the_nominal_rate(tmp_path):
    path = files.write(tmp_path / "v.mp4", UNEVEN)
    info = probe_video(path)
    assert (info.num_frames, info.frame_rate_hz) == (10, 25)
    assert not info.timeline.is_constant
    count = info.timeline.num_steps(Fraction(0))
    assert count == 21
    found = info.timeline.frames_at(Fraction(0), count).tolist()
    assert found == expected([Fraction(k, 25) for k in range(21)], UNEVEN)


def test_a_rate_that_is_the_tick_of_a_clock_is_not_taken(tmp_path):
    ticks = [0, 37, 101, 113, 180, 199, 243, 277, 322, 360]
    path = files.write(tmp_path / "v.mkv", ticks, rate=1000)
    info = probe_video(path)
    assert not info.timeline.is_constant
    assert float(info.frame_rate_hz) == pytest.approx(25, rel=0.15)


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("rate", [24, Fraction(30_000, 1_001), 60])
def test_a_time_between_frames_shows_the_earlier_one(tmp_path, name, rate):
    path = files.write(tmp_path / name, range(30), rate=rate, codec_options={"g": "7", "crf": "4"})
    assert probe_video(path).timeline.is_constant
    numbers = [0, 1, 6, 7, 13, 28]
    starts = [number / Fraction(rate) for number in numbers]
    for share in (0.05, 0.5, 0.9):
        assert shown_at(path, *(start + Fraction(share) / rate for start in starts)) == numbers


def test_the_first_and_the_last_frame_stay(tmp_path):
    path = files.write(tmp_path / "v.mp4", range(10))
    timeline = probe_video(path).timeline
    assert timeline.frames_at(Fraction(8, 25), 4).tolist() == [8, 9, 9, 9]
    late = files.write(tmp_path / "l.mp4", video_at_s=0.2, audio=files.clicks(1, [0.5]))
    timeline = probe_video(late).timeline
    assert timeline.frames_at(Fraction(0), 7).tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert timeline.duration_s == Fraction(15, 25)


@pytest.mark.parametrize("name", ["v.mkv", "v.ts", "v.flv"])
def test_a_player_starts_where_the_first_track_does(tmp_path, name):
    audio = files.clicks(1, [0.5])
    path = files.write(tmp_path / name, audio=audio, video_at_s=7, audio_at_s=7)
    info = probe_video(path)
    assert info.num_frames == 10
    assert 0 <= info.timeline.start_of(0) < Fraction(1, 25)
    assert shown_at(path, 0.03 + 4 / 25) == [4]


@pytest.mark.parametrize("name", ["v.mp4", "v.mov"])
@pytest.mark.parametrize("frames", ["0", "2"])
def test_frames_that_an_edit_list_hides_are_not_there(tmp_path, name, frames):
    options = {"g": "20", "crf": "4", "bf": frames}
    whole = files.write(tmp_path / f"w{name}", range(20), codec_options=options)

    def cut(data):
        ticks = int.from_bytes(data[data.index(b"mdhd") + 16 :][:4], "big")
        movie = int.from_bytes(data[data.index(b"mvhd") + 16 :][:4], "big")
        zero = int.from_bytes(data[data.index(b"elst") + 16 :][:4], "big")
        # The frames 5 to 12: how long in ticks of the movie, from where in those of the track.
        files.put(data, b"elst", 8, round(movie * 8 / 25), zero + round(ticks * 5 / 25))

    path = files.changed(whole, tmp_path / name, cut)
    info = probe_video(path)
    assert (info.num_frames, info.duration_s) == (8, 8 / 25)
    assert files.numbers_of(files.read_frames(path, 0, 8).numpy()) == list(range(5, 13))
    assert shown_at(path, 0, 0.13, 0.3) == [5, 8, 12]


@pytest.mark.parametrize("name", ["v.ts", "v.mpg"])
@pytest.mark.parametrize("start_s", [0, 40])
def test_streams_that_were_joined_follow_one_another(tmp_path, name, start_s):
    """Each has a clock of its own."""
    codec = {"codec": "mpeg2video", "codec_options": {"qscale": "2"}} if name == "v.mpg" else {}
    audio = files.clicks(0.8, [0.5])
    common = {"audio": audio, "audio_codec": "mp2", **codec}
    first = files.write(tmp_path / f"a{name}", range(20), **common)
    images = [files.image(number) for number in range(20, 40)]
    second = files.write(
        tmp_path / f"b{name}", range(20), images,
        video_at_s=start_s, audio_at_s=start_s, **common,
    )  # fmt: skip
    path = tmp_path / name
    path.write_bytes(first.read_bytes() + second.read_bytes())
    info = probe_video(path)
    assert info.num_frames == 40
    assert info.duration_s == pytest.approx(1.6, abs=0.1)
    assert files.numbers_of(files.read_frames(path, 0, 40).numpy()) == list(range(40))


def test_what_lies_before_0_s_is_not_shown(tmp_path):
    path = files.write(
        tmp_path / "v.mkv",
        video_at_s=-0.2,
        container={"avoid_negative_ts": "disabled"},
        codec_options={"g": "2", "crf": "4"},
        audio=files.clicks(1, [0.5]),
    )
    assert shown_at(path, 0.05) == [6]


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_a_container_without_times_shows_frames_in_their_order(tmp_path, codec):
    options = {"bf": "2", "g": "6"} | ({"crf": "4"} if codec == "libx264" else {"qscale": "1"})
    path = files.write(tmp_path / "v.avi", range(20), codec=codec, codec_options=options)
    info = probe_video(path)
    assert info.frame_rate_hz == 25
    found = files.numbers_of(files.read_frames(path, 0, info.num_frames).numpy())
    assert found[:18] == list(range(18))
    assert shown_at(path, 0.42, 0.58) == [10, 14]


CODECS = {
    "v.mkv": {},
    "v.ts": {},
    "v.flv": {},
    "v.webm": {"codec": "libvpx", "codec_options": {"b": "2000000", "g": "10"}},
    "v.avi": {"codec": "mpeg4", "codec_options": {"qscale": "2", "g": "10"}},
    "v.mpg": {"codec": "mpeg2video", "codec_options": {"qscale": "2", "g": "10"}},
}
SOUNDS = {"v.webm": "libopus", "v.avi": "mp3", "v.mpg": "mp2"}


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("share", [1, 0.7])
def test_each_frame_is_found_by_itself(tmp_path, name, share):
    """Also in a file whose index is not there, or whose end is not."""
    options = {"codec_options": {"g": "10", "crf": "4"}} | CODECS[name]
    audio = files.clicks(2, [0.5])
    path = files.write(
        tmp_path / name, range(50), audio=audio, audio_codec=SOUNDS.get(name, "aac"), **options
    )
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * share)])
    info = probe_video(path)
    assert info.num_frames >= 15
    for number in range(0, info.num_frames, 6):
        found = files.read_frames(path, number, 1, info)
        assert files.numbers_of(found.numpy()) == [number], number


@pytest.mark.parametrize("options", ["open-gop=1:keyint=10:bframes=3", "keyint=7:bframes=2"])
def test_frames_before_a_key_frame_are_decoded_from_the_one_before(tmp_path, options):
    codec = {"x264-params": options, "crf": "4"}
    path = files.write(tmp_path / "v.mp4", range(40), codec_options=codec)
    info = probe_video(path)
    for number in range(40):
        assert files.numbers_of(files.read_frames(path, number, 1, info).numpy()) == [number]


def test_a_still_of_hours_is_no_step_of_hours(tmp_path):
    path = files.write(tmp_path / "v.mp4", [0, 2 * 3600 * 25], images=[files.image(1)] * 2)
    info = probe_video(path)
    assert info.frame_rate_hz >= 1
    assert info.timeline.num_steps(Fraction(0)) >= 7200
