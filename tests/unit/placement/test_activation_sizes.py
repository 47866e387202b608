"""Estimates of activation memory, compared with what was measured at the full size."""

from types import SimpleNamespace

import pytest
import torch

from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.engine.plan import working_bytes
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.placement.memory_plan import MemoryPlan
from flashtalk_core.placement.place import Placement

pytestmark = pytest.mark.cpu

GIB = 2**30


def full_size(
    num_decode_latents=1, size_px=(768, 448), dtype=torch.bfloat16, options=None, row_tiles=False
):
    config = AvatarConfig()
    return SimpleNamespace(
        checkpoint=SimpleNamespace(config=config),
        request=SimpleNamespace(size_px=size_px, num_decode_latents=num_decode_latents),
        chunk=config.chunk,
        placement=Placement(
            torch.device("cpu"),
            dtype,
            kernel_options=options or KernelOptions.eager(),
            memory=MemoryPlan(row_tiles=row_tiles),
        ),
    )


@pytest.mark.parametrize(
    ("kind", "num_latents", "row_tiles", "measured_gib"),
    [
        (AvatarDiT, 1, False, 1.3 + 0.8),  # a step, and keys and values that stay between steps
        (VideoVAE, 1, False, 3.4),
        (VideoVAE, 1, True, 2.8),
        (VideoVAE, 8, False, 9.5),
    ],
)
def test_estimates_cover_what_was_measured_and_little_more(
    kind, num_latents, row_tiles, measured_gib
):
    estimate = working_bytes(kind, full_size(num_latents, row_tiles=row_tiles)) / GIB
    assert measured_gib <= estimate <= 1.25 * measured_gib


def test_estimates_grow_with_the_image_and_the_dtype():
    base = working_bytes(VideoVAE, full_size())
    assert working_bytes(VideoVAE, full_size(size_px=(384, 448))) == base / 2
    assert working_bytes(VideoVAE, full_size(dtype=torch.float32)) == base * 2


def test_encoders_need_no_working_memory():
    assert working_bytes(AudioEncoder, full_size()) == 0
