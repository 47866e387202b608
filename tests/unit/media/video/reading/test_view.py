"""Orientation, width and size of shown frames, and tracks that are no video to be shown."""

import struct
import zlib
from fractions import Fraction

import av
import numpy as np
import pytest

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.video.reading.reader import probe_video, read_audio_part

from . import video_files as files

pytestmark = pytest.mark.cpu

# What a player does for the matrices of a display, as numpy says it.
TURNS = {
    (1, 0, 0, 1): lambda image: image,
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),
    (-1, 0, 0, -1): lambda image: np.rot90(image, 2),
    (0, -1, 1, 0): lambda image: np.rot90(image, 1),
    (-1, 0, 0, 1): lambda image: image[:, ::-1],
    (1, 0, 0, -1): lambda image: image[::-1],
    (0, 1, 1, 0): lambda image: image.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda image: np.rot90(image, 2).transpose(1, 0, 2),
    (0.7, 0.7, -0.7, 0.7): lambda image: image,
    (0, 0, 0, 0): lambda image: image,
}


def first(path):
    return files.read_frames(path, 0, 1)[0].numpy()


def same(found, wanted):
    """Whether two images agree away from their borders, within 12 levels."""
    assert found.shape == wanted.shape
    height, width = found.shape[:2]
    rows = [height // 4, height * 3 // 4]
    columns = [width // 4, width * 3 // 4]
    parts = np.ix_(rows, columns)
    return np.abs(found[parts] * 255 - wanted[parts]).max() <= 12


@pytest.fixture(scope="module")
def upright(tmp_path_factory):
    path = tmp_path_factory.mktemp("view") / "v.mp4"
    return files.write(path, range(3), [files.quarters()] * 3)


@pytest.mark.parametrize("matrix", TURNS)
def test_frames_are_turned_and_flipped_as_the_display_matrix_says(upright, tmp_path, matrix):
    path = files.turned(upright, tmp_path / "t.mp4", matrix)
    wanted = TURNS[matrix](files.quarters())
    assert probe_video(path).size_px == wanted.shape[:2]
    assert same(first(path), wanted)


@pytest.mark.parametrize(
    ("aspect", "size_px"),
    [((1, 1), (32, 48)), ((4, 3), (32, 64)), ((8, 9), (36, 48)), ((1, 65_535), (32, 48))],
)
def test_pixels_that_are_not_square_are_made_so(tmp_path, aspect, size_px):
    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(*aspect)

    path = files.write(tmp_path / "v.mkv", range(3), [files.quarters()] * 3, prepare=prepare)
    assert probe_video(path).size_px == size_px
    assert first(path).shape[:2] == size_px


def test_turned_pixels_get_wider_before_they_are_turned(tmp_path):
    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    wide = files.write(tmp_path / "w.mp4", range(3), [files.quarters()] * 3, prepare=prepare)
    path = files.turned(wide, tmp_path / "v.mp4", (0, 1, -1, 0))
    assert probe_video(path).size_px == (64, 32)
    assert same(first(path), np.rot90(files.quarters((64, 32)), -1))


@pytest.mark.parametrize("size", [(47, 31), (33, 17), (16, 35)])
def test_odd_sizes(tmp_path, size):
    path = files.write(
        tmp_path / "v.mkv", range(2), [files.quarters(size)] * 2, codec="ffv1", pix_fmt="yuv444p",
        codec_options={},
    )  # fmt: skip
    assert probe_video(path).size_px == (size[1], size[0])
    assert same(first(path), files.quarters(size))


def test_what_the_codec_crops_is_not_shown(tmp_path):
    size = 40, 24  # coded as 48 x 32
    path = files.write(tmp_path / "v.mp4", range(2), [files.quarters(size)] * 2)
    assert probe_video(path).size_px == (24, 40)
    assert same(first(path), files.quarters(size))


def test_frames_that_change_their_size_are_scaled_to_the_first(tmp_path):
    small = files.write(tmp_path / "a.ts", range(5), [files.quarters()] * 5)
    large = files.write(tmp_path / "b.ts", range(5), [files.quarters((96, 80))] * 5, video_at_s=0.2)
    path = tmp_path / "v.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    info = probe_video(path)
    assert (info.num_frames, info.size_px) == (10, (32, 48))
    assert all(same(frame, files.quarters()) for frame in files.read_frames(path, 0, 10).numpy())


def lose(path, at, size, target):
    """Write a file without what decodes the packet at a byte."""
    data = bytearray(path.read_bytes())
    data[at : at + size] = bytes(size)
    target.write_bytes(data)
    return target


def test_a_frame_that_cannot_be_decoded_is_the_one_before(tmp_path, caplog):
    whole = files.write(
        tmp_path / "w.mov", range(8), codec="png", pix_fmt="rgb24", codec_options={}
    )
    with av.open(str(whole)) as container:
        packet = [each for each in container.demux(video=0) if each.size][4]
        path = lose(whole, packet.pos, packet.size, tmp_path / "v.mov")
    assert files.numbers_of(files.read_frames(path, 0, 8)) == [0, 1, 2, 3, 3, 5, 6, 7]
    assert "1 of 8 frames cannot be decoded; the one before stays" in caplog.text
    assert files.numbers_of(files.read_frames(path, 4, 2)) == [3, 5]


def test_a_video_none_of_whose_frames_can_be_decoded_is_refused(tmp_path):
    whole = files.write(
        tmp_path / "w.mov", range(3), codec="png", pix_fmt="rgb24", codec_options={}
    )
    with av.open(str(whole)) as container:
        spans = [(each.pos, each.size) for each in container.demux(video=0) if each.size]
    for at, size in spans:
        whole = lose(whole, at, size, tmp_path / "v.mov")
    with pytest.raises(InvalidInputError, match="none of its frames can be decoded: it is damaged"):
        probe_video(whole)


@pytest.mark.parametrize("kind", ["cover", "undecodable"])
def test_the_track_that_a_player_shows_is_taken(tmp_path, kind):
    path = two_tracks(tmp_path, kind)
    info = probe_video(path)
    assert (info.num_frames, info.size_px) == (6, (32, 48))
    assert files.numbers_of(files.read_frames(path, 2, 2)) == [2, 3]


def two_tracks(folder, kind):
    """Write a file whose first video track is not the one that is shown."""
    with av.open(str(folder / "w.mp4"), "w") as container:
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        track = container.add_stream("libx264", rate=25, options={"crf": "4"})
        track.width, track.height, track.pix_fmt = *files.SIZE, "yuv420p"
        if kind == "cover":
            cover.disposition = av.stream.Disposition.attached_pic.value
        frame = av.VideoFrame.from_ndarray(files.quarters((64, 64)), format="rgb24")
        container.mux(cover.encode(frame) + cover.encode(None))
        for number in range(6):
            frame = av.VideoFrame.from_ndarray(files.image(number), format="rgb24")
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    if kind == "cover":
        return folder / "w.mp4"

    def rename(data):
        at = data.index(b"mp4v", data.index(b"stsd"))
        data[at : at + 4] = b"zzzz"
        at = data.index(b"esds", at)
        data[at : at + 4] = b"zzzz"

    return files.changed(folder / "w.mp4", folder / "v.mp4", rename)


def test_a_cover_is_no_video(tmp_path):
    with av.open(str(tmp_path / "s.mp3"), "w") as container:
        track = container.add_stream("mp3", rate=files.RATE_HZ, layout="mono")
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic.value
        frame = av.VideoFrame.from_ndarray(files.quarters((64, 64)), format="rgb24")
        container.mux(cover.encode(frame) + cover.encode(None))
        audio = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.float32), "fltp", "mono")
        audio.sample_rate = files.RATE_HZ
        container.mux(track.encode(audio))
        container.mux(track.encode(None))
    with pytest.raises(InvalidInputError, match=r"s\.mp3: no video track in it"):
        probe_video(tmp_path / "s.mp3")


def test_frames_larger_than_any_are_refused_before_they_are_decoded(tmp_path):
    path = files.write(tmp_path / "w.mov", range(2), codec="png", pix_fmt="rgb24", codec_options={})

    def enlarge(data):
        at = data.find(b"IHDR")
        while at >= 0:
            data[at + 4 : at + 12] = struct.pack(">2I", 30_000, 30_000)
            data[at + 17 : at + 21] = zlib.crc32(data[at : at + 17]).to_bytes(4, "big")
            at = data.find(b"IHDR", at + 1)

    path = files.changed(path, tmp_path / "v.mov", enlarge)
    with pytest.raises(InvalidInputError, match="or they have more than 67108864") as caught:
        probe_video(path)
    assert str(caught.value).isprintable()


def test_more_memory_than_the_limit_is_refused_before_it_is_asked_for(tmp_path):
    path = files.write(tmp_path / "v.mp4", audio=files.clicks(0.4, []))
    with pytest.raises(InvalidInputError) as caught:
        files.read_frames(path, 0, 10, limit_gb=1e-5)
    assert str(caught.value).endswith(
        "10 frames of 48x32 take 0.0 GB of memory, the limit is 1e-05 GB; read fewer frames"
    )
    with pytest.raises(InvalidInputError, match="read a shorter part"):
        read_audio_part(path, 0, 0.4, limit_gb=1e-5)
