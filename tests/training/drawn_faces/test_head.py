"""Finding a drawn head: its place, whose it is, and its eyes."""

import pytest
import torch

from flashtalk_training.drawn_faces.damage import damage
from flashtalk_training.drawn_faces.drift import measure_drift
from flashtalk_training.drawn_faces.faces import render, rest_motion, sample_identity, sample_motion
from flashtalk_training.drawn_faces.head import find_heads, measure_open_eyes

pytestmark = pytest.mark.training

FACES = 3
# Half-heights of the image, so that its height is 2.
RIGHT, DOWN = 0.15, -0.08


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def identity():
    return sample_identity(FACES, seeded(2))


@pytest.fixture(scope="module")
def portraits(identity):
    return render(identity, rest_motion(FACES))[:, 0]


@pytest.fixture(scope="module")
def shut(identity):
    return render(identity, at_rest(blink=1.0))[:, 0]


def at_rest(**fields):
    """Return one frame of faces at rest but for ``fields``."""
    motion = rest_motion(FACES)
    return motion._replace(
        **{name: torch.full_like(motion.x, value) for name, value in fields.items()}
    )


def test_a_portrait_is_itself_where_it_is(portraits):
    heads = find_heads(portraits[:, None], portraits)
    assert heads.unlike.abs().max() < 1e-3
    assert heads.x.abs().max() == heads.y.abs().max() == heads.roll.abs().max() == 0


@pytest.mark.parametrize("size", [(128, 128), (192, 112), (112, 192), (48, 48)])
def test_a_head_is_found_where_it_was_drawn_in_any_format(identity, size):
    portraits = render(identity, rest_motion(FACES), size)[:, 0]
    # A tall image leaves less room at the sides.
    right = RIGHT if size[1] >= size[0] else 0.06
    heads = find_heads(render(identity, at_rest(x=right, y=DOWN), size), portraits)
    pixel = 1 / size[0]
    expected = torch.ones(FACES, 1)
    torch.testing.assert_close(heads.x, expected * right / 2, atol=pixel, rtol=0)
    torch.testing.assert_close(heads.y, expected * DOWN / 2, atol=pixel, rtol=0)
    assert heads.unlike.max() < 0.03


def test_every_session_is_compared_with_its_own_portrait(portraits):
    frames = torch.stack([portraits[[0, 1]], portraits[[2, 1]]])
    heads = find_heads(frames, portraits[:2])
    assert heads.unlike[0, 0] < 1e-3 < 0.1 < heads.unlike[0, 1]
    assert heads.unlike[1, 1] < 1e-3 < 0.1 < heads.unlike[1, 0]


def test_movement_does_not_change_the_identity_of_a_face(identity, portraits):
    frames = render(identity, sample_motion(FACES, 20, seeded(1), liveliness=2))
    same, other = (
        find_heads(each, portraits).unlike.median(dim=1).values
        for each in (frames, portraits.roll(1, 0)[:, None])
    )
    assert same.max() * 5 < other.min()
    structure = measure_drift(frames, portraits[:, None]).structure.median(dim=1).values
    assert same.mean() < 0.3 * structure.mean()


@pytest.mark.parametrize("roll", [0.12, -0.24])
def test_a_tilted_head_is_turned_back(identity, portraits, roll):
    tilted = render(identity, at_rest(roll=roll))
    heads = find_heads(tilted, portraits)
    assert (heads.roll == roll).all()
    assert heads.unlike.max() < 0.01
    # The head turns about the neck, so that it also goes aside.
    assert (heads.x * roll).min() > 0
    # As it is, such a head is less like its portrait than that.
    assert measure_drift(tilted, portraits[:, None]).structure.min() > 0.02


def test_a_tint_changes_the_identity_measure(portraits):
    tint = torch.tensor([1.0, 0.9, 0.8]).view(3, 1, 1)
    assert find_heads((portraits * tint)[:, None], portraits).unlike.min() > 0.005


@pytest.mark.parametrize("kind", ["none", "dark", "cast", "blur"])
def test_eyes_are_open_or_shut_in_any_light_and_blurred(kind):
    identity = sample_identity(12, seeded(7))
    motion = rest_motion(12)
    opened, shut = (
        render(identity, motion._replace(blink=motion.blink + blink))[:, 0] for blink in (0.0, 1.0)
    )
    for images, sign in ((opened, 1), (shut, -1)):
        clip = (images * 2 - 1)[:, :, None].repeat(1, 1, 2, 1, 1)
        if kind in ("cast", "blur"):
            clip = damage(clip, kind, seeded(0))
        frames = (clip.transpose(1, 2) + 1) / 2 * (0.85 if kind == "dark" else 1)
        eyes = measure_open_eyes(frames, find_heads(frames, opened), opened, shut)
        assert (eyes * sign > 0).all()


@pytest.mark.parametrize("liveliness", [1, 2])
def test_blinks_are_seen_though_the_head_moves(identity, portraits, shut, liveliness):
    motion = sample_motion(FACES, 50, seeded(4), liveliness)
    frames = render(identity, motion)
    eyes = measure_open_eyes(frames, find_heads(frames, portraits), portraits, shut)
    blinks = motion.blink > 0.5
    assert 0.03 < blinks.float().mean() < 0.3
    assert ((eyes < 0) == blinks).float().mean() > 0.97
