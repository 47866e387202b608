"""The full-width autoencoder in bands on several ranks: fused, channels last, on real kernels."""

import copy

import pytest
import torch
import torch.distributed as dist

from flashtalk_core.acceleration.apply import set_execution
from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.bench.agreement import MAX_ERROR, MIN_STD
from flashtalk_core.bench.random_networks import random_network
from flashtalk_core.bench.ranks.process import run_ranks
from flashtalk_core.config.networks import VAEConfig
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.parallel.banded_images import BandedImages
from flashtalk_core.parallel.bands import choose_grid
from flashtalk_core.parallel.image_spread import WHOLE
from flashtalk_core.parallel.torch_collectives import TorchCollectives
from flashtalk_core.parity.precision import exact_float32

SIZE_PX = (272, 448)
"""34 x 56 latent cells: two bands of 17 rows, or of 28 columns."""
NUM_LATENTS = 5
GRIDS = {2: ("rows", "columns"), 4: ("rows", "2x2"), 8: ("columns", "4x2")}
"""By ranks."""


@torch.no_grad()
def outputs(vae, spread, device):
    """Return whole frames and latents, float32."""
    generator = torch.Generator().manual_seed(0)
    weight = next(vae.parameters())
    cells = [side // 8 for side in SIZE_PX]
    latent = torch.randn(1, 16, NUM_LATENTS, *cells, generator=generator).to(weight)
    video = torch.rand(1, 3, 5, *SIZE_PX, generator=generator).mul(2).sub(1).to(weight)
    frames = torch.cat(list(spread.decode(vae, latent, 2)), dim=2)
    torch.cuda.synchronize(device)
    found = [spread.join(frames), spread.encode(vae, video, 2)]
    return [each.float() for each in found]


def fused(vae, device):
    set_execution(vae, KernelOptions(), device)
    return vae


def relative_errors(found, expected):
    pairs = zip(found, expected, strict=True)
    return [float((one - other).norm() / other.norm()) for one, other in pairs]


def measure(group, device):
    """Return by grid the errors of bands: in float32, in bfloat16, and of one device in it."""
    config = VAEConfig()
    wide = random_network(lambda: VideoVAE(config), device, torch.float32)
    narrow = copy.deepcopy(wide).to(torch.bfloat16)
    exact = outputs(wide, WHOLE, device)
    eager = relative_errors(outputs(narrow, WHOLE, device), exact)
    one = relative_errors(outputs(fused(copy.deepcopy(narrow), device), WHOLE, device), exact)
    report = {"stds": [float(each.std()) for each in exact], "eager": eager, "one": one}
    for text in GRIDS[group.size]:
        spread = BandedImages.over(choose_grid(text, SIZE_PX, group.size), group)
        report[f"{text} float32"] = relative_errors(outputs(wide, spread, device), exact)
        several = outputs(fused(narrow, device), spread, device)
        report[text] = relative_errors(several, exact)
    return report


def report_of_a_process(_device, num_gpus):
    device = torch.device("cuda", dist.get_rank() % num_gpus)
    torch.cuda.set_device(device)
    with exact_float32():
        return measure(TorchCollectives(), device)


def check(num_ranks, backend, num_gpus):
    reports = run_ranks(report_of_a_process, num_ranks, backend, num_gpus)
    for report in reports:
        assert min(report["stds"]) >= MIN_STD
        # As for any mode that differs in rounding only, which also differs between sizes.
        modes = zip(report["eager"], report["one"], strict=True)
        bounds = [1.05 * max(MAX_ERROR, *errors) for errors in modes]
        for text in GRIDS[num_ranks]:
            # Kernels for another size of image may sum in another order.
            assert max(report[f"{text} float32"]) < 1e-4, report
            pairs = zip(report[text], bounds, strict=True)
            assert all(error <= bound for error, bound in pairs), report


@pytest.mark.gpu
@pytest.mark.parametrize("num_ranks", GRIDS)
def test_ranks_on_one_gpu_agree_with_one_device(num_ranks):
    check(num_ranks, "gloo", 1)


@pytest.mark.multigpu
def test_two_gpus_agree_with_one_device():
    check(2, "nccl", 2)
