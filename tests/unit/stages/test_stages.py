"""Stages between frames and encoder: what they make, how large, and of what."""

from contextlib import nullcontext
from dataclasses import dataclass, field

import pytest
import torch
from torch.nn.functional import conv2d, interpolate

from flashtalk_core.errors import InvalidInputError, NoMemoryError
from flashtalk_core.stages import upscaling
from flashtalk_core.stages.interpolation import InterpolateStage
from flashtalk_core.stages.stage import FrameFormat, chain, weights_digest
from flashtalk_core.stages.upscaling import UpscaleStage

pytestmark = pytest.mark.cpu
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Blurred:
    """A network that sees 16 pixels around each one, twice as large; memory may run out."""

    max_px: int = 10**9
    scale: int = 2
    identity: str = "blurred"
    weight_bytes: int = 40
    device: torch.device = CPU
    sides: list = field(default_factory=list)

    def opened(self):
        def run(planes):
            self.sides.append(max(planes.shape[-2:]))
            if self.sides[-1] > self.max_px:
                raise torch.OutOfMemoryError
            kernel = torch.ones(3, 1, 33, 33) / 33**2
            blurred = conv2d(planes, kernel, padding=16, groups=3)
            return interpolate(blurred, scale_factor=2, mode="nearest")

        return nullcontext(run)


@dataclass(frozen=True)
class Mean:
    """The mean of both frames."""

    identity: str = "mean"
    weight_bytes: int = 2
    device: torch.device = CPU

    def work_bytes(self, size_px):
        return size_px[0]

    def opened(self):
        return nullcontext(lambda first, second: (first + second) / 2)


def frames_of(stage, *frames):
    """Return what a stage makes of frames in a row."""
    found, before = [], None
    with stage.opened() as make:
        for frame in frames:
            found += make(before, frame)
            before = frame
    return found


def noise(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)


def test_tiles_give_the_frame_that_the_whole_gives(monkeypatch):
    frame = noise(150, 230)
    (whole,) = frames_of(UpscaleStage(Blurred()), frame)
    monkeypatch.setattr(upscaling, "TILE_PX", 64)
    network = Blurred()
    (tiled,) = frames_of(UpscaleStage(network), frame)
    assert whole.shape == (300, 460, 3)
    assert (whole.int() - tiled.int()).abs().max() <= 1  # sums in another order
    assert len(network.sides) == 3 * 4
    assert max(network.sides) <= 64 + 2 * upscaling.HALO_PX


def test_tiles_become_smaller_where_memory_runs_out_and_stay_so():
    network = Blurred(max_px=250)
    frames_of(UpscaleStage(network), noise(400, 32), noise(400, 32))
    assert network.sides == [400, *[232] * 4]  # whole; halves and their halo, of both frames
    with pytest.raises(NoMemoryError, match=r"tiles of 128 pixels; use a smaller model"):
        frames_of(UpscaleStage(Blurred(max_px=50)), noise(400, 400))


@pytest.mark.parametrize(("scale", "size"), [(None, (64, 96)), (1.0, (32, 48)), (1.3, (42, 62))])
def test_the_scale_decides_the_size(scale, size):
    stage = UpscaleStage(Blurred(), scale)
    (frame,) = frames_of(stage, noise(32, 48))
    assert frame.shape == (*size, 3)
    assert stage.size_px((32, 48)) == size
    assert str(scale or 2.0) in stage.identity


@pytest.mark.parametrize("scale", [0.1, 9.0, float("nan")])
def test_a_scale_out_of_range_is_refused(scale):
    with pytest.raises(InvalidInputError, match=r"use 0.25 to 8, or leave it out"):
        UpscaleStage(Blurred(), scale)


def test_frames_in_between_come_before_each_frame():
    first, second = torch.zeros(2, 2, 3, dtype=torch.uint8), noise(2, 2)
    found = frames_of(InterpolateStage(Mean()), first, second)
    assert len(found) == 4
    assert torch.equal(found[0], first)
    assert torch.equal(found[1], first)
    assert torch.equal(found[3], second)
    assert (found[2].float() - second.float() / 2).abs().max() <= 0.5


def test_a_chain_makes_frames_in_between_first():
    between, larger = InterpolateStage(Mean()), UpscaleStage(Blurred())
    both = chain([between, larger])
    assert FrameFormat((32, 48), 25, 28).after(both) == FrameFormat((64, 96), 50, 56)
    first, second = noise(32, 48), noise(32, 48, 1)
    found = frames_of(both, first, second)
    wanted = [
        larger_frame
        for frame in frames_of(between, first, second)
        for larger_frame in frames_of(larger, frame)
    ]
    assert all(map(torch.equal, found, wanted))
    assert len(found) == 4
    assert both.weight_bytes == 42
    assert both.work_bytes((32, 48)) == larger.work_bytes((32, 48))
    assert both.identity == "between mean then upscale blurred x 2.0"
    with pytest.raises(InvalidInputError, match="frames in between are made first"):
        chain([larger, between])
    assert chain([]) is None
    assert chain([larger]) is larger


def test_weights_are_told_by_their_values():
    layer = torch.nn.Linear(2, 2).bfloat16()
    before = weights_digest(layer)
    assert before == weights_digest(layer)
    with torch.no_grad():
        layer.bias[0] += 1
    assert before != weights_digest(layer)
