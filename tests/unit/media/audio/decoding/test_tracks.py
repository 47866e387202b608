"""The track of several that a player would play."""

from fractions import Fraction

import av
import numpy as np
import pytest

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.audio.probe import AnalysisStream, probe_audio

pytestmark = pytest.mark.cpu

RATE_HZ = 16_000
DEFAULT, COMMENT, IMPAIRED = 0x1, 0x8, 0x100
LEVELS = (0.1, 0.2, 0.3)


def write(path, flags=(0, 0), codec="aac", titles=("", "", "")):
    """Write tracks of a constant tone, each of its own level."""
    time_s = np.arange(RATE_HZ) / RATE_HZ
    with av.open(str(path), "w") as container:
        tracks = []
        for flag, title in zip(flags, titles, strict=False):
            track = container.add_stream(codec, rate=RATE_HZ, layout="mono")
            track.disposition = flag
            if title:
                track.metadata["title"] = title
            tracks.append(track)
        for start in range(0, RATE_HZ, 1024):
            for track, level in zip(tracks, LEVELS, strict=False):
                part = level * np.sin(2 * np.pi * 440 * time_s[start : start + 1024])[None]
                frame = av.AudioFrame.from_ndarray(part.astype(np.float32), "fltp", "mono")
                frame.sample_rate, frame.pts = RATE_HZ, start
                frame.time_base = Fraction(1, RATE_HZ)
                container.mux(track.encode(frame))
        for track in tracks:
            container.mux(track.encode(None))
    return path


def used(path):
    with AudioReader(path) as reader:
        samples = np.concatenate(list(reader.blocks()), axis=1)
    peak = np.percentile(np.abs(samples), 95)
    return min(range(3), key=lambda index: abs(LEVELS[index] - peak)), reader.notes


@pytest.mark.parametrize("name", ["s.mp4", "s.mkv"])
@pytest.mark.parametrize(
    ("flags", "chosen"),
    [((0, DEFAULT), 1), ((DEFAULT, 0), 0), ((DEFAULT, DEFAULT), 0), ((0, 0, DEFAULT), 2)],
)
def test_the_default_track_is_used(tmp_path, name, flags, chosen):
    index, notes = used(write(tmp_path / name, flags))
    assert index == chosen
    assert notes == [
        f"it has {len(flags)} audio tracks; number {chosen + 1} is used, as players do"
    ]


@pytest.mark.parametrize("flag", [COMMENT, IMPAIRED])
def test_a_commentary_is_not_used_first(tmp_path, flag):
    assert used(write(tmp_path / "s.mkv", (DEFAULT | flag, 0)))[0] == 1
    titles = ("Director's Commentary", "Main")
    index, (note,) = used(write(tmp_path / "t.mkv", (0, 0), titles=titles))
    assert index == 1
    assert "number 2 (Main) is used" in note


def test_a_single_track_needs_no_note(tmp_path):
    assert used(write(tmp_path / "s.mp4", (DEFAULT,))) == (0, [])


def test_several_tracks_are_reported_once(tmp_path, caplog):
    info = probe_audio(write(tmp_path / "s.mp4"))
    with AnalysisStream(info) as stream:
        stream.read(0, 1000)
    assert caplog.text.count("2 audio tracks") == 1


@pytest.mark.parametrize("damage", ["no decoder", "no frame can be decoded"])
def test_a_track_that_cannot_be_decoded_is_skipped(tmp_path, damage):
    path = write(tmp_path / "s.mp4", (DEFAULT, DEFAULT))
    data = bytearray(path.read_bytes())
    at = data.index(b"mp4a", data.index(b"soun"))
    if damage == "no decoder":
        data[at : at + 4] = b"apac"
        object_type = data.index(b"\x04\x80\x80\x80", at) + 5
        data[object_type] = 0xE5  # of nothing that is known
    else:
        with av.open(str(path)) as container:
            spans = [(packet.pos, packet.size) for packet in container.demux(audio=0)
                     if packet.size]  # fmt: skip
        for position, size in spans:
            data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    index, notes = used(path)
    assert index == 1
    assert "number 2" in notes[-1]
    assert not any("damaged" in note for note in notes)


def test_a_file_of_tracks_without_decoders_is_refused(tmp_path):
    path = write(tmp_path / "s.mkv", (0, 0))
    path.write_bytes(path.read_bytes().replace(b"A_AAC", b"A_XYZ"))
    with pytest.raises(InvalidInputError, match="not audio that PyAV or libsndfile can read"):
        used(path)
