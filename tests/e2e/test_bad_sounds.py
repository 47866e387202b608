"""Unusual and damaged audio files."""

import av
import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.e2e


def no_samples(path):
    soundfile.write(path, np.zeros(0, np.float32), 16_000)
    return path


def not_a_number(path):
    samples = np.zeros(3_200, np.float32)
    samples[1_600] = np.nan
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    return path


def empty(path):
    path.touch()
    return path


def text(path):
    path.write_text("not a sound")
    return path


def only_video(path):
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height = stream.width = 32
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("make", "value", "remedy"),
    [
        (lambda path: path, "no such file", "check the path"),
        (empty, "0 bytes", "copy it again"),
        (no_samples, "0 samples", "record or export it again"),
        (not_a_number, "a sample at 0.100 s is NaN", "export it again as 16-bit WAV"),
        (text, "11 bytes are not audio", "export it again as WAV"),
        (only_video, "only video", "use a file with audio"),
    ],
)
def test_unusable_audio_is_refused(refused, tmp_path, make, value, remedy):
    path = make(tmp_path / "bad.wav")
    line = refused(audio=path)
    assert str(path) in line
    assert value in line
    assert remedy in line


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (("--start", -1), "audio start -1.0 s"),
        (("--start", 10), "lasts 0.200 s; start earlier"),
        (("--start", "nan"), "audio start nan s"),
        (("--duration", 0), "audio duration 0.0 s"),
        (("--duration", "inf"), "audio duration inf s"),
    ],
)
def test_impossible_parts_are_refused(refused, options, value):
    assert value in refused(*options)


def test_silence_is_rendered_and_said(render, write_audio, tmp_path):
    speech = write_audio(tmp_path / "quiet.wav", level=0.0)
    done = render(audio=speech)
    assert done.code == 0
    assert f"warning: audio {speech}: it is silent, the mouth will stay closed" in done.lines


def test_the_audio_of_a_video_is_taken(render, older, tmp_path):
    assert render().code == 0
    assert render(audio=older, output=tmp_path / "again.mp4").code == 0
    with av.open(str(tmp_path / "again.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5
