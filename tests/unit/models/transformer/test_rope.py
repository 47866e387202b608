"""Rotary positions against complex numbers."""

import pytest
import torch

from flashtalk_core.models.transformer.rope import position_rotation, rotate, video_rotation

pytestmark = pytest.mark.cpu

CPU = torch.device("cpu")


def turn(x, angles):
    """Multiply neighbouring channels, as complex numbers, by exp(i * angle)."""
    pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)))
    turned = pairs * torch.exp(1j * angles)[:, None]
    return torch.view_as_real(turned).flatten(-2)


def angles_of_token(token, head_dim):
    """Authors' split: a sixth of the channels, twice, for height and width, the rest for time."""
    sixth = head_dim // 6
    widths = (head_dim - 4 * sixth, 2 * sixth, 2 * sixth)
    return [
        position / 10_000 ** (2 * pair / width)
        for position, width in zip(token, widths, strict=True)
        for pair in range(width // 2)
    ]


@pytest.mark.parametrize("head_dim", [24, 26, 128])
def test_video_tokens_turn_as_complex_numbers(head_dim):
    grid = (3, 2, 4)
    tokens = [(t, y, x) for t in range(3) for y in range(2) for x in range(4)]
    angles = torch.tensor(
        [angles_of_token(token, head_dim) for token in tokens], dtype=torch.float64
    )
    x = torch.randn(2, len(tokens), 3, head_dim, generator=torch.Generator().manual_seed(0))
    turned = rotate(x, video_rotation(grid, head_dim, CPU))
    torch.testing.assert_close(turned.double(), turn(x, angles), atol=2e-6, rtol=0)


def test_real_positions_turn_as_complex_numbers():
    positions = torch.tensor([0.0, 3.7, 12.0, 23.999])
    exponents = torch.arange(0, 16, 2, dtype=torch.float64) / 16
    angles = torch.outer(positions.double(), 10_000.0**-exponents)
    x = torch.randn(1, 4, 2, 16, generator=torch.Generator().manual_seed(1))
    turned = rotate(x, position_rotation(positions, 16))
    torch.testing.assert_close(turned.double(), turn(x, angles), atol=2e-5, rtol=0)


def test_scores_depend_on_the_distance_only():
    grid, head_dim = (1, 1, 9), 24
    generator = torch.Generator().manual_seed(2)
    q, k = (torch.randn(1, 1, 1, head_dim, generator=generator) for _ in range(2))
    rotation = video_rotation(grid, head_dim, CPU)
    q, k = (rotate(x.expand(1, 9, 1, head_dim), rotation)[0, :, 0] for x in (q, k))
    scores = q @ k.T
    torch.testing.assert_close(scores[0, 3], scores[5, 8], atol=1e-5, rtol=0)
    assert abs(float(scores[0, 3] - scores[0, 4])) > 1e-3


def test_first_token_does_not_turn_and_the_dtype_is_kept():
    x = torch.randn(1, 4, 1, 12, generator=torch.Generator().manual_seed(3)).bfloat16()
    turned = rotate(x, video_rotation((2, 2, 1), 12, CPU))
    assert turned.dtype == torch.bfloat16
    assert torch.equal(turned[:, 0], x[:, 0])
    assert not torch.equal(turned[:, 1:], x[:, 1:])
