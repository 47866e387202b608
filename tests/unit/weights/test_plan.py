"""Streaming of tensors: memory, quantised weights, split weights."""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from flashtalk_core.quantization.fp8 import quantise_rows
from flashtalk_core.weights.formats.scaled_fp8 import dequantise
from flashtalk_core.weights.formats.tensor_file import open_tensor_file
from flashtalk_core.weights.mapping.key_maps import KeyMap, Target, same_name
from flashtalk_core.weights.plan import load_module, plan_component
from tests.memory_source import MemorySource

pytestmark = pytest.mark.cpu

NUM_SHARDS = 8
WIDTH = 2048
SHARD_BYTES = WIDTH * WIDTH * 4
MEMORY_SCRIPT = """
import sys
from pathlib import Path
import torch
from torch import nn
from flashtalk_core.weights.mapping.key_maps import KeyMap, same_name
from flashtalk_core.weights.plan import load_module, plan_component
from flashtalk_core.weights.formats.tensor_file import open_tensor_file

def status(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024

torch.set_num_threads(1)
width, shards = int(sys.argv[2]), sorted(Path(sys.argv[1]).glob("*.safetensors"))
build = lambda: nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in shards))
plan = plan_component(build, [open_tensor_file(path) for path in shards], KeyMap(same_name))
torch.ones(8).bfloat16().float()
before = status("VmRSS")
module = load_module(plan, torch.device("cpu"), torch.bfloat16)
print(status("VmHWM") - before)
"""


def load(tensors, path, build, keys=KeyMap(same_name), dtype=torch.float32):  # noqa: B008
    save_file(tensors, path)
    plan = plan_component(build, [open_tensor_file(path)], keys)
    return load_module(plan, torch.device("cpu"), dtype)


def test_scales_are_read_without_opening_their_file_again(tmp_path):
    """Opening reads the header of a file, of which FP8 files have one scale for each matrix."""
    tensors = {}
    for index in range(3):
        rows = quantise_rows(torch.randn(4, 8))
        tensors |= {f"{index}.weight": rows[0], f"{index}.scale_weight": rows[1].reshape(4, 1)}
    save_file(tensors, tmp_path / "a.safetensors")
    file = open_tensor_file(tmp_path / "a.safetensors")
    opened = []

    class Counted(MemorySource):
        infos = file.infos

        @contextmanager
        def reading(self):
            opened.append(self.name)
            with file.reading() as read:
                yield read

    plan = plan_component(
        lambda: nn.Sequential(*(nn.Linear(8, 4, bias=False) for _ in range(3))),
        [Counted("a", tensors)],
        KeyMap(same_name),
    )
    found = load_module(plan, torch.device("cpu"), torch.float32)
    assert opened == ["a"]
    expected = dequantise(tensors["2.weight"], tensors["2.scale_weight"], torch.float32)
    assert torch.equal(found[2].weight, expected)


def test_peak_memory_is_the_model_and_one_shard(tmp_path):
    """A loader that held the whole float32 state dict would need four shards more."""
    for index in range(NUM_SHARDS):
        tensors = {f"{index}.weight": torch.full((WIDTH, WIDTH), float(index))}
        save_file(tensors, tmp_path / f"{index}.safetensors")
    command = [sys.executable, "-c", MEMORY_SCRIPT, str(tmp_path), str(WIDTH)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    growth = int(done.stdout)
    model_bytes = NUM_SHARDS * SHARD_BYTES // 2
    assert growth >= model_bytes
    assert growth < model_bytes + 2 * SHARD_BYTES + 16 * 2**20


@pytest.mark.parametrize("scale_shape", [(), (1,), (6,), (6, 1)])
@pytest.mark.parametrize("suffix", ["scale_weight", "weight_scale"])
def test_quantised_weights_are_multiplied_by_their_scale(tmp_path, scale_shape, suffix):
    weight = torch.arange(-12, 12).view(6, 4).float()
    scale = torch.full(scale_shape, 0.5)
    tensors = {
        "weight": weight.to(torch.float8_e4m3fn),
        "bias": torch.ones(6),
    }
    named = {f"0.{name}": tensor for name, tensor in tensors.items()}
    named |= {f"0.{suffix}": scale, "scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    described = torch.tensor(list(b'{"format": "float8_e4m3fn"}'), dtype=torch.uint8)
    named |= {"0.comfy_quant": described, "0.input_scale": torch.ones(())}
    module = load(named, tmp_path / "a.safetensors", lambda: nn.Sequential(nn.Linear(4, 6)))
    assert module[0].weight.equal(weight * 0.5)
    assert module[0].bias.equal(torch.ones(6))


def test_unscaled_8_bit_weights_are_taken_as_they_are(tmp_path):
    weight = torch.arange(8).view(2, 4).float()
    tensors = {"weight": weight.to(torch.float8_e5m2)}
    module = load(tensors, tmp_path / "a.safetensors", lambda: nn.Linear(4, 2, bias=False))
    assert module.weight.equal(weight)


def test_blocks_of_rows_do_not_change_the_product(monkeypatch):
    weight, scale = quantise_rows(torch.randn(37, 5))
    whole = dequantise(weight, scale, torch.float32)
    monkeypatch.setattr("flashtalk_core.weights.formats.scaled_fp8._BLOCK_ELEMENTS", 20)
    assert dequantise(weight, scale, torch.float32).equal(whole)


def test_rows_of_any_size_survive_quantisation():
    weight = torch.randn(3, 64) * torch.tensor([[1e-4], [1.0], [1e4]])
    weight[2, 0] = 0
    error = dequantise(*quantise_rows(weight), torch.float32) - weight
    assert (error.abs().amax(1) <= weight.abs().amax(1) * 0.04).all()
    assert not dequantise(*quantise_rows(torch.zeros(2, 8)), torch.float32).any()


def test_fused_weight_is_split_and_shares_no_memory(tmp_path):
    def rename(name):
        return tuple(Target(f"{i}.weight", i, 3) for i in range(3))

    def build():
        return nn.Sequential(*(nn.Linear(4, 2, bias=False) for _ in range(3)))

    fused = torch.arange(24).view(6, 4).float()
    module = load({"qkv": fused}, tmp_path / "a.safetensors", build, KeyMap(rename))
    assert torch.cat([layer.weight for layer in module]).equal(fused)
    assert len({layer.weight.untyped_storage().data_ptr() for layer in module}) == 3


def test_buffers_keep_their_type(tmp_path):
    class Scaled(nn.Linear):
        def __init__(self):
            super().__init__(2, 2, bias=False)
            self.register_buffer("table", torch.ones(3, device="cpu"), persistent=False)

    module = load(
        {"weight": torch.ones(2, 2)}, tmp_path / "a.safetensors", Scaled, dtype=torch.half
    )
    assert module.weight.dtype == torch.half
    assert module.table.dtype == torch.float32
