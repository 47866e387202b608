"""Videos that are damaged, or say what cannot be: refused in one line, before they take memory."""

import struct
import tracemalloc

import numpy as np
import pytest

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.isobmff.counts import surplus_samples
from flashtalk_core.media.video.reading.measure import measure_video
from flashtalk_core.media.video.reading.reader import probe_video, read_audio_part
from flashtalk_core.media.video.remux import CONTAINERS, remux_video

from . import video_files as files

pytestmark = pytest.mark.cpu

MANY = 30_000_000
"""Samples that FFmpeg takes some hundred megabytes for."""
PARTS = {"movflags": "frag_keyframe+empty_moov"}


def change_one_size(data):
    files.put(data, b"stsz", 4, 1, MANY)


def change_sizes_of_audio(data):
    files.put(data, b"stsz", 4, 1, MANY, nth=1)


def change_run(data):
    files.put(data, b"trun", 4, MANY)


def change_run_without_fields(data):
    files.put(data, b"trun", 0, 1, MANY)


CHANGES = {
    "one size": ({}, change_one_size),
    "sound": ({}, change_sizes_of_audio),
    "run": (PARTS, change_run),
    "run without fields": (PARTS, change_run_without_fields),
}


@pytest.fixture
def video(tmp_path):
    """Write a video with audio, its bytes changed; return its path."""

    def video(change, name="v.mp4", **options):
        whole = files.write(tmp_path / "whole.mp4", audio=files.clicks(0.4, [0.2]), **options)
        return files.changed(whole, tmp_path / name, change)

    return video


@pytest.mark.parametrize("kind", CHANGES)
def test_an_index_that_promises_more_than_the_file_has_is_refused(video, tmp_path, kind):
    container, change = CHANGES[kind]
    path = video(change, container=container)
    assert surplus_samples(path) >= MANY
    says = "its index lists 300000.. samples, more than the file has bytes"
    for read in (probe_video, measure_video):
        with pytest.raises(InvalidInputError, match=says):
            read(path)
    with pytest.raises(InvalidInputError, match=f"{says}; it is damaged"):
        AudioReader(path)
    for suffix in CONTAINERS:
        with pytest.raises(InvalidInputError, match=says):
            remux_video(path, tmp_path / f"o{suffix}", {})
        assert not list(tmp_path.glob("o*"))


@pytest.mark.parametrize("name", ["v.mp4", "v.mov", "f.mp4", "v.mkv", "v.ts", "v.avi"])
def test_no_whole_file_promises_too_much(tmp_path, name):
    audio = files.clicks(0.4, [0.2])
    codec = {"v.mov": "pcm_s16le", "v.avi": "mp3"}.get(name, "aac")
    parts = PARTS if name == "f.mp4" else {}
    path = files.write(tmp_path / name, audio=audio, audio_codec=codec, container=parts)
    assert surplus_samples(path) == 0
    probe_video(path)


def test_counts_are_found_in_boxes_that_are_too_long(video):
    """FFmpeg ends a box where the one around it ends."""

    def change(data):
        change_one_size(data)
        at = data.index(b"moov") - 4
        data[at : at + 4] = struct.pack(">I", 0x7FFFFFFF)

    assert surplus_samples(video(change)) >= MANY


@pytest.mark.parametrize(
    "damage", [b"", b"\0" * 8, b"moov", b"\0\0\0\1moov", b"\0\0\0\x10moov" * 9]
)
def test_counts_of_what_is_no_index(tmp_path, damage):
    (tmp_path / "v.mp4").write_bytes(damage)
    assert surplus_samples(tmp_path / "v.mp4") == 0


def test_audio_without_a_decoder_is_left_out(video, tmp_path):
    def change(data):
        for kind in (b"mp4a", b"esds"):
            at = data.index(kind)
            data[at : at + 4] = b"zzzz"

    path = video(change)
    assert not probe_video(path).has_audio
    assert read_audio_part(path, 0, 0.4) is None
    for suffix in (".mov", ".mkv"):
        remux_video(path, tmp_path / f"o{suffix}", {})
        assert probe_video(tmp_path / f"o{suffix}").num_frames == 10


def test_tables_that_are_cut_in_a_number_are_reported(video, tmp_path):
    """Their offsets cannot be moved."""

    def change(data):
        at = data.index(b"stco")
        size = struct.unpack_from(">I", data, at - 4)[0]
        data[at - 4 : at] = struct.pack(">I", size - 3)

    with pytest.raises(InvalidInputError) as caught:
        remux_video(video(change), tmp_path / "o.mp4", {})
    assert str(caught.value).isprintable()


def test_a_still_that_lasts_for_hours_takes_no_memory_for_them(tmp_path):
    path = files.write(tmp_path / "v.mp4", [0, 180_000], audio=files.clicks(0.2, [0.1]))
    info = probe_video(path)
    tracemalloc.start()
    audio = read_audio_part(path, 0, float(1 / info.frame_rate_hz), info)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert audio.samples.shape[1] <= files.RATE_HZ
    assert peak < 2_000_000


def test_a_packet_of_a_size_that_cannot_be_ends_the_video_and_is_reported_once(
    video, tmp_path, caplog
):
    def change(data):
        at = data.index(b"trun") + 4
        flags, count = struct.unpack_from(">II", data, at)
        assert count > 6
        fields = [flag for flag in (0x100, 0x200, 0x400, 0x800) if flags & flag]
        first = 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4)
        files.put(data, b"trun", first + 4 * (6 * len(fields) + fields.index(0x200)), 0x7FFFFFFF)

    path = video(change, container=PARTS)
    info = probe_video(path)
    assert info.num_frames == 6
    assert files.numbers_of(files.read_frames(path, 0, 6, info)) == list(range(6))
    assert caplog.text.count("it is damaged, and read up to there only") == 1
    with pytest.raises(InvalidInputError, match=r"v\.mp4: cannot be read"):
        remux_video(path, tmp_path / "o.mkv", {})


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", ["v.mkv", "v.ts", "v.flv", "f.mp4"])
def test_a_file_that_was_cut_short_is_read_as_far_as_it_goes(tmp_path, name, share):
    parts = PARTS if name == "f.mp4" else {}
    noise = np.random.default_rng(0).integers(0, 255, (40, 32, 48, 3), np.uint8)
    options = {"codec_options": {"g": "5"}, "container": parts}
    path = files.write(tmp_path / name, range(40), list(noise), **options)
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * share)])
    info = probe_video(path)
    assert 40 * share - 12 <= info.num_frames <= 40 * share + 8


def test_an_audio_packet_of_a_size_that_cannot_be_ends_the_audio(video):
    def change(data):
        at = data.index(b"trun", data.index(b"trun") + 4) + 4
        flags, count = struct.unpack_from(">II", data, at)
        assert count > 12
        fields = [flag for flag in (0x100, 0x200, 0x400, 0x800) if flags & flag]
        first = 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4)
        at += first + 4 * (12 * len(fields) + fields.index(0x200))
        data[at : at + 4] = struct.pack(">I", 0x7FFFFFFF)

    path = video(change, container=PARTS, codec_options={"bf": "0", "crf": "4"})
    audio = read_audio_part(path, 0, 0.4)
    assert files.click_of(audio.samples, audio.rate_hz) == pytest.approx(0.2, abs=0.03)
