"""Fused blocks against eager ones: absorbed audio, merged padding, FP8 layers, and what they
leave to eager execution."""

import math

import pytest
import torch

from flashtalk_core.acceleration import fused_block
from flashtalk_core.acceleration.absorbed_audio import absorb_audio, is_worth_absorbing
from flashtalk_core.acceleration.apply import set_execution
from flashtalk_core.acceleration.attention_kernels import Float8Attention
from flashtalk_core.acceleration.block_ops import ContextKeys, EagerKernels, with_fallback
from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.config.networks import DiTConfig
from flashtalk_core.models.attention import sdpa
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.quantization.blocks import convert_blocks
from flashtalk_core.quantization.fp8 import FP8, Float8Linear, choose_format
from flashtalk_core.quantization.linear_format import DENSE

pytestmark = pytest.mark.cpu

CPU = torch.device("cpu")
CONFIG = DiTConfig(
    dim=96, ffn_dim=160, freq_dim=32, text_dim=20, text_len=9, num_heads=6, num_layers=2,
    audio_blocks=2, audio_channels=6, audio_intermediate_dim=10, audio_output_dim=16,
    audio_context_tokens=4, clip_dim=12, clip_tokens=5,
)  # fmt: skip


def make_dit(dtype=torch.float32, options=None, float8=False):
    torch.manual_seed(0)
    dit = AvatarDiT(CONFIG).eval()
    for name, parameter in dit.named_parameters():
        if "norm" in name:
            parameter.data.uniform_(0.5, 1.5)
        elif name.endswith("bias"):
            parameter.data.normal_(0, 0.3)
    dit = dit.to(dtype).requires_grad_(False)
    convert_blocks(dit, choose_format(float8=float8), CPU)
    set_execution(dit, options or KernelOptions.eager(), CPU)
    return dit


def contexts(dit, prompt_len=6, speakers=1, timesteps=(), routing="rotary"):
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(shape, generator=generator).to(dit.patch_embedding.weight)

    session = dit.project_session(
        draw(1, 20, 3, 4, 6), draw(1, prompt_len, 20), draw(1, 5, 12), timesteps
    )
    masks = None
    if speakers > 1:
        classes = torch.randint(3, (32, 48), generator=generator)
        masks = torch.stack([classes == number for number in range(3)]).float()
    return session, dit.project_audio(draw(speakers, 9, 5, 2, 6), 1.3, masks, routing)


def run(dit, **options):
    session, audio = contexts(dit, **options)
    latent = torch.randn(1, 16, 3, 4, 6, generator=torch.Generator().manual_seed(2))
    return dit(latent, torch.tensor([750.0]), session, audio)


def relative_rms(result, expected):
    return float((result - expected).norm() / expected.norm())


@torch.no_grad()
@pytest.mark.parametrize("prompt_len", [1, 6, 9])
def test_a_fused_block_computes_the_same(prompt_len):
    fused = make_dit(options=KernelOptions())
    expected = run(make_dit(), prompt_len=prompt_len)
    assert relative_rms(run(fused, prompt_len=prompt_len), expected) < 1e-6


@torch.no_grad()
def test_a_fused_block_in_half_precision_is_no_less_exact():
    exact = run(make_dit())
    fused = relative_rms(run(make_dit(torch.bfloat16, KernelOptions())), exact)
    plain = relative_rms(run(make_dit(torch.bfloat16)), exact)
    assert fused < 1.2 * plain


@torch.no_grad()
def test_a_fused_block_takes_float8_layers():
    plain = make_dit()
    convert_blocks(plain, FP8, CPU)
    fused = make_dit(options=KernelOptions(), float8=True)
    assert relative_rms(run(fused), run(plain)) < 1e-2
    assert relative_rms(run(fused), run(make_dit())) < 0.05


@torch.no_grad()
def test_audio_projections_are_absorbed_where_that_takes_fewer_products():
    dit = make_dit()
    layer = dit.blocks[0].audio_cross_attn
    audio = contexts(dit)[1].blocks[0]
    assert is_worth_absorbing(layer, audio, 18)  # as in the other tests here
    assert not is_worth_absorbing(layer, audio, 15)
    layer.proj = Float8Linear(layer.proj)
    assert not is_worth_absorbing(layer, audio, 18)


@torch.no_grad()
@pytest.mark.parametrize(("speakers", "routing"), [(2, "rotary"), (3, "regions")])
def test_two_speakers_are_fused(speakers, routing, monkeypatch):
    options = {"speakers": speakers, "routing": routing}
    expected = run(make_dit(), **options)
    fused, absorbed = make_dit(options=KernelOptions()), []
    monkeypatch.setattr(
        fused_block, "absorb_audio", lambda *args: absorbed.append(1) or absorb_audio(*args)
    )
    monkeypatch.setattr(fused_block, "is_worth_absorbing", lambda *_: True)
    assert relative_rms(run(fused, **options), expected) < 1e-6
    # Rotary positions stand between query and key; regions are absorbed one by one in each block.
    assert len(absorbed) == (0 if routing == "rotary" else 3 * 2)


def test_with_gradients_layers_run_eagerly():
    plain, fused = make_dit(), make_dit(options=KernelOptions())
    grads = []
    for dit in (plain, fused):
        weight = dit.blocks[0].ffn[0].weight.requires_grad_()
        run(dit).square().mean().backward()
        grads.append(weight.grad)
    assert torch.equal(*grads)


@torch.no_grad()
def test_a_timestep_that_the_session_knows_is_embedded_once():
    dit = make_dit()
    unknown, audio = contexts(dit)
    embedded = []
    original = dit._embed_time
    dit._embed_time = lambda timestep: embedded.append(1) or original(timestep)
    session, _ = contexts(dit, timesteps=[750.0, 500.1])
    latent = torch.randn(1, 16, 3, 4, 6)
    times = [torch.tensor([time]) for time in (750.0, 500.1, 750.0)]
    found = [dit(latent, time, session, audio) for time in times]
    assert len(embedded) == 2
    expected = [dit(latent, time, unknown, audio) for time in times]
    assert len(embedded) == 5
    assert all(map(torch.equal, found, expected))


def test_float8_attention_scales_to_the_range_and_back():
    seen = {}

    def kernel(q, k, v, **undo):
        seen.update(undo, q=q)
        return q.float() * undo["q_descale"][:, None, :, None]

    attention = Float8Attention(kernel)
    x = torch.randn(1, 7, 3, 16).bfloat16() * 30
    (q, q_undo) = attention.scale(x)
    assert q.dtype == torch.float8_e4m3fn
    assert 400 < float(q.float().abs().max()) <= 448
    out = attention.attend(q, q, q, q_undo, q_undo, q_undo)
    assert relative_rms(out, x.float()) < 0.04
    assert q_undo.shape == (1, 3)
    assert not attention.takes(x, 64), "only on a GPU"


def test_each_head_has_a_float8_scale_of_its_own():
    attention = Float8Attention(None)
    x = torch.randn(1, 7, 3, 16) * torch.tensor([1e-3, 1.0, 1e3])[:, None]
    whole, undo = attention.scale(x)
    assert relative_rms(whole.float() * undo[:, None, :, None], x) < 0.04
    for head in range(3):
        alone, alone_undo = attention.scale(x[:, :, head : head + 1])
        assert torch.equal(alone.float(), whole[:, :, head : head + 1].float())
        assert torch.equal(alone_undo[:, 0], undo[:, head])
    part, part_undo = attention.scale(x[:, :2], attention.largest(x))
    assert torch.equal(part.float(), whole[:, :2].float())
    assert torch.equal(part_undo, undo)
    assert not attention.largest(x[:, :0]).any()


class EverywhereFloat8Attention(Float8Attention):
    """FP8 attention whose kernel undoes the scales and computes in float32, on any device."""

    def __init__(self):
        super().__init__(self.kernel)
        self.calls = 0

    def takes(self, q, head_dim):
        return True

    def kernel(self, *heads, **undo):
        self.calls += 1
        assert {each.dtype for each in heads} == {torch.float8_e4m3fn}
        assert all(each.float().isfinite().all() for each in heads)
        factors = (undo[f"{name}_descale"][:, None, :, None] for name in "qkv")
        return sdpa(*(x.float() * factor for x, factor in zip(heads, factors, strict=True)))


@torch.no_grad()
@pytest.mark.parametrize("float8", [False, True])
def test_float8_attention_in_a_fused_block_is_near_the_plain_one(float8):
    expected, dit = run(make_dit()), make_dit(options=KernelOptions(), float8=float8)
    attention = EverywhereFloat8Attention()
    for block in dit.blocks:
        block.self_attn.attention = attention
    assert 0 < relative_rms(run(dit), expected) < 0.05
    assert attention.calls == len(dit.blocks)


class Broken(EagerKernels):
    """Fails in one operation, as a kernel does that a GPU has not the memory for."""

    def __init__(self, error):
        super().__init__()
        self.error, self.calls = error, 0

    def to_linear(self, x, *, gelu, rows):
        self.calls += 1
        raise self.error


def test_merged_keys_have_their_weight_in_every_format():
    """The prompt says -1 and its padding 1, with half of the weight each."""
    count = 273  # whose logarithm lies between two numbers of bfloat16
    keys = torch.zeros(2, 1, 16, dtype=torch.bfloat16)
    keys[0] = 1
    q = torch.full((3, 1, 16), math.log(count) / 4, dtype=torch.bfloat16)
    ratio = count * torch.exp(-q[0, 0, 0].float() * 4)
    expected = (ratio - 1) / (ratio + 1)
    values = torch.tensor([-1.0, 1.0], dtype=torch.bfloat16).view(2, 1, 1).expand(2, 1, 16)
    nothing = ContextKeys(keys, torch.zeros_like(keys))
    found = EagerKernels().attend(q, ContextKeys(keys, values, count), nothing)
    torch.testing.assert_close(found.float(), expected.expand_as(found), atol=3e-3, rtol=0)


def test_an_operation_that_fails_runs_eagerly_from_then_on(caplog):
    fast, x = Broken(RuntimeError("out of resource: shared memory")), torch.randn(3, 8)
    kernels = with_fallback(fast, EagerKernels())
    expected = EagerKernels().to_linear(x, gelu=True, rows=DENSE)
    for _ in range(2):
        assert torch.equal(kernels.to_linear(x, gelu=True, rows=DENSE), expected)
    assert fast.calls == 1
    assert len(caplog.records) == 1
    assert "'to_linear' cannot run here, using the slower eager one" in caplog.text
    assert torch.equal(kernels.add(x, x, x[0]), x + x * x[0])


def test_memory_that_runs_out_is_not_hidden_by_a_slower_way():
    kernels = with_fallback(Broken(torch.OutOfMemoryError("no memory")), EagerKernels())
    with pytest.raises(torch.OutOfMemoryError):
        kernels.to_linear(torch.zeros(1, 8), gelu=True, rows=DENSE)
