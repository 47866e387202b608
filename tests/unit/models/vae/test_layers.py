"""The two implementations of convolution, and norms at the limits of their dtype."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from flashtalk_core.models.vae.layers import CausalConv3d, RMSNorm

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("num_frames", [1, 2, 5])
@pytest.mark.parametrize("kernel", [(3, 3, 3), (3, 1, 1)])
def test_the_sum_over_taps_is_the_convolution(kernel, num_frames, layout):
    torch.manual_seed(0)
    layer = CausalConv3d(4, 6, kernel)
    x = torch.randn(2, 4, num_frames, 8, 9)
    padded = F.pad(x, (0, 0, 0, 0, 2, 0))
    expected = nn.Conv3d.forward(layer, padded)
    result = layer(x.contiguous(memory_format=layout))
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def test_the_norm_is_that_of_pytorch():
    torch.manual_seed(0)
    norm, x = RMSNorm(6), torch.randn(2, 6, 2, 3, 4)
    norm.gamma.data.uniform_(0.5, 1.5)
    expected = F.normalize(x, dim=1) * 6**0.5 * norm.gamma
    torch.testing.assert_close(norm(x), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_pixel_of_zeros_stays_zero_in_every_format(dtype):
    norm = RMSNorm(4).to(dtype)
    assert norm(torch.zeros(1, 4, 1, 2, 2, dtype=dtype)).abs().max() == 0
