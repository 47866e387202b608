"""How far heads move and how often eyes are shut."""

import dataclasses

import pytest
import torch

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.weights.load import load_avatar
from flashtalk_training.drawn_faces.faces import render, rest_motion
from flashtalk_training.drawn_faces.motion import LIVELINESS
from flashtalk_training.evaluation import movement
from flashtalk_training.evaluation.batched_sessions import HeldOutFaces
from flashtalk_training.speech.prompts import prompt_vocabulary

pytestmark = pytest.mark.training

CPU = torch.device("cpu")
CONFIG = dataclasses.replace(AvatarConfig(), size_px=(64, 64))


@dataclasses.dataclass(frozen=True)
class Models:
    config: AvatarConfig


class Faces(HeldOutFaces):
    """Held-out faces whose sessions are drawn: they sway by as much as their prompt is lively."""

    def talking(self, models, corpus, sampling):
        mood = prompt_vocabulary()[models.config.prompt]
        portraits = self.portraits(models.config.size_px)
        motion = rest_motion(self.count, 4)
        # Of four frames, one looks down with its eyes shut; a 64th of the image is a pixel.
        motion = motion._replace(
            y=torch.tensor([0.0, 0.0, 0.0, mood.liveliness / 16]).expand(self.count, 4),
            blink=torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(self.count, 4),
        )
        return Drawn(render(self.identities(), motion, models.config.size_px)), portraits


class Drawn:
    def __init__(self, frames):
        self.frames = frames

    def play(self, num_chunks):
        return iter([self.frames] * num_chunks)


def test_every_prompt_is_evaluated_for_sway_and_blinks():
    moved = movement.evaluate_movement(Models(CONFIG), None, None, Faces(2))
    assert list(moved) == list(LIVELINESS)
    # A distance of n / 32 in one frame of four.
    sways = [moved[name]["sway"] for name in LIVELINESS]
    assert sways == pytest.approx([0, 1 / 64, 2 / 64], abs=1e-3)
    assert all(moved[name]["eyes_shut"] == 0.25 for name in LIVELINESS)


def test_drawn_faces_move_as_they_are_asked_to_and_blink():
    moved = movement.measure_drawn_movement(CONFIG, HeldOutFaces(3, first_face=3), CPU)
    still, calm, lively = (moved[name]["sway"] for name in LIVELINESS)
    assert 0 < 2 * still < calm
    assert 1.5 * calm < lively < 0.2
    assert all(0.02 < values["eyes_shut"] < 0.25 for values in moved.values())


def test_held_out_faces_do_not_depend_on_the_batch_size():
    one, three = HeldOutFaces(1, first_face=4), HeldOutFaces(3, first_face=3)
    assert torch.equal(one.portraits((32, 32))[0], three.portraits((32, 32))[1])


def test_drawings_that_move_more_are_measured_less_like_their_portrait(monkeypatch):
    monkeypatch.setattr(movement, "_CHUNKS", 1)
    models = load_avatar("tiny", CPU, torch.float32)
    chunk = dataclasses.replace(models.config.chunk, num_frames=17)
    config = dataclasses.replace(models.config, size_px=(96, 96), chunk=chunk)
    models = dataclasses.replace(models, config=config)
    floor = movement.measure_drawn_drift(models, config.sampling, HeldOutFaces(1))
    assert list(floor) == list(LIVELINESS)
    for name in ("colour_delta_e", "identity", "structure"):
        still, calm, lively = (floor[mood][name] for mood in LIVELINESS)
        assert 0 < still < calm < lively
        assert still < floor["still"][f"{name}_shown"]
    # An autoencoder takes colour away; two different faces are ten times as far apart.
    for mood in LIVELINESS:
        assert floor[mood]["colour_delta_e"] < floor[mood]["colour_delta_e_shown"] < 4
