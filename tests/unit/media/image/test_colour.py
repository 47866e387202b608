import pytest
import torch

from flashtalk_core.media.image.colour import ColourReference, lab_to_rgb, match_colours, rgb_to_lab
from tests.unit.parallel.thread_ranks import run_ranks

pytestmark = pytest.mark.cpu


def random_frames(seed, num_frames=3, low=-0.9, high=0.9):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, num_frames, 24, 16, generator=generator) * (high - low) + low


def statistics(frame):
    lab = rgb_to_lab((frame + 1) / 2)
    return torch.stack([lab.mean(dim=(-2, -1)), lab.std(dim=(-2, -1), correction=0)])


def test_lab_goes_there_and_back():
    rgb = random_frames(0, low=0, high=1)
    # The rounded matrices are inverse to each other to four digits only.
    assert torch.allclose(lab_to_rgb(rgb_to_lab(rgb)), rgb, atol=2e-3)


def test_known_colours():
    white, red = rgb_to_lab(torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]])).T
    assert torch.allclose(white, torch.tensor([100.0, 0.0, 0.0]), atol=0.02)
    assert torch.allclose(red, torch.tensor([53.24, 80.09, 67.20]), atol=0.05)


def test_each_frame_takes_the_statistics_of_the_reference():
    image = random_frames(1, low=-0.3, high=0.3)[:, 0]
    frames = random_frames(2) * torch.tensor([0.1, 0.3, 0.2]).reshape(1, 3, 1, 1)
    matched = match_colours(frames, ColourReference.from_image(image))
    for index in range(3):
        assert torch.allclose(statistics(matched[:, index]), statistics(image), atol=0.1)


def test_strength_blends_between_frame_and_matched_colours():
    reference = ColourReference.from_image(random_frames(3)[:, 0])
    frames = random_frames(4, low=-0.5, high=0.2)
    full = match_colours(frames, reference, 1.0)
    half = match_colours(frames, reference, 0.5)
    assert torch.allclose(half, (frames + full) / 2, atol=1e-6)
    assert torch.equal(match_colours(frames, reference, 0.0), frames)


@pytest.mark.parametrize("level", [-1.0, -0.37, 0.123, 1.0])
def test_constant_frames_stay_constant(level):
    frames = torch.full((3, 2, 48, 80), level)
    reference = ColourReference.from_image(random_frames(5)[:, 0])
    matched = match_colours(frames, reference)
    assert torch.isfinite(matched).all()
    assert float(matched.std(dim=(-2, -1)).max()) < 1e-4


def test_values_out_of_range_give_finite_results():
    frames = random_frames(6, low=-1.7, high=1.7)
    reference = ColourReference.from_image(random_frames(7)[:, 0])
    matched = match_colours(frames, reference)
    assert torch.isfinite(matched).all()
    assert float(matched.abs().max()) <= 1


def test_half_precision_keeps_its_type():
    reference = ColourReference.from_image(random_frames(8)[:, 0])
    frames = random_frames(9)
    matched = match_colours(frames.bfloat16(), reference)
    assert matched.dtype == torch.bfloat16
    assert torch.allclose(matched.float(), match_colours(frames, reference), atol=0.03)


def test_parts_of_a_frame_are_matched_as_the_whole():
    """A part may have no pixels."""
    frames, reference = random_frames(10), ColourReference.from_image(random_frames(11)[:, 0])
    parts = frames.split([5, 0, 19], dim=-2)

    def work(group):
        return match_colours(parts[group.rank], reference, 1.0, group.sum)

    matched = torch.cat(run_ranks(3, work), dim=-2)
    torch.testing.assert_close(matched, match_colours(frames, reference), atol=1e-5, rtol=0)
