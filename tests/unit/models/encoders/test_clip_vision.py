"""Vision tower: sizes, what is not built, epsilons."""

import pytest
import torch

from flashtalk_core.config.networks import ClipVisionConfig
from flashtalk_core.models.encoders.clip_vision import ClipVision

pytestmark = pytest.mark.cpu

CONFIG = ClipVisionConfig(image_size=32, patch_size=8, dim=24, num_heads=2, num_layers=3)


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(0)
    return ClipVision(CONFIG).eval()


def test_images_of_any_size_become_patches_and_a_class_token(tower):
    with torch.no_grad():
        assert tower(torch.zeros(2, 3, 40, 60)).shape == (2, 17, 24)


def test_the_last_block_and_the_closing_norm_are_not_built(tower):
    names = [name for name, _ in tower.named_parameters()]
    assert any(".layers.1." in name for name in names)
    assert not any(".layers.2." in name or "post" in name for name in names)


def test_gelu_is_the_exact_one_and_epsilons_are_the_authors(tower):
    epsilons = {m.eps for m in tower.modules() if isinstance(m, torch.nn.LayerNorm)}
    activation = tower.encoder.layers[0].mlp.activation_fn
    values = torch.linspace(-3, 3, 50)
    assert epsilons == {1e-5}
    assert activation(values).equal(torch.nn.functional.gelu(values))


def test_half_precision_weights_take_float_images(tower):
    half = ClipVision(CONFIG).bfloat16().eval()
    with torch.no_grad():
        tokens = half(torch.zeros(1, 3, 32, 32))
    assert tokens.dtype == torch.bfloat16
    assert tokens.isfinite().all()


def test_positions_exist_when_built_without_memory():
    with torch.device("meta"):
        empty = ClipVision(CONFIG)
    assert all(buffer.device.type == "cpu" for buffer in empty.buffers())
