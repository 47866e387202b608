"""What a chunk's join is made of."""

from dataclasses import replace

import pytest
import torch

from flashtalk_core.weights.load import load_avatar
from flashtalk_training.evaluation.batched_sessions import HeldOutFaces
from flashtalk_training.evaluation.joins import _measure, evaluate_joins
from flashtalk_training.stage_2.rollout import ChunkOverlap

pytestmark = pytest.mark.training

NUM_MOTION = 5


def overlap(redrawn, onward, step, jump, unmatched=0.0):
    """Return a join of flat images that get lighter by ``step``, by ``jump`` at latent frames."""
    steps = torch.full((28,), step)
    steps[4::4] = jump
    steps[0] = onward
    new = redrawn + steps.cumsum(0)
    levels = torch.cat([torch.full((NUM_MOTION,), redrawn), new])
    frames = levels.view(1, 1, -1, 1, 1).expand(1, 3, -1, 2, 2)
    return overlap_of(frames, frames + unmatched, frames[:, :, NUM_MOTION:])


def overlap_of(frames, unmatched, shown):
    """Return a join after a frame of zeros."""
    return ChunkOverlap(torch.zeros(1, 3, 2, 2), frames, unmatched, shown, NUM_MOTION)


def test_a_join_is_told_apart_by_cause():
    found = _measure(iter([overlap(0.02, 0.03, 0.01, 0.01)] * 2))
    assert found == pytest.approx(
        {
            "join": 5.0, "redrawn": 2.0, "onward": 3.0, "redrawn_unmatched": 2.0,
            "onward_unmatched": 3.0, "latents": 1.0, "movement": 0.005,
        },
        rel=1e-3,
    )  # fmt: skip


def test_parts_may_cancel_each_other_and_colours_are_told_apart():
    found = _measure(iter([overlap(-0.02, 0.03, 0.01, 0.01, unmatched=0.05)]))
    assert found["join"] == pytest.approx(1.0, rel=1e-3)
    assert found["redrawn"] == pytest.approx(2.0, rel=1e-3)
    assert found["redrawn_unmatched"] == pytest.approx(3.0, rel=1e-3)
    assert found["onward_unmatched"] == pytest.approx(found["onward"])


def test_a_faded_join_is_measured_as_it_is_shown_and_its_causes_as_they_are():
    given = overlap(0.02, 0.03, 0.01, 0.01)
    new = given.frames[:, :, NUM_MOTION:]
    found = _measure(iter([overlap_of(given.frames, given.unmatched, new - 0.02)]))
    assert found["join"] == pytest.approx(3.0, rel=1e-3)
    assert found["redrawn"] == pytest.approx(2.0, rel=1e-3)
    assert found["onward"] == pytest.approx(3.0, rel=1e-3)


def test_what_every_latent_frame_costs_is_measured_beside_it():
    found = _measure(iter([overlap(0.0, 0.02, 0.01, 0.02)]))
    assert found["latents"] == pytest.approx(found["join"], rel=1e-3)
    assert found["latents"] > 1.5


def test_overlaps_are_of_the_frames_that_a_session_shows_and_drawings_are_measured_alike(corpus):
    models = load_avatar("tiny", torch.device("cpu"), torch.float32)
    held_out = HeldOutFaces(1)
    sampling = models.config.sampling
    sessions, _ = held_out.talking(models, corpus, sampling)
    first, second = sessions.play(2)
    (join,) = sessions.overlaps(2)
    assert torch.equal((join.before + 1) / 2, first[:, -1])
    assert torch.equal((join.frames[:, :, NUM_MOTION:].transpose(1, 2) + 1) / 2, second)
    found = evaluate_joins(models, corpus, sampling, 2, held_out)
    assert found["model"] == pytest.approx(_measure(iter([join])))
    faded = evaluate_joins(models, corpus, replace(sampling, join_frames=4), 2, held_out)
    assert faded["model"]["join"] < found["model"]["join"]
    assert faded["model"]["redrawn"] == pytest.approx(found["model"]["redrawn"], rel=0.05)
    # No transformer, and still no autoencoder draws the same frame twice alike.
    assert found["autoencoder"]["redrawn"] > 0.3
    assert found["autoencoder"]["movement"] > found["model"]["movement"]
