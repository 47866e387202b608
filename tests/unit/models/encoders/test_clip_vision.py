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


def test_epsilons_are_the_authors(tower):
    epsilons = {m.eps for m in tower.modules() if isinstance(m, torch.nn.LayerNorm)}
    assert epsilons == {1e-5}


def test_half_precision_weights_take_float_images(tower):
    half = ClipVision(CONFIG).bfloat16().eval()
    with torch.no_grad():
        tokens = half(torch.zeros(1, 3, 32, 32))
    assert tokens.dtype == torch.bfloat16
    assert tokens.isfinite().all()


def test_tokens_are_those_of_the_library(tower):
    from transformers import CLIPVisionConfig, CLIPVisionModel

    sizes = CLIPVisionConfig(
        image_size=32, patch_size=8, hidden_size=24, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=2, hidden_act="gelu", layer_norm_eps=1e-5,
    )  # fmt: skip
    library = CLIPVisionModel(sizes).eval()
    library = getattr(library, "vision_model", library)  # a wrapper before release 5
    missing = library.load_state_dict(tower.state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert all("post" in name or "position_ids" in name for name in missing.missing_keys)
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        embedded = library.pre_layrnorm(library.embeddings(pixels))
        expected = library.encoder(inputs_embeds=embedded).last_hidden_state
        tokens = tower.encoder(tower.pre_layrnorm(tower.embeddings(pixels)))
    torch.testing.assert_close(tokens, expected, atol=1e-5, rtol=1e-5)
