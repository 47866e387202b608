"""``jobs resume`` goes on from any working folder."""

import shutil

import pytest

from flashtalk_core.cli.main import main
from flashtalk_core.jobs.record import JobRecord
from flashtalk_core.media.video.reading.measure import measure_video
from flashtalk_core.weights.discovery.layout import resolve_model
from tests.unit.jobs.test_extend import PORTRAIT, SMALL, write_noise

pytestmark = pytest.mark.cpu


def test_names_relative_to_the_first_folder_are_found_from_another(tmp_path, monkeypatch):
    shutil.copytree(resolve_model("tiny"), tmp_path / "w")
    shutil.copy(PORTRAIT, tmp_path / "me.png")
    write_noise(tmp_path / "a.wav", 1.6)
    real = JobRecord.write

    def write_and_stop(record, path):
        real(record, path)
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(JobRecord, "write", write_and_stop)
        given = ["--model", "w", "--image", "me.png", "--audio", "a.wav", "-o", "c.mp4"]
        assert main(["render", *SMALL, *given]) != 0
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert main(["jobs", "resume", str(tmp_path / "c.mp4")]) == 0
    assert measure_video(tmp_path / "c.mp4").num_frames == 40
