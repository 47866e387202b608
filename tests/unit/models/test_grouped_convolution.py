"""A grouped convolution as a matrix product."""

import pytest
import torch
import torch.nn.functional as F

from flashtalk_core.models.grouped_convolution import convolve_groups

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize(
    ("channels", "outputs", "kernel", "padding", "groups"),
    [(64, 64, 128, 64, 16), (12, 6, 3, 1, 3), (6, 12, 4, 0, 2), (5, 7, 5, 2, 1)],
)
@pytest.mark.parametrize("has_bias", [True, False])
def test_it_equals_the_plain_convolution(channels, outputs, kernel, padding, groups, has_bias):
    draw = torch.Generator().manual_seed(kernel)
    x = torch.randn(2, channels, 21, generator=draw, dtype=torch.float64)
    weight = torch.randn(outputs, channels // groups, kernel, generator=draw, dtype=torch.float64)
    bias = torch.randn(outputs, generator=draw, dtype=torch.float64) if has_bias else None
    expected = F.conv1d(x, weight, bias, padding=padding, groups=groups)
    found = convolve_groups(x, weight, bias, padding, groups)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_half_precision_stays_half_precision():
    x, weight = torch.randn(1, 8, 9).bfloat16(), torch.randn(8, 4, 3).bfloat16()
    assert convolve_groups(x, weight, weight[:, 0, 0], 1, 2).dtype == torch.bfloat16
