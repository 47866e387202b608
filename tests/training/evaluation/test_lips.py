"""Measuring lips in a finished video."""

import json

import numpy as np
import pytest
import torch

from flashtalk_core.bench.signals import write_babble
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.video.writer import Mp4Writer
from flashtalk_training.cli.main import main
from flashtalk_training.drawn_faces.faces import render, sample_identity, sample_motion
from flashtalk_training.evaluation.lips import (
    compare_lips,
    is_in_step,
    measure_openings,
    read_track,
)

pytestmark = pytest.mark.training


def draw(opening):
    """Draw a face whose mouth opens as given, ``(F, 64, 64, 3)`` uint8."""
    generator = torch.Generator().manual_seed(1)
    motion = sample_motion(1, len(opening), generator, 2)
    mouth = torch.zeros(1, len(opening), 6)
    mouth[0, :, 0] = torch.from_numpy(opening)
    video = render(sample_identity(1, generator), motion.with_mouth(mouth), (64, 64))[0]
    return (video * 255).round().byte().permute(0, 2, 3, 1)


@pytest.fixture(scope="module")
def spoken():
    """Two seconds of an opening mouth that never repeats itself."""
    rng = np.random.default_rng(0)
    return np.interp(np.arange(50), np.arange(0, 51, 2), rng.uniform(0, 1, 26))


@pytest.fixture(scope="module")
def files(tmp_path_factory, spoken):
    folder = tmp_path_factory.mktemp("lips")
    write_babble(folder / "s.flac", 2.0)
    with Mp4Writer(folder / "v.mp4", (64, 64), probe_audio(folder / "s.flac")) as writer:
        writer.write(draw(spoken))
    (folder / "t.json").write_text(json.dumps({"mouth": [[value, 0] for value in spoken]}))
    return folder


def test_a_drawn_mouth_is_found_in_the_encoded_video(files, spoken):
    whole, first, last = compare_lips(measure_openings(files / "v.mp4"), spoken)
    assert (whole.num_frames, whole.peak_lag_frames) == (50, 0)
    assert whole.correlation > 0.9
    assert (first.correlation, last.correlation) == (whole.correlation, whole.correlation)


def test_the_command_prints_it(files, capsys):
    assert main(["lips", str(files / "v.mp4"), str(files / "t.json"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["stretch"] for row in rows] == ["whole", "first minute", "last minute"]
    assert rows[0]["correlation"] > 0.9


def test_the_command_fails_where_lips_are_late(files, spoken, tmp_path, capsys):
    late = {"mouth": [[value] for value in spoken[3:]]}
    (tmp_path / "t.json").write_text(json.dumps(late))
    assert main(["lips", str(files / "v.mp4"), str(tmp_path / "t.json"), "--json"]) == 1
    assert {row["peak_lag_frames"] for row in json.loads(capsys.readouterr().out)} == {3}
    assert main(["lips", str(tmp_path / "none.mp4"), str(tmp_path / "t.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("late", [-3, 0, 2])
def test_late_lips_show_as_a_lag(late):
    true = np.random.default_rng(1).uniform(0, 1, 3000)
    results = compare_lips(np.roll(true, late), true)
    assert [result.peak_lag_frames for result in results] == [late] * 3
    assert [result.num_frames for result in results] == [3000, 1500, 1500]


def test_drift_shows_in_the_last_minute_only():
    true = np.random.default_rng(1).uniform(0, 1, 6000)
    measured = np.concatenate([true[:3000], np.roll(true, 4)[3000:]])
    _, first, last = compare_lips(measured, true)
    assert (first.peak_lag_frames, last.peak_lag_frames) == (0, 4)
    assert not is_in_step(compare_lips(measured, true))
    assert is_in_step(compare_lips(np.roll(true, 1), true))


def test_a_still_mouth_correlates_with_nothing():
    true = np.random.default_rng(0).uniform(0, 1, 100)
    assert compare_lips(np.zeros(100), true)[0].correlation == 0


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"mouth": 3}', '{"mouth": [[]]}', "{"])
def test_what_is_no_track(tmp_path, content):
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(InvalidInputError, match=r"track .+t\.json"):
        read_track(tmp_path / "t.json")
