"""How far heads move and how often eyes are shut."""

import dataclasses

import pytest
import torch

from flashtalk_core.config import AvatarConfig
from flashtalk_core.training.long_runs import Cast
from flashtalk_core.training.movement import measure_drawn_movement

pytestmark = pytest.mark.cpu


def test_drawn_faces_move_as_they_are_told_and_blink():
    config = dataclasses.replace(AvatarConfig(), size_px=(64, 64))
    moved = measure_drawn_movement(config, 4, Cast(4, first_face=3))
    still, calm, lively = (moved[name]["sway"] for name in ("still", "calm", "lively"))
    assert 0 < 2 * still < calm
    assert 1.5 * calm < lively < 0.2
    assert all(0.02 < values["eyes_shut"] < 0.25 for values in moved.values())


def test_a_cast_is_the_same_faces_in_any_company():
    one, three = Cast(1, first_face=4), Cast(3, first_face=3)
    assert torch.equal(one.portraits((32, 32))[0], three.portraits((32, 32))[1])
