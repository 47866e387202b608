"""Finding a drawn head: its place, whose it is, and its eyes."""

import pytest
import torch

from flashtalk_core.training.data.faces import render, rest_motion, sample_identity, sample_motion
from flashtalk_core.training.data.head import EYES_SHUT, measure_head
from flashtalk_core.training.data.mouth import measure_drift

pytestmark = pytest.mark.cpu

FACES, FRAMES = 3, 20
PIXEL = 1 / 128


@pytest.fixture(scope="module")
def identity():
    return sample_identity(FACES, torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def portraits(identity):
    return render(identity, rest_motion(FACES))[:, 0]


def moved(fields):
    """Return two frames of faces at rest but for ``fields``, ``(2,)`` each."""
    return rest_motion(FACES, 2)._replace(
        **{name: values.expand(FACES, 2) for name, values in fields.items()}
    )


def test_a_portrait_is_itself_where_it_is_with_its_eyes_open(portraits):
    head = measure_head(portraits[:, None], portraits)
    assert head.unlike.abs().max() < 1e-3
    assert head.x.abs().max() == head.y.abs().max() == 0
    torch.testing.assert_close(head.eyes, torch.ones(FACES, 1))


def test_a_head_is_found_where_it_was_drawn(identity, portraits):
    # Half-heights of the picture, so that its height is 2.
    places = {"x": torch.tensor([0.0, 0.15]), "y": torch.tensor([0.0, -0.08])}
    head = measure_head(render(identity, moved(places)), portraits)
    assert head.x[:, 0].abs().max() == 0
    torch.testing.assert_close(head.x[:, 1], torch.full((FACES,), 0.075), atol=PIXEL, rtol=0)
    torch.testing.assert_close(head.y[:, 1], torch.full((FACES,), -0.04), atol=PIXEL, rtol=0)
    assert head.unlike[:, 1].max() < 0.02


def test_the_first_session_is_compared_with_the_first_portrait_whatever_the_others_are(portraits):
    frames = torch.stack([portraits[[0, 1]], portraits[[2, 1]]])
    head = measure_head(frames, portraits[:2])
    assert head.unlike[0, 0] < 1e-3 < 0.1 < head.unlike[0, 1]
    assert head.unlike[1, 1] < 1e-3 < 0.1 < head.unlike[1, 0]


def test_movement_makes_nobody_else_of_a_face(identity, portraits):
    generator = torch.Generator().manual_seed(1)
    frames = render(identity, sample_motion(FACES, FRAMES, generator, liveliness=2))
    moved, other = (
        measure_head(each, portraits).unlike.median(dim=1).values
        for each in (frames, portraits.roll(1, 0)[:, None])
    )
    assert moved.max() * 5 < other.min()
    structure = measure_drift(frames, portraits[:, None]).structure.median(dim=1).values
    assert moved.mean() < 0.3 * structure.mean()


def test_a_tilted_head_is_turned_back(identity, portraits):
    tilted = render(identity, moved({"roll": torch.tensor([0.0, 0.1])}))
    assert measure_head(tilted, portraits).unlike.max() < 0.005
    # Unturned, such a head is less like its portrait than that.
    assert measure_drift(tilted, portraits[:, None]).structure[:, 1].min() > 0.02


def test_a_tint_is_another_identity(portraits):
    tint = torch.tensor([1.0, 0.9, 0.8]).view(3, 1, 1)
    assert measure_head((portraits * tint)[:, None], portraits).unlike.min() > 0.005


def test_blinks_are_seen_though_the_head_moves(identity, portraits):
    generator = torch.Generator().manual_seed(4)
    motion = sample_motion(FACES, 100, generator, liveliness=1)
    shut = measure_head(render(identity, motion), portraits).eyes < EYES_SHUT
    true = motion.blink > 0.5
    assert true.float().mean() > 0.03
    assert (shut == true).float().mean() > 0.95
