"""Damage to motion frames, and its use in Stage 1."""

import pytest
import torch

from flashtalk_training.drawn_faces.damage import (
    DAMAGES,
    blur,
    damage,
    damage_at_random,
    drift_at_random,
    shift,
)
from flashtalk_training.drawn_faces.drift import measure_drift, measure_sharpness

pytestmark = pytest.mark.training


@pytest.fixture
def frames():
    torch.manual_seed(0)
    coarse = torch.rand(2, 3, 8, 8)
    images = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear")
    return (images * 1.6 - 0.8)[:, :, None].repeat(1, 1, 5, 1, 1)


def drifts(frames, others):
    return measure_drift(*((each[:, :, 0] + 1) / 2 for each in (frames, others)))


@pytest.mark.parametrize("kind", DAMAGES)
def test_every_kind_changes_the_frames_and_stays_in_range(frames, kind):
    damaged = damage(frames, kind, torch.Generator().manual_seed(0))
    assert damaged.shape == frames.shape
    assert damaged.abs().max() <= 1
    assert not torch.allclose(damaged, frames, atol=0.01)


def test_a_colour_cast_changes_colours_and_a_shift_changes_shapes(frames):
    cast = drifts(damage(frames, "cast", torch.Generator()), frames)
    moved = drifts(damage(frames, "shift", torch.Generator()), frames)
    assert cast.colour.min() > 5
    assert cast.structure.max() < 0.05 < moved.structure.min()


def test_a_blur_lowers_sharpness_and_keeps_a_plain_image(frames):
    noise = torch.rand(1, 3, 1, 32, 32) * 2 - 1
    before, after = (measure_sharpness(v[:, :, 0]).item() for v in (noise, blur(noise, 1)))
    assert after < 0.3 * before
    plain = torch.full((1, 3, 1, 8, 8), 0.3)
    assert torch.allclose(blur(plain, 3), plain, atol=1e-6)


def test_a_shift_moves_by_a_share_of_the_image():
    frames = torch.zeros(1, 3, 1, 20, 20)
    frames[..., 10, 5] = 1
    moved = shift(frames, torch.tensor([0.1]), torch.tensor([-0.2]))
    assert moved[0, 0, 0, 6, 7].item() == pytest.approx(1, abs=1e-4)


def test_random_damage_leaves_some_clips_and_differs_from_clip_to_clip():
    torch.manual_seed(1)
    frames = torch.rand(1, 3, 5, 16, 16).repeat(64, 1, 1, 1, 1) * 1.8 - 0.9
    damaged = damage_at_random(frames)
    assert damaged.abs().max() <= 1
    change = (damaged - frames).abs().mean(dim=(1, 2, 3, 4))
    assert change.min() < 0.02
    assert change.max() > 0.2
    assert len({round(value, 6) for value in change.tolist()}) > 30


def test_drift_differs_from_place_to_place_and_touches_a_share_of_the_clips(frames):
    many = frames[:1, :, :1].expand(32, -1, -1, -1, -1)
    torch.manual_seed(0)
    assert torch.equal(drift_at_random(many, 0.0), many)
    drifted = drift_at_random(many, 0.5)
    assert drifted.abs().max() <= 1
    touched = (drifted != many).flatten(1).any(dim=1).float().mean()
    assert 0.3 < touched < 0.7
    change = (drift_at_random(many, 1.0) - many).mean(dim=2)
    corners = torch.stack([change[..., :32, :32], change[..., 32:, 32:]]).mean(dim=(3, 4))
    assert (corners[0] - corners[1]).abs().mean() > 0.02
