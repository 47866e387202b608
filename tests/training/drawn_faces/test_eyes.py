"""Eyes that look like no drawn ones are told from those that blink, look aside and sway."""

from types import SimpleNamespace

import pytest
import torch

from flashtalk_training.drawn_faces.damage import blur
from flashtalk_training.drawn_faces.eyes import EyeStates, draw_eye_states, measure_eye_error
from flashtalk_training.drawn_faces.head import find_heads
from flashtalk_training.drawn_faces.motion import sample_motion
from flashtalk_training.drawn_faces.styles import STYLES

pytestmark = pytest.mark.training

FACES, SIZE = 2, (128, 128)
# Largest mean and largest error of drawings, and by how much it must grow when they are blurred.
# Light that stays where it is while eyes slide below it costs the older style some.
LIMITS = {"trained": (0.13, 0.22, 2.0), "older": (0.2, 0.4, 1.2)}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def blurred(frames):
    return (blur((frames * 2 - 1).transpose(1, 2), 3).transpose(1, 2) + 1) / 2


@pytest.fixture(scope="module", params=list(STYLES.values()), ids=list(STYLES))
def drawn(request):
    """Return style, faces, and what their eyes may look like."""
    style = request.param
    faces = style.sample(FACES, seeded(2))
    return SimpleNamespace(
        style=style,
        faces=faces,
        states=draw_eye_states(style, faces, SIZE),
        portraits=style.portraits(faces, SIZE),
        shut=style.portraits(faces, SIZE, blink=1.0),
    )


def errors(drawn, frames, heads_of=None):
    """Measure frames; heads are looked for in ``heads_of``, the same frames by default."""
    heads = find_heads(frames if heads_of is None else heads_of, drawn.portraits)
    return measure_eye_error(frames, heads, drawn.states)


def test_drawn_eyes_have_little_error_and_blurred_ones_much(drawn):
    # Ten moments of two seconds in which heads sway as far as they ever do.
    motion = sample_motion(FACES, 50, seeded(1), 2).frames(slice(0, None, 5))
    frames = drawn.style.render(drawn.faces, motion, SIZE)
    sharp, soft = errors(drawn, frames), errors(drawn, blurred(frames), frames)
    assert sharp.shape == (FACES, 10)
    mean, largest, growth = LIMITS[drawn.style.name]
    assert sharp.mean() < mean
    assert sharp.max() < largest
    assert soft.mean() > growth * sharp.mean()


def test_no_moment_of_a_blink_is_an_error(drawn):
    blinks = (0.0, 0.2, 0.45, 0.7, 1.0)
    moments = [
        drawn.style.portraits(drawn.faces, SIZE, blink=blink, gaze_x=0.3) for blink in blinks
    ]
    assert errors(drawn, torch.stack(moments, dim=1)).max() < 0.15


def test_one_smeared_eye_is_seen(drawn):
    frames = drawn.portraits[:, None]
    one = torch.cat([blurred(frames)[..., :64], frames[..., 64:]], dim=-1)
    assert (errors(drawn, one) > errors(drawn, frames) + 0.1).all()


def test_an_eye_that_is_open_and_shut_at_once_is_an_error(drawn):
    opened, shut = drawn.portraits[:, None], drawn.shut[:, None]
    whole = torch.cat([errors(drawn, opened), errors(drawn, shut)])
    assert errors(drawn, (opened + shut) / 2).min() > 2 * whole.max()


def test_light_and_tint_are_no_error(drawn):
    tint = torch.tensor([0.9, 0.95, 1.0]).view(3, 1, 1)
    assert errors(drawn, drawn.portraits[:, None] * tint).max() < 0.15


def test_faces_are_measured_the_same_alone_and_in_a_batch(drawn):
    frames = drawn.portraits[:, None]
    alone = SimpleNamespace(
        portraits=drawn.portraits[1:], states=EyeStates(*(value[1:] for value in drawn.states))
    )
    together = errors(drawn, frames)
    torch.testing.assert_close(together[1:], errors(alone, frames[1:]), atol=1e-3, rtol=0)
