"""Files whose tags are in another encoding than UTF-8."""

import logging

import av
import numpy as np
import pytest

from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.container import open_container
from flashtalk_core.media.video.reading.measure import measure_video
from flashtalk_core.media.video.reading.reader import probe_video, read_frames_at
from flashtalk_core.media.video.remux import remux_video

pytestmark = pytest.mark.cpu

TITLE = "a title of plain letters"
TAGS = {
    "GBK": "\u4e2d\u6587\u6b4c\u66f2".encode("gbk"),
    "Latin-1": "Caf\u00e9 \u00e0 la carte".encode("latin-1"),
    "cut in a character": "\u4e2d".encode()[:2],
}


def retag(path, tag):
    """Put bytes of the same length in the place of the title."""
    data = path.read_bytes()
    assert TITLE.encode() in data
    path.write_bytes(data.replace(TITLE.encode(), tag.ljust(len(TITLE))))
    return path


@pytest.fixture(params=TAGS)
def tag(request):
    return TAGS[request.param]


@pytest.mark.parametrize(
    ("name", "codec"), [("s.wav", "pcm_s16le"), ("s.mp3", "libmp3lame"), ("s.flac", "flac")]
)
def test_audio_is_read_whatever_its_tags_are(make, tmp_path, tag, name, codec):
    audio = make.voice(16_000, 16_000)[None]
    path = retag(make.encode_audio(tmp_path / name, audio, 16_000, codec, title=TITLE), tag)
    with AudioReader(path) as reader:
        num_read = sum(block.shape[1] for block in reader.blocks())
    assert num_read == 16_000


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_video_is_read_and_copied_whatever_its_tags_are(make, tmp_path, caplog, tag, suffix):
    audio = make.encode_audio(tmp_path / "s.wav", make.clicks(16_000, [8_000]), 16_000)
    make.write_video(tmp_path / "v.mp4", probe_audio(audio), metadata={"title": TITLE})
    path = retag(tmp_path / "v.mp4", tag)
    with caplog.at_level(logging.WARNING):
        info = probe_video(path)
        assert info.num_frames == 25
        assert read_frames_at(path, [0, 1], info).shape == (2, 32, 32, 3)
        assert measure_video(path).is_exact
        remux_video(path, tmp_path / f"w{suffix}", {"comment": "ours"})
    with open_container(tmp_path / f"w{suffix}") as copy:
        texts = {name.lower(): text for name, text in copy.metadata.items()}
        assert texts["comment"] == "ours"
    assert not caplog.records


def test_tags_of_a_track_do_not_matter_either(tmp_path):
    path = tmp_path / "s.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8_000, layout="mono")
        stream.metadata["title"] = TITLE
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate, frame.pts = 8_000, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert probe_audio(retag(path, TAGS["GBK"])).num_samples == 800
