"""The two implementations of convolution, and norms at the limits of their dtype."""

import pytest
import torch
from torch import nn

from flashtalk_core.models.vae.layers import CausalConv3d, RMSNorm

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize("kernel", [(3, 3, 3), (3, 1, 1)])
def test_the_sum_over_taps_is_the_convolution(kernel):
    torch.manual_seed(0)
    layer = CausalConv3d(4, 6, kernel)
    x = torch.randn(2, 4, 5, 8, 9)
    padded = torch.nn.functional.pad(x, (0, 0, 0, 0, 2, 0))
    expected = nn.Conv3d.forward(layer, padded)
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_pixel_of_zeros_stays_zero_in_every_format(dtype):
    norm = RMSNorm(4).to(dtype)
    assert norm(torch.zeros(1, 4, 1, 2, 2, dtype=dtype)).abs().max() == 0
