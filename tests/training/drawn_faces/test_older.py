"""Older faces: a style of its own, whose mouths are measured as well as those of training."""

import pytest
import torch
from torch.nn import functional

from flashtalk_training.cli import evaluate
from flashtalk_training.drawn_faces.motion import sample_motion
from flashtalk_training.drawn_faces.mouth import measure_mouth_opening
from flashtalk_training.drawn_faces.styles import OLDER, STYLES, TRAINED

pytestmark = pytest.mark.training

FACES, FRAMES, SIZE = 10, 16, (128, 128)
SMALL = (64, 64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def speaking(generator):
    """Return mouths that move at the speed of speech in every channel."""
    raw = torch.rand(6, FACES, FRAMES + 2, generator=generator)
    smooth = (raw[..., :-2] + 2 * raw[..., 1:-1] + raw[..., 2:]) / 4
    opening = ((smooth[0] - 0.3) * 2.2).clamp(0, 1)
    width = ((smooth[1] - 0.5) * 3).clamp(-1, 1)
    rest = ((smooth[2:] - 0.3) * 1.5).clamp(0, 1)
    return torch.stack([opening, width, rest[0], rest[1] * (opening == 0), *rest[2:]], dim=-1)


@pytest.fixture(scope="module", params=list(STYLES.values()), ids=list(STYLES))
def talking(request):
    """Draw a face at a time, which is several times as fast on a processor."""
    generator, style = seeded(11), request.param
    track, mood = speaking(generator), torch.arange(FACES) % 3
    motion = sample_motion(FACES, FRAMES, generator, mood, mood.flip(0)).with_mouth(track)
    faces = style.sample(FACES, generator)
    images = [style.render(faces.pick([i]), motion.pick([i]), SIZE) for i in range(FACES)]
    return torch.cat(images), track[..., 0]


def test_the_measured_mouth_follows_the_drawn_opening_in_both_styles(talking):
    images, opening = talking
    measured = measure_mouth_opening(images)
    a, b = (x - x.mean(dim=1, keepdim=True) for x in (measured, opening))
    assert functional.cosine_similarity(a, b, dim=1).mean() >= 0.98
    assert torch.corrcoef(torch.stack([measured.flatten(), opening.flatten()]))[0, 1] > 0.97
    assert measured[opening == 0].max() < 0.02
    assert 0.8 < measured[opening > 0.95].mean() < 1.2


def test_no_older_face_has_the_colour_of_an_open_mouth():
    faces = OLDER.sample(96, seeded(9))
    assert measure_mouth_opening(OLDER.portraits(faces, SMALL)).max() < 0.02


def test_only_the_lower_face_of_an_older_face_changes_when_the_mouth_opens():
    faces = OLDER.sample(6, seeded())
    opened = torch.tensor([1.0, 0, 0, 0, 0, 0])
    change = OLDER.portraits(faces, SMALL, mouth=opened) - OLDER.portraits(faces, SMALL)
    rows = change.abs().amax(dim=(0, 1, 3))
    assert rows[: SMALL[0] // 2 - 2].max() < 0.02
    assert rows[SMALL[0] // 2 :].max() > 0.3


def test_older_faces_are_of_another_style_and_differ_from_each_other():
    older, trained = (
        style.portraits(style.sample(12, seeded(1)), SMALL) for style in (OLDER, TRAINED)
    )

    def nearest(images, others):
        distance = (images[:, None] - others[None]).abs().mean(dim=(2, 3, 4))
        return distance.masked_fill(distance == 0, 1).amin(dim=1)

    assert nearest(older, older).min() > 0.03
    assert nearest(older, trained).min() > 0.07
    # Ink and wrinkles: older faces have more edges.
    edges = [(images[..., 1:] - images[..., :-1]).abs().mean() for images in (older, trained)]
    assert edges[0] > 1.3 * edges[1]


def test_the_light_comes_from_one_side():
    faces = OLDER.sample(8, seeded(3))
    swapped = faces._replace(light_side=-faces.light_side)
    change = OLDER.portraits(swapped, SMALL) - OLDER.portraits(faces, SMALL)
    left = change[..., 20:40, 18:28].mean(dim=(1, 2, 3))
    right = change[..., 20:40, 36:46].mean(dim=(1, 2, 3))
    assert (left * faces.light_side > 0.02).all()
    assert (right * faces.light_side < -0.02).all()


def test_the_background_of_an_older_face_stays_while_the_head_moves():
    faces = OLDER.sample(2, seeded(2))
    images = OLDER.render(faces, sample_motion(2, 12, seeded(), 2), SMALL)
    corner = images[..., :4, :4]
    assert (corner - corner[:, :1]).abs().max() < 1e-6


def test_the_command_names_every_style():
    assert tuple(STYLES) == evaluate.STYLES
