import pytest
import torch

from flashtalk_training.drawn_faces.motion import MOUTH_CHANNELS, rest_motion, sample_motion

pytestmark = pytest.mark.training


def drawn(**settings):
    return sample_motion(32, 250, torch.Generator().manual_seed(3), **settings)


def test_movement_is_smooth():
    motion = drawn(liveliness=2)
    assert (motion.x.diff(dim=1).abs() < 0.03).all()
    assert (motion.roll.diff(dim=1).abs() < 0.04).all()


def test_livelier_heads_move_more():
    still, calm, lively = (drawn(liveliness=level).x.std() for level in range(3))
    assert 2 * still < calm
    assert 1.5 * calm < lively


def test_each_mood_has_its_smile():
    neutral, smiling, serious = (drawn(expression=mood).smile.mean() for mood in range(3))
    assert serious < 0 < neutral < smiling


def test_each_face_may_have_its_own_mood():
    moods = torch.tensor([0, 1, 2]).repeat(11)[:32]
    motion = drawn(expression=moods, liveliness=moods)
    assert motion.smile[moods == 1].mean() > motion.smile[moods == 2].mean() + 0.5


def test_blinks_shut_the_eyes_now_and_then():
    blink = drawn().blink
    assert (blink.amax(dim=1) == 1).all()
    assert 0.02 < (blink > 0.5).float().mean() < 0.2


def test_the_mouth_is_shut_until_a_track_is_given():
    motion = drawn()
    assert motion.mouth.shape == (32, 250, len(MOUTH_CHANNELS))
    assert motion.mouth.abs().max() == 0
    track = torch.rand(32, 250, len(MOUTH_CHANNELS))
    assert motion.with_mouth(track).mouth is track


def test_the_resting_face_looks_ahead_with_open_eyes():
    motion = rest_motion(2, 3, expression=1)
    assert motion.scale.eq(1).all()
    assert motion.blink.eq(0).all()
    assert motion.smile.gt(0.5).all()
