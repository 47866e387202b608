"""Damaged MP4s: partial files that another program changed, and videos that are copied."""

import numpy as np
import pytest

from flashtalk_core.errors import FlashTalkError
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.media.isobmff.defragment import count_fragmented_frames, write_plain_mp4
from flashtalk_core.media.isobmff.metadata import is_plain_mp4, replace_metadata
from flashtalk_core.media.video.remux import CONTAINERS, remux_video
from flashtalk_core.media.video.writer import Mp4Writer

from .mutate import cases, mutated, run

pytestmark = pytest.mark.manual

RATE_HZ = 16_000
REFUSALS = (FlashTalkError,)


@pytest.fixture
def videos(tmp_path):
    """A partial file and a finished one."""
    samples = np.random.default_rng(0).standard_normal((1, RATE_HZ)) * 0.1
    audio = probe_audio(AudioArray("noise", samples.astype(np.float32), RATE_HZ))
    with Mp4Writer(tmp_path / "seed.mp4", (32, 32), audio) as writer:
        writer.write(np.zeros((25, 32, 32, 3), np.uint8))
        partial = writer.output.partial.read_bytes()
    return partial, (tmp_path / "seed.mp4").read_bytes()


def heads(rng, videos, at):
    """Return a video damaged where its index is: media data have no structure to get wrong."""
    data = videos[at]
    cut = data.find(b"mdat") + 400
    return mutated(rng, [data[:cut]]) + data[cut:]


def test_partial_files(tmp_path, videos):
    path = tmp_path / "v.partial.mp4"
    durations = {b"vide": RATE_HZ, b"soun": RATE_HZ}

    def read(content):
        path.write_bytes(content)
        count_fragmented_frames(path)
        write_plain_mp4(path, tmp_path / "w.mp4", RATE_HZ, durations)

    count = run("partial files", read, cases(20_000, lambda rng: heads(rng, videos, 0)), REFUSALS)
    assert not count.uncaught, str(count)


def test_other_metadata(tmp_path, videos):
    path = tmp_path / "v.mp4"

    def read(content):
        path.write_bytes(content)
        is_plain_mp4(path)
        replace_metadata(path, tmp_path / "w.mp4", {"comment": "new"})

    count = run("plain indexes", read, cases(20_000, lambda rng: heads(rng, videos, 1)), REFUSALS)
    assert not count.uncaught, str(count)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_damaged_videos_are_copied_or_refused(tmp_path, videos, suffix):
    path = tmp_path / "v.mp4"

    def read(content):
        path.write_bytes(content)
        remux_video(path, tmp_path / f"w{suffix}", {"comment": "new"})

    make = lambda rng: heads(rng, videos, rng.randrange(2))  # noqa: E731
    count = run(f"copies to {suffix}", read, cases(2_000, make), REFUSALS)
    assert not count.uncaught, str(count)
    assert not list(tmp_path.glob(".*"))
