"""Packed weights on a GPU: the numbers of the CPU, and results of unpacked weights to the bit."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from flashtalk_core.acceleration.apply import set_execution
from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.offload.blocks import BlockOffload
from flashtalk_core.placement.block_sizes import packed_blocks
from flashtalk_core.quantization.packed import scaled
from flashtalk_core.quantization.packed.linear import PackedLinear
from flashtalk_core.quantization.packed.quantise import quantise_q4_k
from flashtalk_core.quantization.packed.superblocks import Q4_K
from flashtalk_core.weights.formats.tensor_file import open_tensor_file
from flashtalk_core.weights.mapping.key_maps import DIT_KEYS
from flashtalk_core.weights.plan import load_module, plan_component
from tests.unit.quantization.packed.test_packings import GGUF, RECORDED, numbers, random_rows
from tests.unit.weights.test_packed import CONFIG, files, run, weights

pytestmark = pytest.mark.gpu

__all__ = ["files", "weights"]
DEVICE = torch.device("cuda")


@pytest.mark.parametrize("name", RECORDED)
def test_blocks_are_unpacked_as_on_the_cpu(name):
    found = GGUF[name].unpacked((random_rows(name).to(DEVICE),), torch.float32).cpu()
    assert torch.equal(found.nan_to_num(), numbers(name).nan_to_num())


def test_blocks_are_rounded_as_on_the_cpu():
    torch.manual_seed(0)
    matrix = torch.randn(64, 512)
    found = Q4_K.unpacked((quantise_q4_k(matrix.to(DEVICE)),), torch.float32).cpu()
    assert float((found - matrix).norm() / matrix.norm()) < 0.075


def test_other_packings_are_unpacked_as_on_the_cpu():
    torch.manual_seed(0)
    codes = torch.randint(0, 256, (32, 64)).to(torch.uint8)
    scales = (torch.rand(32, 8) + 0.5).to(torch.float8_e4m3fn)
    exponents = torch.randint(120, 130, (32, 2)).to(torch.uint8)
    fp8 = torch.randn(32, 64).to(torch.float8_e4m3fn)
    rows = torch.rand(32, 1)
    cases = (
        (scaled.NVFP4, (codes, scales, torch.tensor([[0.3]]))),
        (scaled.MXFP8, (fp8, exponents)),
        (scaled.FP8_E4M3, (fp8, rows)),
        (scaled.INT8, (codes.view(torch.int8), rows)),
    )
    for packing, parts in cases:
        found = packing.unpacked(tuple(part.to(DEVICE) for part in parts), torch.bfloat16)
        assert torch.equal(found.cpu(), packing.unpacked(parts, torch.bfloat16)), packing


def load(path, *, packed, hooks=()):
    plan = plan_component(lambda: AvatarDiT(CONFIG), [open_tensor_file(path)], DIT_KEYS)
    kept = plan.packings("blocks.") if packed else {}
    return load_module(replace(plan, kept=kept), DEVICE, torch.bfloat16, hooks=hooks)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("num_resident", [None, 1])
def test_a_packed_transformer_gives_the_steps_of_an_unpacked_one(files, fused, num_resident):
    options = KernelOptions(fused_blocks=True) if fused else KernelOptions.eager()
    found = []
    for packed in (False, True):
        offload = None if num_resident is None or not packed else BlockOffload(DEVICE, num_resident)
        dit = load(files / "mixed.gguf", packed=packed, hooks=[offload] if offload else [])
        set_execution(dit, options, DEVICE, provider=offload)
        found.append(run(dit))
    assert found[0].std() > 0.1
    assert torch.equal(*found)


def test_memory_of_packed_blocks_is_no_more_than_counted(files):
    before = torch.cuda.memory_allocated()
    dit = load(files / "Q4_K.gguf", packed=True)
    others = sum(p.nbytes for name, p in dit.named_parameters() if not name.startswith("blocks."))
    taken = torch.cuda.memory_allocated() - before - others
    plan = plan_component(
        lambda: AvatarDiT(CONFIG), [open_tensor_file(files / "Q4_K.gguf")], DIT_KEYS
    )
    counted = packed_blocks(CONFIG, torch.bfloat16, plan.packings("blocks."))
    assert taken < 1.1 * sum(map(sum, counted.blocks)) + 2**20


def test_packed_layers_can_be_recorded_as_a_cuda_graph():
    linear = nn.Linear(512, 256, device=DEVICE, dtype=torch.bfloat16)
    layer = PackedLinear(linear, Q4_K)
    layer.set_parts((quantise_q4_k(linear.weight.detach()),))
    x = torch.randn(64, 512, device=DEVICE, dtype=torch.bfloat16)
    with torch.no_grad():
        expected = layer(x)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = layer(x)
    graph.replay()
    assert torch.equal(found, expected)
