"""A small transformer and inputs for it, and how it is divided among ranks in tests."""

import copy

import torch

from flashtalk_core.acceleration.apply import set_execution
from flashtalk_core.acceleration.attention_kernels import Float8Attention
from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.acceleration.lse_attention import eager_with_lse
from flashtalk_core.config.networks import DiTConfig
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.parallel.groups import sequence_groups
from flashtalk_core.parallel.sequence import spread_transformer
from flashtalk_core.quantization.blocks import convert_blocks
from flashtalk_core.quantization.fp8 import choose_format
from flashtalk_core.sampling.schedule import noise_levels
from flashtalk_core.sampling.step import denoise

CPU = torch.device("cpu")
CONFIG = DiTConfig(
    dim=96, ffn_dim=160, freq_dim=32, text_dim=20, text_len=9, num_heads=6, num_layers=2,
    audio_blocks=2, audio_channels=6, audio_intermediate_dim=10, audio_output_dim=16,
    audio_context_tokens=4, clip_dim=12, clip_tokens=5,
)  # fmt: skip
ODD = (6, 10)
"""Latent cells: 15 positions a frame, which no number of ranks in the tests divides but 3."""
TINY = (4, 6)
"""6 positions a frame."""
EXECUTIONS = {"eager": KernelOptions.eager(), "fused": KernelOptions()}


def make_transformer(execution="eager", float8=False):
    torch.manual_seed(0)
    dit = AvatarDiT(CONFIG).eval().requires_grad_(False)
    for name, parameter in dit.named_parameters():
        if "norm" in name:
            parameter.uniform_(0.5, 1.5)
        elif name.endswith("bias"):
            parameter.normal_(0, 0.3)
    convert_blocks(dit, choose_format(float8=float8), CPU)
    set_execution(dit, EXECUTIONS[execution], CPU)
    return dit


def draw(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def velocity(dit, size, speakers=1, routing="rotary"):
    """Return the velocity of a random chunk of ``size`` latent cells."""
    session, audio = contexts(dit, size, speakers, routing)
    return dit(draw(1, 16, 3, *size, seed=5), torch.tensor([750.0]), session, audio)


def contexts(dit, size, speakers=1, routing="rotary"):
    weight = dit.patch_embedding.weight
    inputs = [draw(1, 20, 3, *size, seed=1), draw(1, 6, 20, seed=2), draw(1, 5, 12, seed=3)]
    session = dit.project_session(*(each.to(weight) for each in inputs))
    masks = None
    if speakers > 1:
        masks = (draw(3, 8 * size[0], 8 * size[1], seed=4) > 0).float()
    num_voices = speakers + (routing == "regions")  # silence is the third
    windows = draw(num_voices, 9, 5, 2, 6, seed=6).to(weight)
    return session, dit.project_audio(windows, 1.3, masks, routing)


@torch.no_grad()
def denoised(dit, size, rule):
    """Return the latents of a chunk after all steps."""
    session, audio = contexts(dit, size)
    generator = torch.Generator().manual_seed(7)
    return denoise(
        lambda latent, level: dit(latent, torch.tensor([1000 * level]), session, audio),
        noise_levels(2, 5.0),
        draw(1, 16, 2, *size, seed=8),
        rule,
        lambda: torch.randn(1, 16, 3, *size, generator=generator),
    )


def on_rank(dit, world, degrees=(None, None), attention=None):
    """Return a copy of ``dit`` divided among the ranks of ``world``, and its groups."""
    own = copy.deepcopy(dit)
    for block in own.blocks:
        block.self_attn.attention = attention or block.self_attn.attention
    groups = sequence_groups(world, *degrees)
    spread_transformer(own, groups)
    return own, groups


class EverywhereFloat8Attention(Float8Attention):
    """FP8 attention whose kernel undoes the scales and computes in float32, on any device."""

    def __init__(self):
        super().__init__(self.kernel)
        self.calls = 0

    def takes(self, q, head_dim):
        return True

    def kernel(self, *heads, return_attn_probs=False, **undo):
        self.calls += 1
        assert {each.dtype for each in heads} == {torch.float8_e4m3fn}
        assert all(each.float().isfinite().all() for each in heads)
        factors = (undo[f"{name}_descale"][:, None, :, None] for name in "qkv")
        wide = [x.float() * factor for x, factor in zip(heads, factors, strict=True)]
        out, lse = eager_with_lse(*wide)
        return (out, lse) if return_attn_probs else out
