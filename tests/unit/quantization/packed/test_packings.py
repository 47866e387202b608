"""Unpacked numbers are those of the packages that other programs use, to the bit."""

import hashlib
import random

import pytest
import torch
from torch import nn

from flashtalk_core.quantization.packed import blocks, packing, scaled, superblocks
from flashtalk_core.quantization.packed.linear import PackedLinear
from flashtalk_core.quantization.packed.quantise import quantise_q4_k, quantise_q8_0

pytestmark = pytest.mark.cpu

GGUF = {
    each.name: each
    for module in (blocks, superblocks)
    for each in vars(module).values()
    if isinstance(each, packing.Packing)
}
RECORDED = {
    "Q4_0": "94de5ca5f7d4afda",
    "Q4_1": "5ec4de5fd530a536",
    "Q5_0": "72a386188f378330",
    "Q5_1": "c2d8dd5950f64699",
    "Q8_0": "8ec6f8407a87a9bb",
    "Q2_K": "0e2a373bd5225a61",
    "Q3_K": "be64eaa5037592ae",
    "Q4_K": "0a69fc19295c2356",
    "Q5_K": "8d66f1c553f3da57",
    "Q6_K": "775ffc08b68988af",
    "IQ4_NL": "e552a0a79b2112dc",
    "IQ4_XS": "b258f6316f8d47a1",
}
"""Digests of what ``gguf`` 0.19 makes of :func:`random_rows`."""


def random_rows(name):
    ((block_bytes, _),) = GGUF[name].sizes(256 if name in vars(superblocks) else 32)
    content = random.Random(name).randbytes(12 * block_bytes)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).view(3, 4 * block_bytes)


def numbers(name):
    return GGUF[name].unpacked((random_rows(name),), torch.float32)


@pytest.mark.parametrize("name", RECORDED)
def test_blocks_give_the_recorded_numbers(name):
    found = torch.nan_to_num(numbers(name), nan=0, posinf=1, neginf=-1) + 0.0
    assert hashlib.sha256(found.numpy().tobytes()).hexdigest()[:16] == RECORDED[name]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("name", RECORDED)
def test_blocks_give_the_numbers_of_the_gguf_package(name):
    gguf = pytest.importorskip("gguf")
    kind = gguf.GGMLQuantizationType[name]
    expected = torch.from_numpy(gguf.dequantize(random_rows(name).numpy(), kind))
    assert torch.equal(numbers(name).nan_to_num(), expected.nan_to_num())


def test_rounding_to_q8_0_is_that_of_the_gguf_package():
    gguf = pytest.importorskip("gguf")
    torch.manual_seed(0)
    matrix = torch.randn(5, 96) * torch.rand(5, 1)
    matrix[0] = 0
    matrix[1, :4] = torch.tensor([127, 0.5, 1.5, -2.5])
    expected = gguf.quantize(matrix.numpy(), gguf.GGMLQuantizationType.Q8_0)
    assert torch.equal(quantise_q8_0(matrix), torch.from_numpy(expected))


@pytest.mark.parametrize(
    ("rounded", "name", "limit"), [(quantise_q8_0, "Q8_0", 0.006), (quantise_q4_k, "Q4_K", 0.075)]
)
def test_rounded_weights_are_near(rounded, name, limit):
    torch.manual_seed(0)
    matrix = 0.03 * torch.randn(64, 512)
    found = GGUF[name].unpacked((rounded(matrix),), torch.float32)
    assert 0 < float((found - matrix).norm() / matrix.norm()) < limit


@pytest.mark.parametrize("rounded", [quantise_q8_0, quantise_q4_k])
@pytest.mark.parametrize("value", [0.0, 0.7, -0.7])
def test_numbers_that_are_all_alike_stay_so(rounded, value):
    name = "Q8_0" if rounded is quantise_q8_0 else "Q4_K"
    found = GGUF[name].unpacked((rounded(torch.full((2, 256), value)),), torch.float32)
    assert found.sub(value).abs().max() <= 5e-4


def matrices():
    torch.manual_seed(0)
    yield from (torch.randn(160, 192), torch.randn(16, 64) * 1e-3, torch.zeros(32, 128))


def test_nvfp4_gives_the_numbers_of_comfy_kitchen():
    kitchen = pytest.importorskip("comfy_kitchen")
    for matrix in matrices():
        scale = (matrix.abs().max() / 2688).clamp(min=1e-6)
        packed, stored = kitchen.quantize_nvfp4(matrix, scale)
        rows, columns = matrix.shape
        parts = (packed, scaled.in_order(stored, rows, columns // 16), scale.view(1, 1))
        expected = kitchen.dequantize_nvfp4(packed, scale, stored, torch.float32)
        assert torch.equal(scaled.NVFP4.unpacked(parts, torch.float32), expected)


def test_mxfp8_gives_the_numbers_of_comfy_kitchen():
    kitchen = pytest.importorskip("comfy_kitchen")
    for matrix in matrices():
        packed, stored = kitchen.quantize_mxfp8(matrix)
        rows, columns = matrix.shape
        parts = (packed, scaled.in_order(stored.view(torch.uint8), rows, columns // 32))
        expected = kitchen.dequantize_mxfp8(packed, stored, torch.float32)
        assert torch.equal(scaled.MXFP8.unpacked(parts, torch.float32), expected)


@pytest.mark.parametrize("rotated_by", [0, 16, 64])
@pytest.mark.parametrize("per_channel", [False, True])
def test_int8_gives_the_numbers_of_comfy_kitchen(rotated_by, per_channel):
    layout = pytest.importorskip("comfy_kitchen.tensor.int8").TensorWiseINT8Layout
    matrix = next(matrices())
    given = {"convrot": True, "convrot_groupsize": rotated_by} if rotated_by else {}
    packed, params = layout.quantize(matrix, per_channel=per_channel or bool(rotated_by), **given)
    kind = scaled.rotated_int8(rotated_by) if rotated_by else scaled.INT8
    found = kind.unpacked((packed, params.scale.float().view(-1, 1)), torch.float32)
    assert torch.equal(found, layout.dequantize(packed, params))


def test_scales_in_tiles_come_back_in_order():
    """The place of a scale: row r of a tile is at r % 32, and there at r // 32 of four."""
    rows, columns = scaled.swizzled_size(130, 5)
    assert (rows, columns) == (256, 8)
    stored = torch.zeros(rows, columns, dtype=torch.int32)
    flat = stored.view(-1)
    for row in range(130):
        for column in range(5):
            tile = row // 128 * 2 + column // 4
            place = tile * 512 + row % 32 * 16 + row % 128 // 32 * 4 + column % 4
            flat[place] = row * 5 + column
    found = scaled.in_order(stored, 130, 5)
    assert torch.equal(found, torch.arange(650, dtype=torch.int32).view(130, 5))


@pytest.mark.parametrize("tile", [1, 300, 10**6])
def test_tiles_of_rows_change_nothing(monkeypatch, tile):
    expected = numbers("Q6_K")
    monkeypatch.setattr(packing, "_TILE_ELEMENTS", tile)
    assert torch.equal(numbers("Q6_K"), expected)
    values = torch.randn(5, 8).to(torch.float8_e4m3fn)
    for scale in (torch.tensor([[2.0]]), torch.rand(5, 1)):
        found = scaled.FP8_E4M3.unpacked((values, scale), torch.float32)
        assert torch.equal(found, values.float() * scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_packed_layer_is_a_dense_one_of_the_same_numbers(dtype):
    torch.manual_seed(0)
    linear = nn.Linear(256, 40, dtype=dtype)
    layer = PackedLinear(linear, superblocks.Q4_K)
    packed = quantise_q4_k(linear.weight.detach())
    layer.set_parts((packed,))
    linear.weight.data = superblocks.Q4_K.unpacked((packed,), dtype)
    x = torch.randn(2, 7, 256, dtype=dtype)
    assert torch.equal(layer(x), linear(x))
    rows = layer.linear_format.prepare_rows(x[0].float(), dtype)
    assert torch.equal(layer.multiply(rows, dtype), linear(x[0]))
    assert sum(b.nbytes for b in layer.buffers()) == 40 * 144
