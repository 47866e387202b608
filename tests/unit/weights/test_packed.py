"""Transformers from packed files: their numbers, what stays packed, and what that takes."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from flashtalk_core.acceleration.apply import set_execution
from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.config.networks import DiTConfig
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.offload.blocks import BlockOffload
from flashtalk_core.placement.block_sizes import block_bytes, packed_blocks
from flashtalk_core.quantization.blocks import BlockConverter
from flashtalk_core.quantization.fp8 import FP8, Float8Linear
from flashtalk_core.quantization.packed.linear import PackedLinear
from flashtalk_core.weights.formats.tensor_file import open_tensor_file
from flashtalk_core.weights.lora.merge import LoraFile, plan_loras
from flashtalk_core.weights.mapping.key_maps import DIT_KEYS
from flashtalk_core.weights.plan import load_module, plan_component
from tests.gguf_files import write_file

pytestmark = pytest.mark.cpu

CPU = torch.device("cpu")
CONFIG = DiTConfig(
    dim=256, ffn_dim=512, freq_dim=32, text_dim=20, text_len=9, num_heads=2, num_layers=2,
    audio_blocks=2, audio_channels=6, audio_intermediate_dim=10, audio_output_dim=32,
    audio_context_tokens=4, clip_dim=12, clip_tokens=5,
)  # fmt: skip


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    dit = AvatarDiT(CONFIG)
    return {
        name: value.detach() + 0.02 * torch.randn_like(value)
        for name, value in dit.named_parameters()
    }


@pytest.fixture(scope="module")
def files(weights, tmp_path_factory):
    """The same weights dense, in one type, and in two as files of ``_M`` kinds are."""
    folder = tmp_path_factory.mktemp("files")
    save_file(weights, folder / "dense.safetensors")
    write_file(folder / "Q8_0.gguf", weights, "Q8_0")
    write_file(folder / "Q4_K.gguf", weights, "Q4_K")
    second = {name: "Q8_0" for name in weights if name.startswith("blocks.1.") and ".v." in name}
    write_file(folder / "mixed.gguf", weights, "Q4_K", second)
    return folder


def plan_of(path):
    return plan_component(lambda: AvatarDiT(CONFIG), [open_tensor_file(path)], DIT_KEYS)


def load(path, dtype=torch.float32, *, packed=False, plan=None, hooks=()):
    plan = plan or plan_of(path)
    kept = plan.packings("blocks.") if packed else {}
    return load_module(replace(plan, kept=kept), CPU, dtype, hooks=hooks)


@torch.no_grad()
def run(dit):
    generator = torch.Generator().manual_seed(1)
    weight = dit.patch_embedding.weight

    def draw(*shape):
        return torch.randn(1, *shape, generator=generator).to(weight)

    session = dit.project_session(draw(20, 3, 8, 8), draw(6, 20), draw(5, 12))
    audio = dit.project_audio(draw(9, 5, 2, 6))
    return dit(draw(16, 3, 8, 8), torch.tensor([700.0]), session, audio)


def error(found, expected):
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize(("name", "limit"), [("Q8_0", 0.01), ("Q4_K", 0.15)])
def test_results_are_near_those_of_the_dense_file(files, name, limit):
    expected = run(load(files / "dense.safetensors"))
    assert 1e-4 < error(run(load(files / f"{name}.gguf")), expected) < limit


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", ["Q8_0", "mixed"])
def test_what_stays_packed_gives_the_same_results_to_the_bit(files, name, dtype, fused):
    options = KernelOptions(fused_blocks=True) if fused else KernelOptions.eager()
    found = []
    for packed in (False, True):
        dit = load(files / f"{name}.gguf", dtype, packed=packed)
        set_execution(dit, options, CPU)
        found.append(run(dit))
    assert found[0].std() > 0.1
    assert torch.equal(*found)


@pytest.mark.parametrize("num_resident", [0, 1])
def test_packed_blocks_are_streamed_from_the_host(files, num_resident):
    expected = run(load(files / "mixed.gguf"))
    offload = BlockOffload(CPU, num_resident)
    dit = load(files / "mixed.gguf", packed=True, hooks=[offload])
    set_execution(dit, KernelOptions.eager(), CPU, provider=offload)
    assert torch.equal(run(dit), expected)
    assert torch.equal(run(dit), expected)


def test_all_linear_layers_of_blocks_stay_packed_and_nothing_else(files):
    dit = load(files / "Q8_0.gguf", packed=True)
    packed = {name for name, m in dit.named_modules() if isinstance(m, PackedLinear)}
    dense = {name for name, m in dit.named_modules() if isinstance(m, torch.nn.Linear)}
    assert len(packed) == CONFIG.num_layers * 15
    assert all(name.startswith("blocks.") for name in packed)
    assert not any(name.startswith("blocks.") for name in dense)


def test_the_memory_of_packed_blocks_is_counted_as_they_have_it(files):
    plan = plan_of(files / "mixed.gguf")
    counted = packed_blocks(CONFIG, torch.bfloat16, plan.packings("blocks."))
    dit = load(files / "mixed.gguf", torch.bfloat16, packed=True)
    assert counted.blocks == tuple(map(block_bytes, dit.blocks))
    assert len(set(counted.blocks)) == 2
    assert not counted.is_fp8
    assert packed_blocks(CONFIG, torch.bfloat16, {}) is None


def test_layers_become_fp8_where_that_is_requested(files):
    dit = load(files / "Q8_0.gguf", hooks=[BlockConverter(FP8, CPU)])
    assert isinstance(dit.blocks[0].ffn[0], Float8Linear)
    expected = run(load(files / "dense.safetensors"))
    assert error(run(dit), expected) < 0.1


def test_a_lora_is_merged_into_unpacked_weights(files, weights, tmp_path):
    name = "blocks.1.ffn.0"
    torch.manual_seed(1)
    pair = {f"diffusion_model.{name}.lora_A.weight": torch.randn(2, 256)}
    pair[f"diffusion_model.{name}.lora_B.weight"] = torch.randn(512, 2)
    save_file(pair, tmp_path / "lora.safetensors")
    shapes = {key: tuple(value.shape) for key, value in weights.items()}
    plan = plan_of(files / "Q8_0.gguf")
    plan = replace(plan, merge=plan_loras([LoraFile(tmp_path / "lora.safetensors")], shapes))
    dit = load(None, packed=True, plan=plan)
    assert isinstance(dit.blocks[1].ffn[2], PackedLinear)
    plain = load(files / "Q8_0.gguf").blocks[1].ffn[0].weight
    up, down = (pair[f"diffusion_model.{name}.lora_{part}.weight"] for part in "BA")
    assert torch.equal(dit.blocks[1].ffn[0].weight, plain + up @ down)


def test_fp8_files_stay_packed_too(weights, tmp_path):
    tensors = {}
    for name, value in weights.items():
        if name.endswith("ffn.0.weight"):
            scale = value.abs().max() / 448
            tensors[name] = (value / scale).to(torch.float8_e4m3fn)
            tensors[name.replace("weight", "scale_weight")] = scale
        elif name.endswith("ffn.2.weight"):
            tensors[name] = value.to(torch.float8_e5m2)
        else:
            tensors[name] = value.half()
    save_file(tensors, tmp_path / "fp8.safetensors")
    counted = packed_blocks(
        CONFIG, torch.bfloat16, plan_of(tmp_path / "fp8.safetensors").packings("blocks.")
    )
    assert counted.is_fp8
    dense, packed = (load(tmp_path / "fp8.safetensors", packed=each) for each in (False, True))
    assert isinstance(packed.blocks[0].ffn[0], PackedLinear)
    assert torch.equal(run(packed), run(dense))
