import pytest
import torch

from flashtalk_core.media.image.colour import (
    ColourReference,
    lab_to_rgb,
    match_colours,
    outside_mouth,
    rgb_to_lab,
)
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


def open_mouth(image, area):
    """Return the image matched to itself with a red patch where mouths are."""
    frames = image[:, None].clone()
    frames[:, :, 14:18, 6:10] = torch.tensor([-0.2, -1.0, -1.0]).reshape(3, 1, 1, 1)
    reference = ColourReference.from_image(image).of(area)
    weights = outside_mouth((24, 16)) if area == "no-mouth" else None
    return match_colours(frames, reference, weights=weights)[:, 0]


def test_an_open_mouth_shifts_no_colours_where_it_is_left_out():
    image = random_frames(10, low=-0.5, high=0.5)[:, 0]
    around = outside_mouth((24, 16)).bool()
    off = {
        area: (open_mouth(image, area) - image)[:, around].abs().mean()
        for area in ("frame", "no-mouth")
    }
    assert off["frame"] > 0.01
    assert off["no-mouth"] < 1e-3


def test_what_is_left_out_is_matched_like_all_else():
    image = random_frames(11, low=-0.5, high=0.5)[:, 0]
    reference = ColourReference.from_image(image).of("no-mouth")
    weights = outside_mouth((24, 16))
    faded = image[:, None] * 0.5 + 0.2
    matched = match_colours(faded, reference, weights=weights)
    inside = weights == 0
    before, after = ((each[:, 0] - image)[:, inside].abs().mean() for each in (faded, matched))
    assert after < 0.2 * before


def test_parts_of_a_frame_are_marked_as_the_whole_is():
    whole = outside_mouth((24, 16))
    assert 0 < whole.mean() < 1
    assert torch.equal(outside_mouth((10, 7), (9, 4), (24, 16)), whole[9:19, 4:11])


def test_bands_around_the_mouth_are_matched_as_the_whole_frame_is():
    image, frames = random_frames(12)[:, 0], random_frames(13)
    reference = ColourReference.from_image(image).of("no-mouth")
    parts = frames.split([9, 15, 0], dim=-2)

    def work(group):
        part, corner = parts[group.rank], (0, 9, 24)[group.rank]
        weights = outside_mouth((part.shape[-2], 16), (corner, 0), (24, 16))
        return match_colours(part, reference, 1.0, group.sum, weights)

    matched = torch.cat(run_ranks(3, work), dim=-2)
    whole = match_colours(frames, reference, weights=outside_mouth((24, 16)))
    torch.testing.assert_close(matched, whole, atol=1e-5, rtol=0)
