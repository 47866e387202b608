import errno
import itertools
import struct
import subprocess
import sys
from contextlib import suppress
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from flashtalk_core.errors import InvalidInputError, OutputError
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.isobmff.boxes import (
    BoxSpan,
    box,
    child,
    file_boxes,
    full_box,
    read_payload,
)
from flashtalk_core.media.isobmff.metadata import _new_index, is_plain_mp4, replace_metadata
from flashtalk_core.media.video.reading.measure import measure_video
from flashtalk_core.media.video.remux import CONTAINERS, remux_video
from flashtalk_core.media.video.writer import Mp4Writer

pytestmark = pytest.mark.cpu

TEXTS = {"comment": "second", "workflow": '{"a": "\u4f60"' + " " * 1_000_000 + "}", "prompt": "{}"}
CHILD = """
import resource, sys
from pathlib import Path
from flashtalk_core.errors import OutputError
from flashtalk_core.media.video.remux import remux_video

limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    remux_video(Path(sys.argv[1]), Path(sys.argv[2]), {})
except OutputError as error:
    print(error)
"""


@pytest.fixture
def render(make, tmp_path):
    """A rendered video with a comment and clicks at 0.5 and 3.9 s."""

    def render(rate_hz=16_000, num_samples=None):
        clicks = make.clicks(num_samples or 4 * rate_hz + 1, [rate_hz // 2, rate_hz * 39 // 10], 2)
        soundfile.write(tmp_path / "s.wav", clicks.T, rate_hz, "FLOAT")
        info = probe_audio(tmp_path / "s.wav")
        metadata = {"comment": "first", "other": "x"}
        return make.write_video(tmp_path / "v.mp4", info, metadata=metadata).output.final

    return render


def measure(path):
    return measure_video(path, click_times_s=[0.5, 3.9])


def packets(path):
    with av.open(str(path)) as container:
        return [(p.stream.index, p.pts, p.dts, p.is_keyframe, bytes(p)) for p in container.demux()]


def decoded(path):
    with av.open(str(path)) as container:
        images = [frame.to_ndarray() for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        frames = [frame for frame in container.decode(audio=0) if frame.pts >= 0]
    assert frames[0].pts == 0
    return np.stack(images), np.concatenate([frame.to_ndarray() for frame in frames], axis=1)


def texts(path):
    with av.open(str(path)) as container:
        return dict(container.metadata)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
def test_mp4_stays_exact_to_the_sample(render, tmp_path, rate_hz):
    source, target = render(rate_hz), tmp_path / "w.mp4"
    remux_video(source, target, TEXTS)
    assert measure(target) == measure(source)
    assert measure(target).num_samples == 4 * rate_hz + 1
    assert packets(target) == packets(source)
    for pair in zip(decoded(source), decoded(target), strict=True):
        assert np.array_equal(*pair)
    found = texts(target)
    assert {key: found[key] for key in TEXTS} == TEXTS
    assert "other" not in found
    with target.open("rb") as file:
        assert [span.kind for span in file_boxes(file)] == [b"ftyp", b"moov", b"mdat"]


def test_metadata_there_and_back_gives_the_same_file(render, tmp_path):
    source = render()
    remux_video(source, tmp_path / "a.mp4", {"comment": "same"})
    remux_video(tmp_path / "a.mp4", tmp_path / "b.mp4", TEXTS)
    remux_video(tmp_path / "b.mp4", tmp_path / "c.mp4", {"comment": "same"})
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "c.mp4").read_bytes()


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
def test_mov_stays_exact_to_the_sample(render, tmp_path, rate_hz):
    source, target = render(rate_hz), tmp_path / "w.mov"
    remux_video(source, target, TEXTS)
    assert measure(target) == measure(source)
    for pair in zip(decoded(source), decoded(target), strict=True):
        assert np.array_equal(*pair)
    found = texts(target)
    assert {key: found[key] for key in TEXTS} == TEXTS
    with target.open("rb") as file:
        kinds = [span.kind for span in file_boxes(file)]
    assert kinds.index(b"moov") < kinds.index(b"mdat")


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
def test_mkv_keeps_frames_times_and_sync(render, tmp_path, rate_hz):
    source, target = render(rate_hz), tmp_path / "w.mkv"
    remux_video(source, target, TEXTS)
    before, after = measure(source), measure(target)
    assert (after.num_frames, after.is_exact, after.rate_hz) == (101, True, rate_hz)
    assert after.click_offsets_s == before.click_offsets_s
    # The padding of the last audio packet stays, at most one AAC frame.
    assert 0 <= after.num_samples - before.num_samples < 1024
    for old, new in zip(decoded(source), decoded(target), strict=True):
        assert np.array_equal(old, new)
    found = texts(target)
    assert {key: found[key.upper()] for key in TEXTS} == TEXTS


@pytest.mark.parametrize("path", list(itertools.product([".mkv", ".mov", ".mp4"], repeat=2)))
def test_from_any_container_to_any_other(render, tmp_path, path):
    first, last = (tmp_path / f"{number}{suffix}" for number, suffix in enumerate(path))
    source = render(48_000)
    remux_video(source, first, {})
    remux_video(first, last, {})
    found = measure(last)
    assert found.num_frames == 101
    assert abs(found.num_samples - 192_001) < 1024
    # Matroska's whole milliseconds.
    assert max(map(abs, found.click_offsets_s)) < 2e-3
    with av.open(str(last)) as container:
        times_s = [float(frame.pts * frame.time_base) for frame in container.decode(audio=0)]
    assert min(time_s for time_s in times_s if time_s >= 0) < 2e-3


def test_partial_file_becomes_a_plain_one(make, tmp_path):
    soundfile.write(tmp_path / "s.wav", make.clicks(80_000, [8_000, 62_400])[0], 16_000)
    writer = Mp4Writer(tmp_path / "v.mp4", (32, 32), probe_audio(tmp_path / "s.wav"))
    with pytest.raises(AssertionError, match="110 of 125"), writer:
        writer.write(np.zeros((110, 32, 32, 3), np.uint8))
    assert not is_plain_mp4(writer.output.partial)
    remux_video(writer.output.partial, tmp_path / "w.mp4", TEXTS)
    assert is_plain_mp4(tmp_path / "w.mp4")
    found = measure(tmp_path / "w.mp4")
    assert (found.num_frames, found.is_exact) == (110, True)
    assert max(map(abs, found.click_offsets_s)) < 1e-3
    assert texts(tmp_path / "w.mp4")["workflow"] == TEXTS["workflow"]


def test_chunk_offsets_behind_the_index_move_beyond_4_gib():
    growing = {"workflow": "x" * 1000}
    entries = {
        b"stco": (">I", [100, 700, 2**32 - 100]),
        b"co64": (">Q", [100, 700, 2**32 - 100, 2**40]),
    }
    for kind, (code, offsets) in entries.items():
        table = struct.pack(f">I{len(offsets)}{code[1]}", len(offsets), *offsets)
        inner = full_box(kind, 0, 0, table)
        for around in (b"stbl", b"minf", b"mdia", b"trak"):
            inner = box(around, inner)
        span = BoxSpan(b"moov", 500, 508, 508 + len(inner))
        index = _new_index(inner, span, growing)
        growth = len(index) - (span.stop - span.start)
        assert growth > 1000
        found = child(index, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"co64")
        assert struct.unpack(f">2I{len(offsets)}Q", found) == (
            0, len(offsets), 100, *(offset + growth for offset in offsets[1:])
        )  # fmt: skip


def test_index_behind_the_media_data(render, tmp_path):
    source = render()
    remux_video(source, tmp_path / "w.mkv", {})
    with (
        av.open(str(tmp_path / "w.mkv")) as reader,
        av.open(str(tmp_path / "late.mp4"), "w") as writer,
    ):
        streams = [
            writer.add_stream_from_template(stream, opaque=True) for stream in reader.streams
        ]
        for packet in reader.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                writer.mux(packet)
    remux_video(tmp_path / "late.mp4", tmp_path / "w.mp4", TEXTS)
    assert packets(tmp_path / "w.mp4") == packets(tmp_path / "late.mp4")
    assert texts(tmp_path / "w.mp4")["workflow"] == TEXTS["workflow"]
    with (tmp_path / "w.mp4").open("rb") as file:
        spans = list(file_boxes(file))
        assert spans[-1].kind == b"moov"
        index = read_payload(file, spans[-1])
    assert b"udta" in index


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_older_target_is_replaced_and_nothing_else_left(render, tmp_path, suffix):
    source, target = render(), tmp_path / f"w{suffix}"
    target.write_bytes(b"older")
    remux_video(source, target, {"comment": "new"})
    assert "new" in texts(target).values()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["s.wav", "v.mp4", target.name])


def test_source_may_be_the_target(render):
    source = render()
    before = measure(source)
    remux_video(source, source, TEXTS)
    assert measure(source) == before
    assert texts(source)["comment"] == "second"


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a matter of POSIX")
@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.7])
def test_full_disk_is_reported_in_one_line_and_leaves_nothing(render, tmp_path, suffix, share):
    source, target = render(48_000), tmp_path / f"w{suffix}"
    target.write_bytes(b"older")
    limit = str(int(source.stat().st_size * share))
    command = [sys.executable, "-c", CHILD, source, target, limit]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert child.stdout.startswith(f"output {target}: cannot be written, "), child.stderr
    assert child.stdout.count("\n") == 1
    assert "ulimit" in child.stdout
    assert target.read_bytes() == b"older"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["s.wav", "v.mp4", target.name])


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_missing_folder(render, tmp_path, suffix):
    with pytest.raises(OutputError, match=r"no folder .*; create it first"):
        remux_video(render(), tmp_path / "none" / f"w{suffix}", {})


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_what_is_no_video(render, tmp_path, suffix):
    render()
    (tmp_path / "text.mp4").write_bytes(b"hello\n" * 99)
    for name in ("none.mp4", "text.mp4", "s.wav"):
        with pytest.raises(InvalidInputError, match=f"video .*{name}") as caught:
            remux_video(tmp_path / name, tmp_path / f"w{suffix}", {})
        assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.wav", "text.mp4", "v.mp4"]


def test_unknown_container(render, tmp_path):
    with pytest.raises(InvalidInputError, match=r"'.avi' is not written; use a name in .mp4, "):
        remux_video(render(), tmp_path / "w.avi", {})


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_video_without_audio(tmp_path, suffix):
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.width = stream.height = 32
        for index in range(30):
            frame = av.VideoFrame(32, 32, "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    remux_video(tmp_path / "v.mp4", tmp_path / f"w{suffix}", {"comment": "silent"})
    with av.open(str(tmp_path / f"w{suffix}")) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert times == [Fraction(index, 25) for index in range(30)]


def test_fault_that_is_no_full_disk(render, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    source = render()
    monkeypatch.setattr("flashtalk_core.media.video.remux.replace_metadata", fail)
    with pytest.raises(OutputError, match="read-only file system; choose a folder on a disk"):
        remux_video(source, tmp_path / "w.mp4", {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.wav", "v.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes of POSIX")
@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_link_is_written_through_and_permissions_stay(render, tmp_path, suffix):
    source = render()
    target, link = tmp_path / f"real{suffix}", tmp_path / f"link{suffix}"
    target.write_bytes(b"older")
    target.chmod(0o640)
    link.symlink_to(target.name)
    remux_video(source, link, {})
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert measure(target).num_frames == measure(source).num_frames


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_name_of_a_file_on_the_way_to_another_video(render, tmp_path, suffix):
    with pytest.raises(OutputError, match=r"leave '\.partial' out of the name"):
        remux_video(render(), tmp_path / f"w.partial{suffix}", {})


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("damage", ["co64", "stsz", "tkhd", "stsd", "moov"])
def test_a_source_with_a_damaged_index_is_the_source_s_fault(render, tmp_path, suffix, damage):
    """Or is copied as far as FFmpeg reads it; the error never names the target."""
    source = render()
    data = bytearray(source.read_bytes())
    at = data.index(damage.encode()) - 4
    for size in (9, 3, 1 << 30):
        damaged = data.copy()
        damaged[at : at + 4] = size.to_bytes(4, "big")
        damaged[at + 12 : at + 60] = bytes(48)
        source.write_bytes(damaged)
        with suppress(InvalidInputError):
            remux_video(source, tmp_path / f"w{suffix}", {"comment": "new"})
        assert not list(tmp_path.glob(".*"))


def test_boxes_without_end_in_each_other(tmp_path):
    moov = box(b"stts", bytes(8))
    for _ in range(3000):
        moov = box(b"trak", moov)
    (tmp_path / "v.mp4").write_bytes(box(b"ftyp", b"isom", bytes(4)) + box(b"moov", moov))
    with pytest.raises(InvalidInputError, match="its index is damaged"):
        replace_metadata(tmp_path / "v.mp4", tmp_path / "w.mp4", {})


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_of_several_audio_tracks_the_one_that_players_play_is_copied(tmp_path, suffix):
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        image = container.add_stream("libx264", rate=25)
        image.width = image.height = 32
        audio_inputs = [container.add_stream("aac", rate=16_000, layout=name)
                  for name in ("mono", "stereo")]  # fmt: skip
        audio_inputs[0].disposition, audio_inputs[1].disposition = 0, 0x1
        container.mux(image.encode(av.VideoFrame(32, 32, "yuv420p")))
        for audio, channels in zip(audio_inputs, (1, 2), strict=True):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((channels, 1024), np.float32), "fltp", audio.layout.name
            )
            frame.sample_rate = 16_000
            container.mux(audio.encode(frame))
        for stream in (image, *audio_inputs):
            container.mux(stream.encode(None))
    remux_video(tmp_path / "v.mkv", tmp_path / f"w{suffix}", {})
    with av.open(str(tmp_path / f"w{suffix}")) as container:
        assert [audio.layout.name for audio in container.streams.audio] == ["stereo"]
