import pytest
import torch

from flashtalk_training.drawn_faces.faces import (
    render,
    rest_motion,
    sample_identity,
    sample_motion,
)
from flashtalk_training.drawn_faces.mouth import measure_mouth_opening

pytestmark = pytest.mark.training
SIZE = (64, 64)
# Of the faces that the bundled model was trained on: what is drawn, the number drawn after them,
# and images of them.
FIELDS, NEXT, PIXELS = 44.721084, 0.013661324977874756, 17752.21746


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_same_generator_state_draws_the_same_faces():
    first, second = sample_identity(3, seeded(4)), sample_identity(3, seeded(4))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    other = sample_identity(3, seeded(5))
    assert not torch.equal(first.skin, other.skin)


def test_what_training_draws_never_changes():
    generator = seeded(4)
    identity = sample_identity(2, generator)
    assert sum(float(v.double().sum()) for v in identity) == pytest.approx(FIELDS, abs=1e-5)
    # So many numbers were drawn, no more.
    assert torch.rand(1, generator=generator).item() == NEXT
    motion = sample_motion(2, 3, seeded(5), liveliness=2)
    mouths = torch.rand(2, 3, 6, generator=seeded(6))
    images = render(identity, motion.with_mouth(mouths), SIZE).double()
    # Each pixel has a weight of its own, so that no two changes cancel.
    weights = torch.rand(images.shape, generator=seeded(7)).double()
    assert float((images * weights).sum()) == pytest.approx(PIXELS, abs=0.005)


def test_images_have_the_asked_size_and_range():
    identity = sample_identity(2, seeded())
    images = render(identity, sample_motion(2, 3, seeded()), (48, 80))
    assert images.shape == (2, 3, 3, 48, 80)
    assert images.dtype == torch.float32
    assert 0 <= images.min() < images.max() <= 1


def test_a_face_is_drawn_the_same_alone_and_in_a_batch():
    identity, motion = sample_identity(3, seeded()), sample_motion(3, 2, seeded(1))
    together = render(identity, motion, SIZE)
    alone = render(identity.pick([1]), motion.pick([1]), SIZE)
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=0)


def test_identities_are_clearly_different():
    images = render(sample_identity(8, seeded()), rest_motion(8), SIZE)[:, 0]
    distance = (images[:, None] - images[None]).abs().mean(dim=(2, 3, 4))
    assert distance[~torch.eye(8, dtype=torch.bool)].min() > 0.04


def test_size_does_not_change_the_drawing():
    identity = sample_identity(2, seeded())
    small = render(identity, rest_motion(2), (64, 64))
    large = render(identity, rest_motion(2), (256, 256)).flatten(0, 1)
    shrunk = torch.nn.functional.avg_pool2d(large, 4).view_as(small)
    assert (small - shrunk).abs().mean() < 0.01


def test_only_the_lower_face_changes_when_the_mouth_opens():
    identity, motion = sample_identity(4, seeded()), rest_motion(4)
    opened = motion.mouth.clone()
    opened[..., 0] = 1.0
    change = render(identity, motion.with_mouth(opened), SIZE) - render(identity, motion, SIZE)
    rows = change.abs().amax(dim=(0, 1, 2, 4))
    assert rows[: SIZE[0] // 2].max() < 0.02
    assert rows[SIZE[0] // 2 :].max() > 0.3


def test_a_blink_hides_the_eyes():
    identity = sample_identity(6, seeded())
    motion = rest_motion(6)
    shut = motion._replace(blink=torch.ones_like(motion.blink))
    rows = slice(int(0.40 * 128), int(0.52 * 128))
    columns = slice(int(0.3 * 128), int(0.7 * 128))

    def white(move):
        region = render(identity, move)[..., rows, columns]
        bright = (region.amin(dim=2) > 0.93).flatten(1)
        return bright.sum(dim=1)

    assert (white(motion) > white(shut) + 10).all()


def test_the_background_stays_while_the_head_moves():
    identity = sample_identity(4, seeded(2))
    images = render(identity, sample_motion(4, 30, seeded(), liveliness=2), SIZE)
    corner = images[..., :4, :4]
    assert (corner - corner[:, :1]).abs().max() < 1e-6


def test_no_face_has_the_colour_of_an_open_mouth():
    identity = sample_identity(96, seeded(9))
    assert measure_mouth_opening(render(identity, rest_motion(96), SIZE)).max() < 0.02


def test_the_renderer_has_no_graph_break():
    identity, motion = sample_identity(1, seeded()), sample_motion(1, 2, seeded())
    compiled = torch.compile(render, fullgraph=True, backend="eager")
    torch.testing.assert_close(
        compiled(identity, motion, (16, 16)), render(identity, motion, (16, 16))
    )
