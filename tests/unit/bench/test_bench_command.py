"""Tables, JSON and exit codes of ``bench``."""

import json
import shutil
import sys
import time

import pytest

from flashtalk_core.bench.render_process import measure_starts, seconds_to_first_frame
from flashtalk_core.bench.speed import measure_speed
from flashtalk_core.cli.main import main
from flashtalk_core.cli.rendering.render_options import EXAMPLE
from flashtalk_core.cli.tables import format_rows
from flashtalk_core.engine.spec import ModelSpec, PlacementSpec, RenderSpec
from flashtalk_core.weights.discovery.layout import resolve_model

pytestmark = pytest.mark.bench


def test_several_rows_are_a_table():
    rows = [{"seconds": 60, "ratio": 1.0}, {"seconds": 600, "ratio": 1.01234}]
    assert format_rows(rows).splitlines() == [
        "seconds  ratio",
        "     60  1.000",
        "    600  1.012",
    ]


def test_one_row_is_a_list():
    assert format_rows([{"size": (64, 32), "name": "x"}]).splitlines() == ["size  64 32", "name  x"]


def test_av_prints_json(capsys, monkeypatch):
    monkeypatch.setattr("flashtalk_core.bench.av_sync.DURATIONS_S", (0.04, 1.13))
    assert main(["bench", "av", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["num_frames"], row["passed"]) for row in rows] == [(1, True), (29, True)]


def test_speed_leaves_the_first_chunk_out(tmp_path):
    spec = RenderSpec(
        portrait=str(EXAMPLE / "portrait.png"),
        size_px=(32, 32),
        placement=PlacementSpec(device="cpu"),
    )
    found = measure_speed(spec, 1.0, tmp_path)
    assert (found.num_frames, found.size_px) == (25, (32, 32))
    assert found.frames_per_s > 0
    assert list(tmp_path.iterdir()) == []


def test_speed_times_as_long_with_a_model_of_other_chunks(tmp_path):
    model = tmp_path / "model"
    shutil.copytree(resolve_model("tiny"), model, copy_function=shutil.copyfile)
    settings = json.loads((model / "flashtalk.json").read_text(encoding="utf-8"))
    settings["chunk"] |= {"num_frames": 17, "num_motion_frames": 5}
    (model / "flashtalk.json").write_text(json.dumps(settings), encoding="utf-8")
    spec = RenderSpec(
        portrait=str(EXAMPLE / "portrait.png"),
        size_px=(32, 32),
        model=ModelSpec(name=str(model)),
        placement=PlacementSpec(device="cpu"),
    )
    assert measure_speed(spec, 1.0, tmp_path).num_frames == 25


def test_the_first_frame_is_waited_for_from_outside(tmp_path):
    options = ["-o", str(tmp_path / "first.mp4"), "--steps", "1", "--size", "32x32"]
    start_s = time.monotonic()
    found_s = seconds_to_first_frame(options)
    assert 0 < found_s < time.monotonic() - start_s
    # The rest was not waited for.
    assert not (tmp_path / "first.mp4").exists()


def test_starts_are_measured_one_by_one(tmp_path):
    options = ["-o", str(tmp_path / "first.mp4"), "--steps", "1", "--size", "32x32"]
    found = measure_starts(options, 2)
    assert len(found.seconds) == len(found.cpu_s) == 2
    assert min(found.seconds) > 0
    assert min(found.cpu_s) > 0.5  # importing PyTorch alone takes more


def test_a_relative_model_is_found_from_the_folder_of_the_user(tmp_path, monkeypatch):
    (tmp_path / "mine").symlink_to(resolve_model("tiny"), target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    options = ["-o", "first.mp4", "--steps", "1", "--size", "32x32", "--model", "mine"]
    assert seconds_to_first_frame(options) > 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_reports_a_failed_render_in_one_line(capsys):
    code = main(["bench", "memory", "--long", "1", "--short", "1", "--model", "/no/such/model"])
    shown = capsys.readouterr().err
    assert code == 2
    assert shown.startswith("error: render failed with code 2: error: model '/no/such/model'")
    assert shown.count("\n") == 1


def test_two_processes_exchange_what_they_should(capsys):
    arguments = ["--cpu", "--largest", "1", "--repeats", "2", "--json"]
    assert main(["bench", "links", *arguments]) == 0
    rows = json.loads(capsys.readouterr().out)["links"]
    assert [row["exchange"] for row in rows] == ["all-to-all", "halo", "sum"]
    assert all(0 < row["low_ms"] <= row["median_ms"] <= row["high_ms"] for row in rows)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--alone", "1"), "alone 1: it is one rank of several"),
        (("--alone", "2", "--divisions", "ring"), "divisions ring: most of that is its exchange"),
    ],
)
def test_what_a_rank_alone_cannot_time_is_refused(options, says, capsys):
    assert main(["bench", "ranks", "--cpu", "--model", "tiny", *options]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("ranks", ["1", "99"])
def test_links_need_as_many_gpus_as_ranks(ranks, capsys):
    assert main(["bench", "links", "--ranks", ranks]) == 2
    assert f"ranks {ranks}: " in capsys.readouterr().err
