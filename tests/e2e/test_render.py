"""From image and speech to an MP4 with audio."""

import re
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from flashtalk_core.cli.main import main
from flashtalk_core.cli.rendering.render_options import EXAMPLE
from flashtalk_core.weights.load import open_avatar

pytestmark = pytest.mark.e2e


def frames_of(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_video_with_audio(render, older):
    done = render()
    assert done.code == 0
    with av.open(str(older)) as container:
        image, audio = container.streams.video[0], container.streams.audio[0]
        assert (image.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert (image.height, image.width) == (32, 32)
        times = [frame.pts * frame.time_base for frame in container.decode(image)]
    assert times == [Fraction(k, 25) for k in range(5)]
    assert [path.name for path in older.parent.iterdir()] == ["talk.mp4"]


def test_the_command_prints_warnings_progress_and_the_result(render, older):
    lines = render().lines
    assert re.fullmatch(r"warning: size 32x32: .+ is known to work at .+ only", lines[0])
    *on_the_way, last = lines[1:-1]  # how often depends on how fast it is
    assert all(
        re.fullmatch(r"chunk 1/1 \[#+\.+\] 4/5 frames, .+ left", each) for each in on_the_way
    )
    assert last.startswith("chunk 1/1 [####################] 5/5 frames, ")
    assert lines[-1] == f"wrote {older}, 5 frames"


def test_the_bundled_example_needs_no_input(tmp_path, capsys):
    output = tmp_path / "talking.mp4"
    assert main(["render", "-o", str(output), "--steps", "1", "--duration", "0.04"]) == 0
    shown = capsys.readouterr().err
    assert shown.startswith("without --image and --audio: the bundled example is used\n")
    assert "warning" not in shown
    assert frames_of(output)[0].shape == (*open_avatar("tiny").config.size_px, 3)


def test_the_same_seed_gives_the_same_video(render, tmp_path, older):
    videos = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert render("--seed", seed, output=tmp_path / f"{name}.mp4").code == 0
        videos.append(frames_of(tmp_path / f"{name}.mp4"))
    assert np.array_equal(videos[0], videos[1])
    assert not np.array_equal(videos[0], videos[2])


@pytest.mark.parametrize(
    ("samples", "frames"),
    [(640, 1), (8_000, 13), (17_920, 28), (18_560, 29), (18_561, 30)],
)
def test_length_is_that_of_the_audio(render, write_audio, tmp_path, older, samples, frames):
    speech = write_audio(tmp_path / "length.wav", samples / 16_000)
    assert render(audio=speech).code == 0
    assert len(frames_of(older)) == frames


def test_a_part_of_the_audio(render, write_audio, tmp_path, older):
    speech = write_audio(tmp_path / "long.wav", 10)
    assert render("--start", 2, "--duration", 0.3, audio=speech).code == 0
    assert len(frames_of(older)) == 8


def test_every_option_at_once(render, older):
    options = (
        "--model tiny --fit pad --rule renoise --steps 2 --shift 3 --seed 1 --colour-strength 0.5 "
        "--mouth-strength 1.2 --crf 30 --device cpu --dtype float32 --attention sdpa --prompt"
    )
    assert render(*options.split(), "a person", "--debug").code == 0
    with av.open(str(older)) as container:
        comment = container.metadata["comment"]
    assert re.fullmatch(r"generated with .+, 2 renoise steps, shift 3, seed 1", comment)


def test_half_precision_runs_on_a_cpu(render, older):
    assert render("--dtype", "bfloat16").code == 0
    assert len(frames_of(older)) == 5


def test_two_speakers_and_a_chunk_of_them_again(write_audio, tmp_path, capsys):
    voices = [write_audio(tmp_path / f"{name}.wav", 0.7) for name in "ab"]
    mask = np.zeros((512, 512), np.uint8)  # as large as the bundled portrait
    mask[:, :200] = 255
    Image.fromarray(mask).save(tmp_path / "left.png")
    output = tmp_path / "two.mp4"
    words = ["render", "-o", output, "--size", "32x64", "--steps", 1, "--speaker-start", 0, 0.5]
    words += ["--image", EXAMPLE / "portrait.png"]
    for place, voice in zip((tmp_path / "left.png", "256,0,256,512"), voices, strict=True):
        words += ["--speaker", f"{place}:{voice}"]
    assert main([*map(str, words)]) == 0
    assert len(frames_of(output)) == 30
    assert main([*map(str, words), "--seed", "5", "--redo", "2"]) == 0
    assert len(frames_of(output)) == 30
    assert main([*map(str, words), "--extend", str(output)]) == 2
    assert "--extend with --speaker: the finished video has the sum" in capsys.readouterr().err
