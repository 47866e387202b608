import pytest
import torch
from torch.nn import functional

from flashtalk_training.drawn_faces.drift import border_mask
from flashtalk_training.drawn_faces.faces import (
    render,
    rest_motion,
    sample_identity,
    sample_motion,
)
from flashtalk_training.drawn_faces.mouth import (
    anchor_mask,
    measure_mouth_opening,
    measure_mouth_shape,
)

pytestmark = pytest.mark.training
FACES, FRAMES = 9, 16


def random_track(generator):
    """Return mouths that move at the speed of speech in every channel."""
    raw = torch.rand(6, FACES, FRAMES + 2, generator=generator)
    smooth = (raw[..., :-2] + 2 * raw[..., 1:-1] + raw[..., 2:]) / 4
    opening = ((smooth[0] - 0.3) * 2.2).clamp(0, 1)
    width = ((smooth[1] - 0.5) * 3).clamp(-1, 1)
    rest = ((smooth[2:] - 0.3) * 1.5).clamp(0, 1)
    closure = rest[1] * (opening == 0)
    return torch.stack([opening, width, rest[0], closure, rest[2], rest[3]], dim=-1)


@pytest.fixture(scope="module")
def talking():
    generator = torch.Generator().manual_seed(11)
    track = random_track(generator)
    moods = torch.arange(FACES) % 3
    motion = sample_motion(FACES, FRAMES, generator, moods, moods.flip(0)).with_mouth(track)
    return render(sample_identity(FACES, generator), motion), track[..., 0]


def correlation(a, b):
    a, b = (x - x.mean(dim=1, keepdim=True) for x in (a, b))
    return functional.cosine_similarity(a, b, dim=1)


def blur(images, sigma):
    reach = torch.arange(-4, 5)
    kernel = torch.exp(-0.5 * (reach / sigma) ** 2)
    kernel = kernel / kernel.sum()
    flat = images.reshape(-1, 1, *images.shape[-2:])
    flat = functional.conv2d(flat, kernel.view(1, 1, 1, -1), padding=(0, 4))
    return functional.conv2d(flat, kernel.view(1, 1, -1, 1), padding=(4, 0)).view_as(images)


def test_the_measured_mouth_follows_the_drawn_opening(talking):
    images, opening = talking
    assert correlation(measure_mouth_opening(images), opening).mean() > 0.97


def test_the_measure_survives_blur_and_noise(talking):
    images, opening = talking
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    worse = (blur(images, 1.0) + 0.02 * noise).clamp(0, 1)
    assert correlation(measure_mouth_opening(worse), opening).mean() > 0.95


def test_shut_measures_nothing_and_open_about_one(talking):
    images, opening = talking
    measured = measure_mouth_opening(images)
    assert measured[opening == 0].max() < 0.02
    assert 0.7 < measured[opening > 0.95].mean() < 1.3


def test_the_measure_does_not_depend_on_size():
    generator = torch.Generator().manual_seed(1)
    identity = sample_identity(4, generator)
    motion = rest_motion(4)
    mouth = motion.mouth.clone()
    mouth[..., 0] = 0.7
    small, large = (
        measure_mouth_opening(render(identity, motion.with_mouth(mouth), (size, size)))
        for size in (128, 256)
    )
    torch.testing.assert_close(small, large, atol=0.08, rtol=0)


def test_frames_and_faces_may_be_batched_in_any_way(talking):
    images, _ = talking
    flat = measure_mouth_opening(images.flatten(0, 1))
    torch.testing.assert_close(flat.view(FACES, FRAMES), measure_mouth_opening(images))


def test_a_wider_mouth_is_measured_wider_and_a_higher_one_higher():
    motion, identity = rest_motion(1, 3), sample_identity(1, torch.Generator().manual_seed(5))
    mouth = torch.zeros(1, 3, 6)
    mouth[0, :, 0] = torch.tensor([0.5, 0.5, 0.9])
    mouth[0, :, 1] = torch.tensor([-0.8, 0.8, -0.8])
    frames = render(identity, motion.with_mouth(mouth))[0]
    shape = measure_mouth_shape(frames)
    assert shape[1, 1] > shape[0, 1] + 0.1
    assert shape[2, 0] > shape[0, 0] + 0.1
    assert torch.equal(shape[:, 0], measure_mouth_opening(frames))


def test_the_anchor_leaves_the_mouth_out_and_counts_the_border_whole():
    mask = anchor_mask(16, 0.25, torch.device("cpu"))
    border = border_mask(16, torch.device("cpu")) == 1
    assert mask.unique().tolist() == [0.0, 0.25, 1.0]
    assert (mask[border] == 1).all()
    # The mouth of a drawn face is around 70 % of the height.
    assert mask[11, 8] == 0
    assert mask[5, 8] == mask[15, 8] == 0.25
    assert torch.equal(anchor_mask(16, 0.0, torch.device("cpu")), border.float())
