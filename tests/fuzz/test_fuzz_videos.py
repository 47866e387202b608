"""Damaged videos by the thousand: what is not read, or not copied, is refused in one line."""

import logging

import numpy as np
import pytest

from flashtalk_core.errors import FlashTalkError
from flashtalk_core.media.isobmff.counts import surplus_samples
from flashtalk_core.media.video.reading.reader import probe_video, read_audio_part, read_frames_at
from flashtalk_core.media.video.remux import CONTAINERS, remux_video
from tests.unit.media.video.reading import video_files as files

from .mutate import cases, mutated, run

pytestmark = pytest.mark.manual

LIMIT_GB = 0.5


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Small videos of all containers and kinds, by name."""
    folder = tmp_path_factory.mktemp("videos")
    audio = files.clicks(0.5, [0.2])
    parts = {"movflags": "frag_keyframe+empty_moov"}
    times = np.cumsum([0, *[1, 3, 2] * 3]).tolist()
    plain = files.write(folder / "a.mp4", audio=audio)
    files.write(folder / "b.mp4", times, rate=50, codec_options={"bf": "2", "g": "5"})
    files.write(folder / "c.mp4", audio=audio, container=parts)
    files.write(folder / "d.mov", audio=audio, audio_codec="pcm_s16le")
    files.write(folder / "e.mkv", audio=audio, audio_at_s=0.2)
    files.write(folder / "f.webm", codec="libvpx", audio=audio, audio_codec="libopus")
    files.write(folder / "g.avi", codec="mpeg4", audio=audio, audio_codec="mp3")
    files.write(folder / "h.ts", audio=audio)
    files.write(folder / "i.flv", audio=audio)
    files.write(folder / "j.mpg", codec="mpeg2video", audio=audio, audio_codec="mp2")
    files.write(folder / "k.mov", codec="prores_ks", pix_fmt="yuv422p10le", codec_options={})
    files.write(folder / "l.mov", codec="mjpeg", pix_fmt="yuvj420p", codec_options={})
    files.turned(plain, folder / "m.mp4", (0, 1, -1, 0))
    return [path.read_bytes() for path in sorted(folder.iterdir())]


@pytest.fixture
def fuzz(seeds, tmp_path):
    """Let a reader take damaged videos, each as the same file."""
    logging.getLogger("flashtalk_core").setLevel(logging.CRITICAL)
    path = tmp_path / "video"

    def over(name, read, number):
        def take(data):
            path.write_bytes(data)
            try:
                read(path)
            except Exception:
                (tmp_path / "last").write_bytes(data)
                raise

        count = run(name, take, cases(number, lambda rng: mutated(rng, seeds)), (FlashTalkError,))
        assert not count.uncaught, str(count)
        assert min(count.accepted, count.refused) > 0

    yield over
    logging.getLogger("flashtalk_core").setLevel(logging.NOTSET)


def test_frames_and_audio(fuzz):
    def read(path):
        info = probe_video(path)
        timeline = info.timeline
        for start_s in (0.0, 0.2, float(timeline.duration_s) - 0.05):
            start = timeline.start_of(max(0.0, start_s))
            number = min(3, timeline.num_steps(start))
            if number:
                images = read_frames_at(path, timeline.frames_at(start, number), info, LIMIT_GB)
                assert images.shape == (number, *info.size_px, 3)
        read_audio_part(path, 0.0, float(1 / info.frame_rate_hz), info, LIMIT_GB)

    fuzz("video reader", read, 4_000)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_remux(fuzz, tmp_path, suffix):
    fuzz(f"remux to {suffix}", lambda path: remux_video(path, tmp_path / f"o{suffix}", {}), 2_000)


def test_counts_of_an_index(seeds, tmp_path):
    def read(data):
        (tmp_path / "video").write_bytes(data)
        surplus_samples(tmp_path / "video")

    count = run("counts", read, cases(20_000, lambda rng: mutated(rng, seeds)), ())
    assert not count.uncaught, str(count)
