"""A transformer of full width divided among ranks, with real kernels, against one device."""

import itertools

import pytest
import torch
import torch.distributed as dist

from flashtalk_core.acceleration.apply import set_execution
from flashtalk_core.acceleration.attention_kernels import KERNELS, choose_attention, is_installed
from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.acceleration.support import is_supported
from flashtalk_core.bench.agreement import MAX_ERROR_FLOAT8, MIN_STD, rounding_bound
from flashtalk_core.bench.random_networks import random_network
from flashtalk_core.bench.ranks.process import run_ranks
from flashtalk_core.config.networks import DiTConfig
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.parallel.groups import ONE_RANK, sequence_groups
from flashtalk_core.parallel.sequence import spread_transformer
from flashtalk_core.parallel.torch_collectives import TorchCollectives
from flashtalk_core.quantization.blocks import convert_blocks
from flashtalk_core.quantization.fp8 import choose_format, fp8_unsupported_reason

CONFIG = DiTConfig(num_layers=4)
CELLS = (30, 26)
"""195 positions a frame: 98 and 97 on two ranks, 25 and 24 on eight."""
WAYS = {2: ((2, 1), (1, 2)), 4: ((4, 1), (2, 2), (1, 4)), 8: ((8, 1), (4, 2), (1, 8))}
"""Degrees of Ulysses and Ring by ranks."""


def attention_names(device):
    """Return the kernels that this machine has and that can merge."""
    packaged = [each for each in KERNELS if each.has_lse or each.name.endswith("fp8")]
    usable = [each.name for each in packaged if is_installed(each) and each.runs_on(device)]
    return ["sdpa", "sdpa-cudnn", *usable]


def make_transformer(device, float8):
    dit = random_network(lambda: AvatarDiT(CONFIG), device, torch.bfloat16)
    if float8:
        convert_blocks(dit, choose_format(float8=True), device)
    options = KernelOptions()
    set_execution(dit, options if is_supported(options, device) else KernelOptions.eager(), device)
    return dit


@torch.no_grad()
def velocity(dit, device):
    def draw(*shape):
        return torch.randn(shape, generator=generator).to(device, torch.bfloat16)

    generator = torch.Generator().manual_seed(0)
    session = dit.project_session(
        draw(1, 20, 9, *CELLS), draw(1, 20, CONFIG.text_dim), draw(1, 257, CONFIG.clip_dim)
    )
    audio = dit.project_audio(draw(1, 33, 5, CONFIG.audio_blocks, CONFIG.audio_channels))
    latent = draw(1, 16, 9, *CELLS)
    return dit(latent, torch.tensor([750.0]), session, audio).float()


def check_rank(device, world):
    """Compare every format, kernel and way on this rank; return the errors by name."""
    formats = [False] if fp8_unsupported_reason(device) else [False, True]
    errors = {}
    for float8 in formats:
        dit = make_transformer(device, float8)
        for name in attention_names(device):
            bound = rounding_bound(CONFIG.num_layers, torch.bfloat16)
            if float8 or name.endswith("fp8"):
                bound = MAX_ERROR_FLOAT8
            spread_transformer(dit, ONE_RANK)
            for block in dit.blocks:
                block.self_attn.attention = choose_attention(name, device)
            expected = velocity(dit, device)
            assert float(expected.std()) > MIN_STD
            for way in WAYS[world.size]:
                spread_transformer(dit, sequence_groups(world, *way))
                error = float((velocity(dit, device) - expected).norm() / expected.norm())
                errors[f"{'FP8' if float8 else 'bf16'} {name} {way}"] = (error, bound)
        del dit
        torch.cuda.empty_cache()
    return errors


def errors_of_a_process(_device, num_gpus):
    device = torch.device("cuda", dist.get_rank() % num_gpus)
    torch.cuda.set_device(device)
    return check_rank(device, TorchCollectives())


def check(num_ranks, backend, num_gpus, record_property):
    found = run_ranks(errors_of_a_process, num_ranks, backend, num_gpus)
    record_property("relative rms, bound", found[0])
    wrong = {
        (rank, name): pair
        for rank, name in itertools.product(range(len(found)), found[0])
        # Written so that a NaN does not pass.
        if not (pair := found[rank][name])[0] <= pair[1]
    }
    assert len(found) == num_ranks
    assert not wrong


@pytest.mark.gpu
@pytest.mark.parametrize("num_ranks", WAYS)
def test_ranks_on_one_gpu_compute_what_one_device_does(num_ranks, record_property):
    check(num_ranks, "gloo", 1, record_property)


@pytest.mark.multigpu
def test_two_gpus_compute_what_one_does(record_property):
    check(2, "nccl", 2, record_property)
