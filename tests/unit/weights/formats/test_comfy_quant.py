"""Layers that ComfyUI has quantised are read by what the file says of them, or refused."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from flashtalk_core.errors import WeightsError
from flashtalk_core.weights.formats.tensor_file import open_tensor_file
from flashtalk_core.weights.mapping.key_maps import KeyMap, same_name
from flashtalk_core.weights.plan import load_module, plan_component

pytestmark = pytest.mark.cpu

ROWS, COLUMNS = 32, 64
CPU = torch.device("cpu")


def described(config):
    return torch.tensor(list(json.dumps(config).encode()), dtype=torch.uint8)


def swizzled(values):
    """Put scales into the order of a tile of 128 rows and 4 columns, one after the other."""
    rows, columns = values.shape
    tile = torch.zeros(128, 4 * -(-columns // 4), dtype=values.dtype)
    flat = tile.view(-1)
    for row in range(rows):
        for column in range(columns):
            inside = row % 32 * 16 + row // 32 * 4 + column % 4
            flat[column // 4 * 512 + inside] = values[row, column]
    return tile


def int8(config=None, scale=(ROWS, 1)):
    torch.manual_seed(0)
    numbers = torch.randint(-127, 128, (ROWS, COLUMNS)).to(torch.int8)
    factor = torch.rand(scale) + 0.5
    tensors = {"weight": numbers, "weight_scale": factor}
    config = {"format": "int8_tensorwise"} | (config or {})
    return tensors, config, numbers.float() * factor


def nvfp4(scale_type=torch.float8_e4m3fn):
    torch.manual_seed(0)
    packed = torch.randint(0, 256, (ROWS, COLUMNS // 2)).to(torch.uint8)
    scales = (torch.rand(ROWS, COLUMNS // 16) + 0.5).to(torch.float8_e4m3fn)
    table = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    codes = torch.stack((packed >> 4, packed & 15), dim=-1).flatten(1).long()
    values = table[codes & 7] * torch.where(codes > 7, -1.0, 1.0)
    expected = values * (scales.float() * 0.25).repeat_interleave(16, dim=1)
    stored = swizzled(scales.view(torch.uint8)).view(torch.float8_e4m3fn).view(scale_type)
    tensors = {"weight": packed, "weight_scale": stored, "weight_scale_2": torch.tensor(0.25)}
    return tensors, {"format": "nvfp4"}, expected


def mxfp8(scale_type=torch.uint8):
    torch.manual_seed(0)
    numbers = torch.randn(ROWS, COLUMNS).to(torch.float8_e4m3fn)
    exponents = torch.randint(120, 130, (ROWS, COLUMNS // 32)).to(torch.uint8)
    factors = torch.exp2(exponents.float() - 127).repeat_interleave(32, dim=1)
    tensors = {"weight": numbers, "weight_scale": swizzled(exponents).view(scale_type)}
    return tensors, {"format": "mxfp8"}, numbers.float() * factors


def fp8_as_bytes(dtype=torch.float8_e4m3fn):
    torch.manual_seed(0)
    numbers = torch.randn(ROWS, COLUMNS).to(dtype)
    tensors = {"weight": numbers.view(torch.uint8), "weight_scale": torch.tensor(0.5)}
    return tensors, {"format": str(dtype).removeprefix("torch.")}, numbers.float() * 0.5


def fp8_as_it_is():
    tensors, config, expected = fp8_as_bytes()
    return tensors | {"weight": tensors["weight"].view(torch.float8_e4m3fn)}, config, expected


FORMATS = {
    "int8 by row": int8,
    "int8 by tensor": lambda: int8(scale=()),
    "nvfp4": nvfp4,
    "nvfp4 with scales as bytes": lambda: nvfp4(torch.uint8),
    "mxfp8": mxfp8,
    "mxfp8 with exponents": lambda: mxfp8(torch.float8_e8m0fnu),
    "e4m3 as bytes": fp8_as_bytes,
    "e5m2 as bytes": lambda: fp8_as_bytes(torch.float8_e5m2),
    "e4m3": fp8_as_it_is,
}


def write(folder, tensors, config, *, in_header=False, **more):
    named = {f"layer.{name}": tensor for name, tensor in tensors.items()}
    named |= {"layer.bias": torch.zeros(ROWS)} | more
    metadata = {"format": "pt"}
    if in_header:
        metadata["_quantization_metadata"] = json.dumps({"layers": {"layer": config}})
    elif config is not None:
        named["layer.comfy_quant"] = described(config)
    save_file(named, folder / "a.safetensors", metadata)
    return folder / "a.safetensors"


def load(*paths, kept=False):
    build = lambda: torch.nn.ModuleDict({"layer": torch.nn.Linear(COLUMNS, ROWS)})  # noqa: E731
    plan = plan_component(build, list(map(open_tensor_file, paths)), KeyMap(same_name))
    if kept:
        plan = replace(plan, kept=plan.packings(""))
    return load_module(plan, CPU, torch.float32)["layer"]


@pytest.mark.parametrize("in_header", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_numbers_come_out_as_they_were_packed(tmp_path, name, in_header):
    tensors, config, expected = FORMATS[name]()
    path = write(tmp_path, tensors, config, in_header=in_header)
    assert torch.equal(load(path).weight, expected)
    layer = load(path, kept=True)
    x = torch.randn(3, COLUMNS)
    assert torch.allclose(layer(x), x @ expected.T, atol=1e-4)
    assert sum(part.nbytes for part in layer.parts) < expected.nbytes / 3


ROTATED = {"convrot": True, "convrot_groupsize": 16}


@pytest.mark.parametrize("config", [ROTATED, {"params": ROTATED}])
def test_a_rotation_is_undone(tmp_path, config):
    tensors, config, expected = int8(config)
    path = write(tmp_path, tensors, config)
    quarter = torch.tensor([[1.0, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]])
    whole = torch.kron(quarter, quarter) / 4
    expected = torch.cat([part @ whole for part in expected.split(16, dim=1)], dim=1)
    assert torch.allclose(load(path).weight, expected, atol=1e-3)


@pytest.mark.parametrize(
    "layout", ["TensorWiseINT8Layout", "TensorCoreNVFP4Layout", "TensorCoreMXFP8Layout"]
)
def test_files_of_comfy_kitchen_give_its_numbers(tmp_path, layout):
    tensor = pytest.importorskip("comfy_kitchen.tensor")
    kind = getattr(tensor, layout)
    torch.manual_seed(0)
    packed, params = kind.quantize(torch.randn(ROWS, COLUMNS))
    tensors = {
        f"weight{suffix}": value.contiguous()
        for suffix, value in kind.state_dict_tensors(packed, params).items()
    }
    formats = {"TensorWise": "int8_tensorwise", "TensorCoreN": "nvfp4", "TensorCoreM": "mxfp8"}
    name = next(value for key, value in formats.items() if layout.startswith(key))
    expected = kind.dequantize(packed, params).float()
    assert torch.equal(load(write(tmp_path, tensors, {"format": name})).weight, expected)


def without(name):
    def made(tensors, config):
        return {key: value for key, value in tensors.items() if key != name}, config

    return made


@pytest.mark.parametrize(
    ("make", "change", "says"),
    [
        (int8, lambda t, c: (t, {"format": "convrot_w4a4"}), "of the format convrot_w4a4, known"),
        (int8, lambda t, c: (t, {"format": 3}), "layer layer is described by {'format': 3}"),
        (int8, lambda t, c: (t, []), "layer layer is described by []"),
        (int8, lambda t, c: (t, None), "layer.weight is stored in a quantised form"),
        (int8, without("weight_scale"), "layer.weight_scale is to be float32"),
        (int8, lambda t, c: (t, {"format": "nvfp4"}), "layer.weight is to be uint8"),
        (
            int8,
            lambda t, c: (t | {"weight_scale": torch.ones(5)}, c),
            "has shape (5,), need 1 or 32 number(s) for a weight of shape (32, 64)",
        ),
        (
            int8,
            lambda t, c: (t, c | {"convrot": True, "convrot_groupsize": 32}),
            "rotated in groups of 32, need a power of 4",
        ),
        (
            int8,
            lambda t, c: (t, c | {"convrot": True}),
            "rotated in groups of 256, need a power of 4 that divides 64 columns",
        ),
        (nvfp4, without("weight_scale_2"), "layer.weight_scale_2 is to be float32"),
        (
            nvfp4,
            lambda t, c: (t | {"weight_scale": t["weight_scale"][:5]}, c),
            "has shape (5, 4), need 512 number(s)",
        ),
        (
            nvfp4,
            lambda t, c: (t | {"weight": torch.zeros(ROWS, 12, dtype=torch.uint8)}, c),
            "has 24 columns, need a multiple of 16",
        ),
        (mxfp8, without("weight_scale"), "layer.weight_scale is to be uint8"),
        (mxfp8, lambda t, c: (t, None), "expected one number or one for each row"),
        (fp8_as_bytes, without("weight_scale"), "layer.weight_scale is to be float32"),
    ],
)
def test_what_cannot_be_unpacked_is_refused_before_anything_loads(tmp_path, make, change, says):
    tensors, config, _expected = make()
    path = write(tmp_path, *change(tensors, config))
    with pytest.raises(WeightsError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert "take the bf16, fp16" in str(caught.value)


@pytest.mark.parametrize("in_header", [False, True])
def test_fp8_without_the_scale_that_it_is_described_with_is_refused(tmp_path, in_header):
    tensors, config, _expected = fp8_as_it_is()
    path = write(tmp_path, *without("weight_scale")(tensors, config), in_header=in_header)
    with pytest.raises(WeightsError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}: layer.weight is described as FP8 with a scale, and no file has that; download "
        "all files of it again, or take the bf16, fp16 or GGUF version"
    )


def test_the_scale_of_fp8_may_lie_in_another_shard(tmp_path):
    tensors, config, expected = fp8_as_it_is()
    path = write(tmp_path, *without("weight_scale")(tensors, config))
    save_file({"layer.weight_scale": tensors["weight_scale"]}, tmp_path / "b.safetensors")
    assert torch.equal(load(path, tmp_path / "b.safetensors").weight, expected)


@pytest.mark.parametrize("text", ["{", "[]", '{"layers": 3}'])
def test_a_damaged_description_is_refused(tmp_path, text):
    tensors, _config, _expected = int8()
    named = {f"layer.{name}": tensor for name, tensor in tensors.items()}
    save_file(named, tmp_path / "a.safetensors", {"_quantization_metadata": text})
    with pytest.raises(WeightsError, match="take the bf16, fp16, fp8 or GGUF"):
        open_tensor_file(tmp_path / "a.safetensors")


def test_smoothed_inputs_are_not_ignored(tmp_path):
    """The layer's input would have to be scaled, which is not done here."""
    tensors, config, _expected = nvfp4()
    more = {"layer.pre_quant_scale": torch.ones(COLUMNS)}
    with pytest.raises(WeightsError, match=r"layer\.pre_quant_scale\) are not known"):
        load(write(tmp_path, tensors, config, **more))
