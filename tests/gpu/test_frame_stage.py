"""Frames made larger on a GPU: by a network of usual size, within its memory, in a render."""

import subprocess
import sys
import time

import av
import pytest
import torch
from safetensors.torch import save_file

from flashtalk_core.media.video.reading.measure import measure_video
from flashtalk_core.stages.upscale_file import open_upscaler
from flashtalk_core.stages.upscaling import UpscaleStage
from tests.unit.stages.test_upscale_file import compact

pytest.importorskip("spandrel")
pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda")
LARGEST_DIFFERENCE = 1  # of 255 levels


@pytest.fixture
def network(tmp_path):
    """A file of Real-ESRGAN's small network in its usual size."""
    save_file(compact(width=64, layers=16, deviation=0.04), path := tmp_path / "2x.safetensors")
    return path


def frames_of(count, height, width):
    generator = torch.Generator().manual_seed(0)
    shape = (count, height, width, 3)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def test_a_frame_equals_that_of_the_processor(network):
    (frame,) = frames_of(1, 96, 160)
    made = []
    for device in (CUDA, torch.device("cpu")):
        with UpscaleStage(open_upscaler(network, device)).opened() as make:
            made += [each.cpu().int() for each in make(None, frame)]
    assert made[0].float().std() > 1
    assert (made[0] - made[1]).abs().max() <= LARGEST_DIFFERENCE


def test_memory_stays_within_what_is_planned(network, record_property):
    size_px = (448, 768)
    stage = UpscaleStage(open_upscaler(network, CUDA))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    peaks, times_s = [], []
    with stage.opened() as make:
        for frame in frames_of(8, *size_px):
            start = time.perf_counter()
            (larger,) = make(None, frame)
            times_s.append(time.perf_counter() - start)
            peaks.append(torch.cuda.max_memory_allocated() - before)
    assert larger.shape == (896, 1536, 3)
    assert peaks[-1] == peaks[1]
    assert peaks[-1] <= stage.weight_bytes + stage.work_bytes(size_px)
    record_property("ms a frame", [round(1e3 * each, 1) for each in sorted(times_s)])
    record_property("MiB, planned MiB", [peaks[-1] >> 20, stage.work_bytes(size_px) >> 20])
    assert torch.cuda.memory_allocated() == before


def test_a_render_is_larger_and_as_long(network, tmp_path):
    plain, larger = tmp_path / "plain.mp4", tmp_path / "larger.mp4"
    command = [sys.executable, "-m", "flashtalk_core", "render", "--device", "cuda", "--steps", "1"]
    for path, options in ((plain, []), (larger, ["--upscale", network])):
        subprocess.run([*command, "--duration", "4", *options, "-o", path], check=True)
    size, twice = size_of(plain), size_of(larger)
    assert twice == (2 * size[0], 2 * size[1])
    assert [measure_video(path).num_frames for path in (plain, larger)] == [100, 100]


def size_of(path):
    with av.open(str(path)) as container:
        return container.streams.video[0].width, container.streams.video[0].height
