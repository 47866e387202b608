"""Norms, modulation and the three attentions of a block."""

import pytest
import torch
from torch import nn

from flashtalk_core.config.networks import DiTConfig
from flashtalk_core.models.attention import sdpa
from flashtalk_core.models.transformer.block import AudioAttention, AvatarBlock, ContextAttention
from flashtalk_core.models.transformer.norms import LayerNorm, RMSNorm, linear_fp32
from flashtalk_core.models.transformer.rope import video_rotation

pytestmark = pytest.mark.cpu

CONFIG = DiTConfig(dim=24, ffn_dim=40, num_heads=2, num_layers=1, audio_output_dim=10)
GRID = (3, 2, 2)


@pytest.fixture
def block():
    torch.manual_seed(0)
    return AvatarBlock(CONFIG, sdpa)


def contexts(block):
    text, image = torch.randn(1, 4, 24), torch.randn(1, 5, 24)
    weight = block.modulation
    session = block.cross_attn.project(text.to(weight), image.to(weight))
    audio = block.audio_cross_attn.project(torch.randn(1, 3, 6, 10).to(weight), 1)
    return video_rotation(GRID, 12, torch.device("cpu")), session, audio


def test_norms_have_the_authors_epsilon(block):
    epsilons = {
        name: module.eps
        for name, module in block.named_modules()
        if isinstance(module, RMSNorm | nn.LayerNorm)
    }
    assert len(epsilons) == 9
    assert set(epsilons.values()) == {1e-6}


def test_only_the_norms_before_cross_attention_have_weights(block):
    affine = [
        n for n, m in block.named_modules() if isinstance(m, LayerNorm) and m.elementwise_affine
    ]
    assert sorted(affine) == ["norm3", "norm_x"]


def test_rms_norm_divides_by_the_root_mean_square_before_scaling():
    norm = RMSNorm(4, 1e-6)
    norm.weight.data = torch.tensor([1.0, 2.0, 0.5, 1.0])
    result = norm(torch.tensor([[2.0, 2.0, -2.0, 2.0]]))
    torch.testing.assert_close(result, torch.tensor([[1.0, 2.0, -0.5, 1.0]]))


def test_norms_of_half_precision_tokens_are_computed_in_float32():
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(0)).bfloat16() + 100
    for norm in (LayerNorm(64, 1e-6), RMSNorm(64, 1e-6)):
        expected = norm(x.float()).bfloat16()
        result = norm.bfloat16()(x)
        assert result.dtype == torch.bfloat16
        assert torch.equal(result, expected)


def test_a_layer_can_run_in_float32_with_half_precision_weights():
    layer = nn.Linear(8, 8).bfloat16()
    x = torch.randn(2, 8)
    expected = x @ layer.weight.float().T + layer.bias.float()
    torch.testing.assert_close(linear_fp32(layer, x), expected)


def test_modulation_finer_than_half_precision_still_counts(block):
    block = block.bfloat16()
    rotation, session, audio = contexts(block)
    x = torch.zeros(1, 12, 24, dtype=torch.bfloat16)
    seen = []
    block.ffn.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    nn.init.zeros_(block.modulation)
    # Equal in bfloat16, which ends at 2**-8 around 1; apart once scaled and rounded.
    fine, coarse = torch.full((1, 6, 24), 1 + 2.0**-9), torch.ones(1, 6, 24)
    with torch.no_grad():
        outputs = [
            block(x + torch.linspace(-1, 1, 24).bfloat16(), modulation, rotation, session, audio)
            for modulation in (fine, coarse)
        ]
    assert outputs[0].dtype == torch.bfloat16
    assert not torch.equal(seen[0], seen[1])


def test_with_closed_gates_only_cross_attention_changes_the_tokens(block):
    rotation, session, audio = contexts(block)
    x = torch.randn(1, 12, 24)
    with torch.no_grad():
        y = x + block.cross_attn(block.norm3(x), session)
        expected = y + block.audio_cross_attn(block.norm_x(y), audio, None)
        closed = -block.modulation.expand(1, 6, 24)
        torch.testing.assert_close(block(x, closed, rotation, session, audio), expected)


def test_a_latent_frame_hears_its_own_tokens_only():
    torch.manual_seed(1)
    attention = AudioAttention(CONFIG, sdpa)
    x, tokens = torch.randn(1, 12, 24), torch.randn(1, 3, 6, 10)
    changed = tokens.clone()
    changed[:, 1] += 1
    with torch.no_grad():
        before, after = (attention(x, attention.project(t, 1), None) for t in (tokens, changed))
    difference = (before - after).abs().amax(dim=-1)[0].view(3, 4).amax(dim=1)
    assert (difference > 1e-4).tolist() == [False, True, False]


def test_prompt_and_image_are_attended_to_apart():
    torch.manual_seed(2)
    attention = ContextAttention(CONFIG, sdpa)
    x, text, image = torch.randn(1, 3, 24), torch.randn(1, 4, 24), torch.randn(1, 5, 24)
    with torch.no_grad():
        context = attention.project(text, image)
        q = attention.norm_q(attention.q(x)).unflatten(-1, (2, 12))
        apart = sdpa(q, *context.text) + sdpa(q, *context.image)
        torch.testing.assert_close(attention(x, context), attention.o(apart.flatten(2)))


def test_the_attention_slot_is_used_by_all_attentions():
    calls = []

    def counting(q, k, v):
        calls.append(k.shape[1])
        return sdpa(q, k, v)

    torch.manual_seed(3)
    block = AvatarBlock(CONFIG, counting)
    rotation, session, audio = contexts(block)
    with torch.no_grad():
        block(torch.randn(1, 12, 24), torch.zeros(1, 6, 24), rotation, session, audio)
    assert calls == [12, 4, 5, 6]
