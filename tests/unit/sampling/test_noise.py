"""Noise by seed and chunk."""

import pytest
import torch

from flashtalk_core.sampling import noise as noise_module
from flashtalk_core.sampling.noise import ChunkNoise, NoiseAhead

pytestmark = pytest.mark.cpu

SHAPE = (1, 16, 3, 4, 4)
CPU = torch.device("cpu")


def draw(seed, chunk, dtype=torch.float32):
    return ChunkNoise(seed, chunk).draw(SHAPE, CPU, dtype)


def test_the_same_seed_and_chunk_give_the_same_noise():
    assert torch.equal(draw(7, 3), draw(7, 3))


def test_noise_does_not_depend_on_earlier_draws():
    expected = draw(7, 3)
    torch.manual_seed(1)
    ChunkNoise(7, 2).draw((5,), CPU, torch.float32)
    torch.randn(100)
    assert torch.equal(draw(7, 3), expected)


def test_drawing_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    expected = torch.randn(3)
    torch.manual_seed(1)
    draw(7, 3)
    assert torch.equal(torch.randn(3), expected)


def test_chunks_seeds_and_draws_differ():
    noise = ChunkNoise(7, 3)
    first, second = (noise.draw(SHAPE, CPU, torch.float32) for _ in range(2))
    # Seed and chunk are not interchangeable, nor added up.
    others = [draw(7, 4), draw(8, 3), draw(3, 7), draw(6, 4), draw(2**63 - 1, 0), second]
    for other in others:
        assert abs(float(torch.corrcoef(torch.stack([first, other]).flatten(1))[0, 1])) < 0.2


def test_noise_is_unit_normal():
    noise = ChunkNoise(0, 0).draw((100_000,), CPU, torch.float32)
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02


def test_half_precision_noise_is_the_same_noise_rounded():
    assert torch.equal(draw(7, 3, torch.bfloat16), draw(7, 3).bfloat16())


def test_noise_is_pinned():
    # So that chunks of a render made by an earlier release can be redone.
    start = draw(9999, 0).flatten()[:3].tolist()
    assert start == pytest.approx([2.2182693, 1.5604134, -1.6359717], abs=1e-5)


LARGE = (1, 16, 9, 32, 32)
CUDA = torch.device("cuda")


@pytest.fixture
def stays_on_the_cpu(monkeypatch):
    """Draw as for a GPU, but move nothing."""
    monkeypatch.setattr(noise_module, "_moved", lambda noise, device, dtype: noise.to(dtype))


def expected_draws(seed, chunk, shape, count):
    noise = ChunkNoise(seed, chunk)
    return [noise.draw(shape, CPU, torch.float32) for _ in range(count)]


@pytest.mark.usefixtures("stays_on_the_cpu")
@pytest.mark.parametrize("count", [1, 4])
def test_noise_drawn_ahead_is_the_same_to_the_bit(count):
    ahead = NoiseAhead()
    for chunk in range(3):
        draw = ahead.of_chunk(7, chunk)
        found = [draw(LARGE, CUDA, torch.float32) for _ in range(count)]
        for one, other in zip(found, expected_draws(7, chunk, LARGE, count), strict=True):
            assert torch.equal(one, other)
        assert ahead._next[0] == (7, chunk + 1, LARGE)


@pytest.mark.usefixtures("stays_on_the_cpu")
@pytest.mark.parametrize(
    ("seed", "chunk", "shape"), [(8, 1, LARGE), (7, 5, LARGE), (7, 1, (1, 16, 9, 32, 48))]
)
def test_what_was_drawn_ahead_for_another_chunk_is_not_used(seed, chunk, shape):
    ahead = NoiseAhead()
    ahead.of_chunk(7, 0)(LARGE, CUDA, torch.float32)
    found = ahead.of_chunk(seed, chunk)(shape, CUDA, torch.float32)
    assert torch.equal(found, expected_draws(seed, chunk, shape, 1)[0])


@pytest.mark.parametrize(("shape", "device"), [(SHAPE, CUDA), (LARGE, CPU)])
@pytest.mark.usefixtures("stays_on_the_cpu")
def test_small_images_and_cpus_draw_nothing_ahead(shape, device):
    ahead = NoiseAhead()
    found = ahead.of_chunk(7, 0)(shape, device, torch.float32)
    assert torch.equal(found, expected_draws(7, 0, shape, 1)[0])
    assert ahead._next is None
