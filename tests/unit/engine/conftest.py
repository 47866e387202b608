"""Toy avatars: real code, with random weights at 32 x 48 pixels or the tiny model at 32 x 32."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.config.networks import DiTConfig, VAEConfig
from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.engine.chunk import ChunkModel, generate_chunk
from flashtalk_core.engine.plan import PlannedSpeaker, RenderPlan
from flashtalk_core.engine.reference import Reference, prepare_reference
from flashtalk_core.engine.request import AvatarRequest
from flashtalk_core.engine.state import SessionState
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.placement.place import Placement
from flashtalk_core.placement.residency import CachedNetworks
from flashtalk_core.weights.load import open_avatar

DIT = DiTConfig(
    dim=24, ffn_dim=32, freq_dim=16, text_dim=10, text_len=6, num_heads=2, num_layers=1,
    audio_blocks=2, audio_channels=6, audio_intermediate_dim=10, audio_output_dim=8,
    audio_context_tokens=2, clip_dim=12, clip_tokens=5,
)  # fmt: skip


@dataclass(frozen=True)
class Toy:
    """Networks, a portrait and its reference."""

    model: ChunkModel
    dit: AvatarDiT
    vae: VideoVAE
    clip_tokens: torch.Tensor
    image: torch.Tensor
    context: torch.Tensor
    reference: Reference

    def windows(self, seed=0):
        generator = torch.Generator().manual_seed(seed)
        num_frames = self.model.chunk.num_frames
        return torch.randn(1, num_frames, 5, 2, 6, generator=generator)

    def run(self, state=None, sampling=None, audio=0, **hooks):
        """Return a whole chunk's frames and the state after it."""
        chunk = generate_chunk(
            self.model,
            self.reference,
            self.windows(audio),
            state or SessionState(),
            sampling or SamplingConfig(steps=2),
            **hooks,
        )
        groups = list(chunk)
        return torch.cat([group.frames for group in groups], dim=1), groups[-1].state


def build_toy(chunk, dtype=torch.float32):
    torch.manual_seed(0)
    dit, vae = AvatarDiT(DIT), VideoVAE(VAEConfig(dim=4, num_res_blocks=1))
    for module in (dit, vae):
        module.to(dtype).eval()
    tokens = torch.randn(1, DIT.clip_tokens, DIT.clip_dim)
    image, context = torch.rand(3, 32, 48) * 2 - 1, torch.randn(4, 10)
    reference = prepare_reference(
        dit=dit,
        vae=vae,
        clip_tokens=tokens,
        image=image,
        context=context,
        chunk=chunk,
    )
    model = ChunkModel.resident(dit, vae, chunk)
    return Toy(model, dit, vae, tokens, image, context, reference)


@pytest.fixture(scope="session")
def make_toy():
    """Build a toy for an arithmetic of chunks, in a dtype."""
    return build_toy


@pytest.fixture(scope="session")
def toy():
    return build_toy(ChunkConfig(num_frames=13, num_motion_frames=5))


PLACEMENT = Placement(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="session")
def checkpoint():
    return open_avatar("tiny")


@pytest.fixture(scope="session")
def networks(checkpoint):
    """The tiny model's networks, read when the first test needs them."""
    return CachedNetworks(checkpoint, PLACEMENT)


@pytest.fixture(scope="session")
def make_plan(checkpoint):
    """Plan a video of noise, of 1 step and 32 x 32 pixels by default."""

    def make(*, image_seed=0, audio_seed=0, seconds=0.4, size_px=(32, 32), **given):
        rng = np.random.default_rng(image_seed)
        image = Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8))
        noise = np.random.default_rng(audio_seed).standard_normal((1, round(seconds * 16_000)))
        audio = AudioArray("noise", noise.astype(np.float32) * 0.1, 16_000)
        names = ("prompt", "fit", "prompt_changes", "context", "clip_tokens", "chunk",
                 "num_decode_latents")  # fmt: skip
        wanted = {name: given.pop(name) for name in names if name in given}
        places = {name: given.pop(name) for name in ("placement", "attention") if name in given}
        request = AvatarRequest(
            image=image,
            size_px=size_px,
            sampling=SamplingConfig(**{"steps": 1, "rule": "euler"} | given),
            **{"prompt": "hello"} | wanted,
        )
        return RenderPlan(
            checkpoint=checkpoint,
            request=request,
            speakers=(PlannedSpeaker(probe_audio(audio)),),
            **{"placement": PLACEMENT} | places,
        )

    return make
