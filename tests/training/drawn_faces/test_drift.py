"""How far a video has drifted."""

import pytest
import torch

from flashtalk_training.drawn_faces.drift import measure_drift
from flashtalk_training.drawn_faces.faces import render, rest_motion, sample_identity, sample_motion

pytestmark = pytest.mark.training


def test_a_portrait_does_not_drift_from_itself():
    portrait = render(sample_identity(1, torch.Generator().manual_seed(2)), rest_motion(1))[0, 0]
    drift = measure_drift(portrait[None], portrait)
    assert drift.colour.item() == pytest.approx(0, abs=1e-4)
    assert drift.structure.item() == pytest.approx(0, abs=1e-5)


def test_drift_sees_colour_and_shape_but_not_talking():
    generator = torch.Generator().manual_seed(3)
    identity = sample_identity(8, generator)
    portrait = render(identity, rest_motion(8))[:, :1]
    motion = sample_motion(8, 8, generator)
    motion = motion.with_mouth(torch.rand(8, 8, 6, generator=generator))
    talking = measure_drift(render(identity, motion), portrait)
    tinted = measure_drift(portrait * torch.tensor([1.0, 0.9, 0.8]).view(3, 1, 1), portrait)
    other = measure_drift(portrait.roll(1, dims=0), portrait)
    assert talking.colour.mean() * 5 < tinted.colour.mean()
    assert talking.structure.mean() * 5 < other.structure.mean()


def test_a_known_colour_difference_in_lab():
    grey = torch.full((1, 3, 32, 32), 0.5)
    drift = measure_drift(torch.full((1, 3, 32, 32), 0.6), grey)
    # Lightness of sRGB 0.5 and 0.6 is 53.39 and 63.22.
    assert drift.colour.item() == pytest.approx(9.83, abs=0.05)
