"""Frames to Images of videos from elsewhere: what a player shows and plays at that time."""

from fractions import Fraction
from io import BytesIO

import numpy as np
import pytest
import torch

from tests.unit.media.video.reading import video_files as files

pytestmark = pytest.mark.cpu

UNEVEN = [0, 1, 2, 3, 4, 5, 7, 9, 11, 20]
"""Ticks of 1/25 s."""
LEEWAY_S = 0.003
"""What times in whole milliseconds, and the ringing of an encoder, move a click by."""


@pytest.fixture
def read(pack):
    def read(path, start=0.0, num_frames=0, limit_gb=8.0, **edits):
        video = pack["comfy_api.latest"].InputImpl.VideoFromFile(
            path if isinstance(path, BytesIO) else str(path), **edits
        )
        given = {"start": start, "num_frames": num_frames, "limit_gb": limit_gb}
        return pack.run("FramesToImages", video=video, **given).args

    return read


def click_of(audio):
    return files.click_of(audio["waveform"], audio["sample_rate"])


@pytest.mark.parametrize("name", ["v.mp4", "v.mov", "v.mkv", "v.ts"])
@pytest.mark.parametrize("late_s", [0, 0.3])
def test_audio_that_starts_late_stays_in_step(read, tmp_path, name, late_s):
    path = files.write(
        tmp_path / name, range(30), audio=files.clicks(0.8, [0.5]), audio_at_s=late_s
    )
    images, audio, fps = read(path)
    assert len(images) == 30
    assert audio["waveform"].shape[-1] == round(len(images) / fps * files.RATE_HZ)
    # A transport stream keeps the encoder's delay.
    slack = 0.025 if name in ("v.ts", "v.mkv") else LEEWAY_S
    assert click_of(audio) == pytest.approx(0.5 + late_s, abs=slack)
    part = read(path, start=0.43, num_frames=15)
    assert files.numbers_of(part[0])[1:3] == [11, 12]
    assert click_of(part[1]) == pytest.approx(0.1 + late_s, abs=slack + 0.04)


def test_audio_that_ends_early_is_followed_by_silence(read, tmp_path):
    path = files.write(tmp_path / "v.mp4", range(30), audio=files.clicks(0.4, [0.1]))
    audio = read(path, start=0.2)[1]
    assert audio["waveform"].shape[-1] == files.RATE_HZ
    assert not audio["waveform"][..., round(0.3 * files.RATE_HZ) :].any()


def test_audio_that_lasts_longer_ends_with_the_video(read, tmp_path):
    images, audio, _ = read(files.write(tmp_path / "v.mp4", audio=files.clicks(3, [0.1])))
    assert len(images) == 10
    assert audio["waveform"].shape[-1] == round(0.4 * files.RATE_HZ)


def test_a_video_that_starts_late_is_its_first_frame_until_then(read, tmp_path):
    written_audio = files.clicks(1, [0.3])
    path = files.write(tmp_path / "v.mp4", audio=written_audio, video_at_s=0.2)
    images, audio, _ = read(path)
    assert files.numbers_of(images) == [0] * 5 + list(range(10))
    assert click_of(audio) == pytest.approx(0.3, abs=LEEWAY_S)


def test_without_an_audio_track_there_is_no_audio(read, tmp_path):
    assert read(files.write(tmp_path / "v.mp4"))[1] is None


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
@pytest.mark.parametrize("start", [0.0, 0.09, 0.2, 0.3, 0.5])
def test_uneven_frames_are_those_shown_at_even_steps(read, tmp_path, name, start):
    written_audio = files.clicks(1, [0.6])
    path = files.write(
        tmp_path / name, UNEVEN, audio=written_audio, codec_options={"bf": "0", "crf": "4"}
    )
    images, audio, fps = read(path, start, num_frames=8)
    found = files.numbers_of(images)
    times = [start + k / fps for k in range(8)]
    shown = [max(0, sum(t / 25 <= time + 5e-4 for t in UNEVEN) - 1) for time in times]
    assert found == shown
    if start + 8 / fps > 0.65:
        assert click_of(audio) == pytest.approx(0.6 - start, abs=LEEWAY_S)


@pytest.mark.parametrize(("start", "number"), [(0.08, 2), (0.09, 2), (0.119, 2), (0.12, 3)])
def test_a_time_between_frames_shows_the_earlier_one(read, tmp_path, start, number):
    path = files.write(tmp_path / "v.mp4")
    assert files.numbers_of(read(path, start, num_frames=1)[0]) == [number]


@pytest.mark.parametrize("kind", ["file", "bytes"])
def test_a_trim_of_a_turned_video_whose_audio_is_late(read, tmp_path, kind):
    written_audio = files.clicks(0.8, [0.5])
    plain = files.write(tmp_path / "w.mp4", range(30), audio=written_audio, audio_at_s=0.2)
    path = files.turned(plain, tmp_path / "v.mp4", (0, 1, -1, 0))
    source = BytesIO(path.read_bytes()) if kind == "bytes" else path
    images, audio, _ = read(source, start=0.08, start_time=0.4, duration=0.6)
    assert images.shape == (13, 48, 32, 3)
    upright = images.transpose(1, 2).flip(2)  # back on its side
    numbers = files.numbers_of(torch.rot90(images, 1, (1, 2)))
    assert upright.shape == (13, 32, 48, 3)
    assert numbers == list(range(12, 25))
    assert click_of(audio) == pytest.approx(0.7 - 0.48, abs=LEEWAY_S)


def test_a_crop_of_a_video_with_uneven_frames_and_late_audio(read, tmp_path):
    written_audio = files.clicks(0.5, [0.2])
    path = files.write(tmp_path / "v.mp4", UNEVEN, audio=written_audio, audio_at_s=0.2)
    images, audio, fps = read(path, start=0.2, num_frames=8, crop=(0, 8, 48, 16))
    assert images.shape == (8, 16, 48, 3)
    times = [Fraction(1, 5) + Fraction(k, 25) for k in range(8)]
    shown = [sum(Fraction(t, 25) <= time for t in UNEVEN) - 1 for time in times]
    assert (files.numbers_of(images), fps) == (shown, 25)
    assert click_of(audio) == pytest.approx(0.2, abs=LEEWAY_S)


def test_a_video_in_memory_whose_audio_is_over_gets_silence(pack, tmp_path):
    api = pack["comfy_api.latest"]
    written_audio = {"waveform": torch.ones(1, 1, 4_800), "sample_rate": 48_000}
    components = api.Types.VideoComponents(torch.zeros(10, 8, 8, 3), written_audio, Fraction(25))
    video = api.InputImpl.VideoFromComponents(components)
    audio = pack.run("FramesToImages", video=video, start=0.04).args[1]
    assert audio["waveform"].shape == (1, 1, 17_280)
    assert audio["waveform"].sum() == 4_800 - 1_920


def test_one_frame_of_a_still_of_hours_brings_only_its_own_audio(read, tmp_path):
    """And all of it is refused, audio included."""
    times = [0, 2 * 3600 * 25 - 1]
    path = files.write(tmp_path / "v.mp4", times, audio=files.clicks(0.2, [0.1]))
    images, audio, _ = read(path, num_frames=1, limit_gb=0.1)
    assert len(images) == 1
    assert audio["waveform"].shape[-1] <= files.RATE_HZ
    with pytest.raises(ValueError, match="with their audio, they take") as caught:
        read(path, limit_gb=0.1)
    assert "the limit is 0.1 GB; read at most" in str(caught.value)


def test_an_image_in_another_scale_is_reported(pack, make, caplog):
    images = (make.portrait() * 255).round()
    pack.reference(images)
    assert "image: its values run from" in caplog.text
    assert "those of an IMAGE from 0 to 1" in caplog.text


def test_frames_of_a_render_are_read_unchanged(pack, rendered, read):
    """Steps, audio and rate of a render are exact."""
    images, audio, fps = read(rendered.path)
    assert (len(images), fps, audio["waveform"].shape[-1]) == (38, 25.0, round(1.52 * 44_100))
    for start, first in ((0.0, 0), (0.28, 7), (0.56, 14), (1.16, 29), (1.48, 37)):
        assert torch.equal(read(rendered.path, start, 1)[0][0], images[first])
    assert np.isfinite(images.numpy()).all()
