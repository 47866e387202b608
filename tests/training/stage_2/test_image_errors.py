"""What decoded chunks are blamed for."""

import math

import pytest
import torch

from flashtalk_core.media.image.colour import ColourReference
from flashtalk_training.drawn_faces.drift import measure_drift
from flashtalk_training.drawn_faces.faces import render, rest_motion, sample_identity, sample_motion
from flashtalk_training.stage_2.image_errors import (
    border_error,
    head_error,
    mouth_error,
    shown_images,
)
from flashtalk_training.stage_2.rollout import Portraits

pytestmark = pytest.mark.training

FACES, FRAMES = 4, 12
ERRORS = pytest.mark.parametrize("error", [border_error, head_error])
# Lightness of sRGB 0.5 and 0.6 is 53.39 and 63.22.
LIGHTER = math.log1p(9.83**2 / 9)


def as_chunk(images):
    """Turn ``(B, F, 3, H, W)`` in ``[0, 1]`` into what a decoder returns."""
    return (images * 2 - 1).transpose(1, 2)


def references(images):
    """Return the statistics alone, and no latents."""
    found = [ColourReference.from_image(image * 2 - 1) for image in images]
    means, deviations = ([getattr(each, name) for each in found] for name in ("mean", "std"))
    return Portraits(torch.empty(0), torch.stack(means), torch.stack(deviations))


@pytest.fixture
def faces():
    return sample_identity(FACES, torch.Generator().manual_seed(5))


@pytest.fixture
def images(faces):
    return render(faces, rest_motion(FACES))[:, 0]


@ERRORS
def test_a_known_difference_of_lightness(error):
    grey = torch.full((2, 3, 64, 64), 0.5)
    lighter = torch.full((2, FRAMES, 3, 64, 64), 0.6)
    assert error(lighter, grey).item() == pytest.approx(LIGHTER, rel=0.01)


def lab_distance(error):
    """Undo the logarithm of an error that is the same everywhere."""
    return 3 * math.sqrt(math.expm1(error.item()))


def test_the_border_is_what_drift_of_colour_is_measured_on(images):
    tint = torch.tensor([1.0, 0.9, 0.8]).view(3, 1, 1)
    grey = torch.full((1, 3, 64, 64), 0.5)
    for portrait, close in ((grey, 0.001), (images[:1], 0.2)):
        tinted = (portrait * tint)[:, None]
        measured = measure_drift(tinted, portrait[:, None]).colour.item()
        assert lab_distance(border_error(tinted, portrait)) == pytest.approx(measured, rel=close)


@ERRORS
def test_a_damaged_session_does_not_outweigh_one_that_drifts(error):
    grey = torch.full((2, 3, 64, 64), 0.5)
    shift = torch.tensor([0.03, 0.3]).view(2, 1, 1, 1, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(error(grey[:, None] + shift, grey), shift)
    drifting, damaged = gradient.flatten().tolist()
    assert 0 < damaged < drifting


@ERRORS
def test_few_pixels_far_off_cost_less_than_many_somewhat_off(error):
    grey = torch.full((1, 3, 64, 64), 0.5)
    few = grey[:, None].clone()
    few[..., :, 28:36] += 0.4  # a part of head and border
    many = grey[:, None] + 0.1
    assert (few - grey).square().mean() > 1.5 * (many - grey).square().mean()
    assert 1.5 * error(few, grey) < error(many, grey)


@ERRORS
@pytest.mark.parametrize("liveliness", [0, 1])
def test_heads_that_move_count_less_than_a_drift(error, faces, images, liveliness):
    motion = sample_motion(FACES, FRAMES, torch.Generator().manual_seed(1), liveliness)
    moving = error(render(faces, motion), images).item()
    faded = error(0.85 * images[:, None] + 0.07, images).item()
    assert moving * 2 < faded


def test_lively_head_movement_adds_less_border_error_than_drift(faces, images):
    motion = sample_motion(FACES, FRAMES, torch.Generator().manual_seed(1), 2)
    moving = border_error(render(faces, motion), images).item()
    assert moving * 2 < border_error(0.85 * images[:, None] + 0.07, images).item()


@pytest.mark.parametrize(("aside", "tilt"), [(0.0625, 0.12), (-0.0625, -0.12)])
def test_position_and_tilt_of_the_head_add_little_to_the_head_error(aside, tilt, faces, images):
    rest = rest_motion(FACES, FRAMES)
    shown = render(faces, rest._replace(x=rest.x + aside, roll=rest.roll + tilt))
    # A sixteenth of half the height is four pixels.
    tinted = (images * torch.tensor([1.0, 0.9, 0.8]).view(3, 1, 1))[:, None]
    assert head_error(shown, images) * 5 < head_error(tinted, images)
    assert head_error(shown, images) * 10 < head_error(shown.roll(1, 0), images)


def test_border_and_head_errors_are_separate(images):
    marked = images.clone()
    marked[..., :16, :] += 0.2
    top = marked[:, None].clamp(0, 1)
    marked = images.clone()
    marked[..., 40:60, 44:84] += 0.2
    middle = marked[:, None].clamp(0, 1)
    assert border_error(middle, images) == 0
    assert border_error(top, images) > 0.1 < head_error(middle, images)
    assert head_error(top, images) * 10 < head_error(middle, images)


def test_drift_that_colour_matching_removes_adds_no_loss(images):
    darker = as_chunk((0.9 * images)[:, None])
    matched = shown_images(darker, references(images), 1.0)
    kept = shown_images(darker, references(images), 0.0)
    torch.testing.assert_close(kept[:, 0], 0.9 * images)
    assert border_error(matched, images) * 10 < border_error(kept, images)


@ERRORS
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_the_gradient_brings_colours_back(error, images, strength):
    uneven = torch.linspace(-0.05, 0.05, 128).expand(128, 128)
    frames = as_chunk((images + uneven).clamp(0, 1)[:, None]).requires_grad_()

    def wrong(frames):
        return error(shown_images(frames, references(images), strength), images)

    before = wrong(frames)
    (gradient,) = torch.autograd.grad(before, frames)
    assert gradient.isfinite().all()
    assert wrong(frames - 0.02 * gradient / gradient.abs().max()) < before


@ERRORS
@pytest.mark.parametrize("strength", [0.0, 1.0])
@pytest.mark.parametrize("level", [-1.0, -0.999])
def test_black_images_have_a_finite_gradient(error, strength, level):
    # What lies on the border itself has no gradient with torch 2.14.
    frames = torch.full((1, 3, FRAMES, 64, 64), level, requires_grad=True)
    grey = torch.full((1, 3, 64, 64), 0.1)
    wrong = error(shown_images(frames, references(grey), strength), grey)
    (gradient,) = torch.autograd.grad(wrong, frames)
    assert gradient.isfinite().all()
    # Black is shown grey at strength 1.
    assert (gradient != 0).any() or strength == 1 or level == -1


def test_the_error_of_mouths_is_that_of_their_opening(faces):
    mouth = torch.zeros(FACES, FRAMES, 6)
    mouth[..., 0] = torch.linspace(0, 0.9, FRAMES)
    shown = as_chunk(render(faces, rest_motion(FACES, FRAMES).with_mouth(mouth)))
    assert mouth_error(shown, mouth[..., 0]).item() < 0.02
    assert mouth_error(shown, mouth[..., 0].flip(1)).item() > 0.1
