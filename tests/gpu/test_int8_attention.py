"""Attention in 8-bit integers against float64."""

import pytest
import torch

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _needs_hopper():
    if torch.cuda.get_device_capability() != (9, 0):
        pytest.skip("the kernel is for compute capability 9.0")


def draw(*shape):
    generator = torch.Generator("cuda").manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, device="cuda", dtype=torch.bfloat16)


def exact(q, k, v):
    q, k, v = (x.double().transpose(0, 1) for x in (q, k, v))
    return (torch.softmax(q @ k.transpose(1, 2) * q.shape[2] ** -0.5, -1) @ v).transpose(0, 1)


@pytest.mark.parametrize("lengths", [(1, 1), (64, 128), (129, 127), (300, 1000), (1000, 4097)])
@pytest.mark.parametrize("offset", [0, 5])
def test_it_agrees_at_every_length_and_whatever_the_mean_of_keys_and_values(lengths, offset):
    from flashtalk_core.acceleration.triton.int8_attention import attend

    num_queries, num_keys = lengths
    q, k, v = draw(num_queries, 3, 128), draw(num_keys, 3, 128), draw(num_keys, 3, 128)
    k, v = k + offset * draw(3, 128), v + offset * draw(3, 128)
    found, expected = attend(q, k, v), exact(q, k, v)
    spread = (expected - v.double().mean(0)).norm().clamp(min=0.01 * expected.norm())
    # What rounding to bfloat16 adds grows with the mean.
    assert float((found.double() - expected).norm() / spread) < (0.03 if offset == 0 else 0.2)
    assert torch.equal(found, attend(q, k, v))
