"""Two speakers on a GPU: Triton's fused blocks against eager ones, and the tiny model."""

import numpy as np
import pytest
import torch
from PIL import Image

from flashtalk_core.acceleration import fused_block
from flashtalk_core.acceleration.absorbed_audio import absorb_audio
from flashtalk_core.acceleration.apply import set_execution
from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.config.networks import DiTConfig
from flashtalk_core.engine.build import build_avatar
from flashtalk_core.engine.resolve import Inputs, LocalHost, resolve
from flashtalk_core.engine.session import run_session
from flashtalk_core.engine.spec import PlacementSpec, RenderSpec, SamplingSpec, Speaker
from flashtalk_core.media.audio.dialogue.analysis import open_analysis
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.placement.residency import CachedNetworks

pytestmark = pytest.mark.gpu

CONFIG = DiTConfig(
    dim=256, ffn_dim=512, freq_dim=32, text_dim=20, text_len=9, num_heads=4, num_layers=2,
    audio_blocks=2, audio_channels=6, audio_intermediate_dim=10, audio_output_dim=32,
    audio_context_tokens=8, clip_dim=12, clip_tokens=5,
)  # fmt: skip
CUDA = torch.device("cuda")
BOUNDS = {torch.float32: 1e-4, torch.bfloat16: 3e-2}


def velocity(options, dtype, routing):
    torch.manual_seed(0)
    dit = AvatarDiT(CONFIG).to(CUDA, dtype).eval().requires_grad_(False)
    set_execution(dit, options, CUDA)

    def draw(*shape):
        return torch.randn(shape, dtype=torch.float32).to(CUDA, dtype)

    torch.manual_seed(1)
    session = dit.project_session(draw(1, 20, 3, 16, 32), draw(1, 6, 20), draw(1, 5, 12))
    masks = torch.zeros(3, 128, 256)
    masks[0, :, :100], masks[1, :, 160:], masks[2, :, 100:160] = 1, 1, 1
    windows = draw(2 if routing == "rotary" else 3, 9, 5, 2, 6)
    audio = dit.project_audio(windows, 1.0, masks, routing)
    latent = draw(1, 16, 3, 16, 32).float()
    return dit(latent, torch.tensor([750.0]), session, audio)


@torch.no_grad()
@pytest.mark.parametrize("dtype", list(BOUNDS))
@pytest.mark.parametrize("routing", ["rotary", "regions"])
def test_fused_blocks_compute_what_eager_ones_do(routing, dtype, monkeypatch):
    absorbed = []
    monkeypatch.setattr(
        fused_block, "absorb_audio", lambda *args: absorbed.append(1) or absorb_audio(*args)
    )
    expected = velocity(KernelOptions.eager(), torch.float32, routing)
    found = velocity(KernelOptions(), dtype, routing)
    assert float((found - expected).norm() / expected.norm()) < BOUNDS[dtype]
    assert bool(absorbed) == (routing == "regions")


@pytest.mark.parametrize("routing", ["rotary", "regions"])
def test_a_video_of_two_is_rendered_with_all_that_auto_chooses(routing):
    pixels = np.random.default_rng(0).integers(0, 255, (128, 256, 3), np.uint8)
    voices = tuple(
        AudioArray(f"voice {seed}", noise.astype(np.float32) * 0.1, 16_000)
        for seed in (0, 1)
        for noise in [np.random.default_rng(seed).standard_normal((1, 32_000))]
    )
    spec = RenderSpec(
        speakers=(Speaker(mask="left"), Speaker(mask="right")),
        speaker_routing=routing,
        size_px=(128, 256),
        sampling=SamplingSpec(steps=2),
        placement=PlacementSpec(device="cuda"),
    )
    inputs = Inputs(image=Image.fromarray(pixels), audio_inputs=voices)
    plan = resolve(spec, LocalHost(), inputs)
    with open_analysis(plan.voices, plan.chunk.sample_rate_hz) as heard:
        avatar = build_avatar(plan, heard, CachedNetworks(plan.checkpoint, plan.placement))
        frames = list(run_session(avatar, plan.audio))
    assert sum(len(each) for each in frames) == 50
