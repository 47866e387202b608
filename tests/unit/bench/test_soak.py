"""Long renders are measured: small ones here, of the same code."""

import sys
from dataclasses import replace

import pytest
from PIL import Image

from flashtalk_core.bench.soak import day as day_module
from flashtalk_core.bench.soak.day import run_day
from flashtalk_core.bench.soak.hour import measure_hour, read_readings, readings_path, run_part
from flashtalk_core.bench.soak.plot import draw_curves
from flashtalk_core.bench.soak.readings import Reading, Slopes, find_slopes, read_process
from flashtalk_core.bench.soak.stand_in import CLICK_BEFORE_END_S, GeneratedSound
from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.engine.spec import RenderSpec
from flashtalk_core.errors import InvalidInputError
from tests.unit.engine.conftest import checkpoint, make_plan  # noqa: F401

pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc"),
]


def test_a_slope_leaves_out_the_warm_up():
    rss_mb = [50, 300, *(400 + 2 * minute for minute in range(6))]
    readings = [Reading(60.0 * i, 10.0 * i, mb, 5 + i, 2) for i, mb in enumerate(rss_mb)]
    found = find_slopes(readings, 20)
    assert found.rss_mb_per_min == pytest.approx(2)
    assert found.rss_mb_per_unit == pytest.approx(4)
    assert (found.handles_first, found.handles_last, found.threads_last) == (7, 12, 2)


def test_too_few_readings_have_no_slope():
    with pytest.raises(InvalidInputError, match="too few"):
        find_slopes([read_process(0)] * 4)


def test_a_process_is_read():
    before = read_process(1.5)
    with open("/proc/self/status") as _:  # noqa: PTH123
        assert read_process(1.5).handles == before.handles + 1
    assert before.rss_mb > 10
    assert before.threads >= 1


@pytest.mark.parametrize(
    ("change", "is_steady"),
    [
        ({}, True),
        ({"rss_mb_per_min": 1.5}, True),  # of a run too short for a slope
        ({"rss_mb_per_min": 1.5, "rss_last_mb": 140.0}, False),
        ({"rss_last_mb": 140.0}, True),
        ({"handles_last": 9}, False),
        ({"threads_last": 9}, True),
        ({"threads_last": 10}, False),
    ],
)
def test_a_leak_is_not_steady(change, is_steady):
    slopes = Slopes(100.0, 101.0, 0.5, 0.1, 8, 8, 5, 5)
    assert replace(slopes, **change).is_steady is is_steady


@pytest.mark.parametrize("is_growing", [False, True])
def test_a_generated_sound_has_its_length_and_one_click(is_growing):
    sound = GeneratedSound(100_000, 16_000, is_growing=is_growing)
    assert sound.num_samples == (None if is_growing else 100_000)
    blocks = list(sound.blocks())
    assert sound.num_samples == sum(block.shape[1] for block in blocks) == 100_000
    assert blocks[-1].max() == pytest.approx(0.9)
    assert sound.click_sample == 100_000 - CLICK_BEFORE_END_S * 16_000


@pytest.mark.parametrize(("parts", "is_growing"), [(3, False), (1, True)])
def test_a_long_video_is_exact(tmp_path, parts, is_growing, monkeypatch):
    monkeypatch.setattr(day_module, "_READINGS", 100)
    found = run_day(tmp_path, 10 / 3600, 16_000, parts, is_growing=is_growing)
    assert found.passed
    assert (found.num_frames, found.num_parts, found.num_log_lines) == (250, parts, 0)
    assert (found.state_kb > 60) is not is_growing
    assert found.file_mb > 0
    assert list(tmp_path.iterdir()) == []


def test_curves_are_drawn(tmp_path):
    path = tmp_path / "curves.png"
    draw_curves(path, [0, 1, 2], {"one": [1, 2, 3], "flat": [1, 1, 1]})
    with Image.open(path) as image:
        assert image.size == (720, 360)
        assert len(image.getcolors(10_000)) > 3


def test_an_hour_goes_on_and_its_readings_are_of_all_parts(tmp_path, make_plan):  # noqa: F811
    chunk = ChunkConfig(num_frames=9, num_motion_frames=5)
    plan, video = make_plan(seconds=1.28, chunk=chunk), tmp_path / "hour.mp4"
    assert run_part(plan, RenderSpec(), video, 1) > 0
    assert not video.exists()
    resume_s = run_part(plan, RenderSpec(), video)
    assert run_part(plan, RenderSpec(), video) is None
    rows = read_readings(readings_path(video))
    assert [(row.part, row.chunk) for row in rows] == [(1, 1), *((2, n) for n in range(2, 9))]
    assert all(0 < row.colour < 1 and 0 < row.structure < 2 and row.rss_mb > 10 for row in rows)
    found = measure_hour(video, 32, 0.5, resume_s)
    assert (found.num_parts, found.num_frames, found.is_exact) == (2, 32, True)
    assert found.frames_per_s > 0
