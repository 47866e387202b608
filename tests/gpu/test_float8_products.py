"""FP8 products with and without scales by row, and the audio encoder's positions, on a GPU."""

import pytest
import torch
from torch import nn

from flashtalk_core.config.networks import AudioEncoderConfig
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.quantization import fp8
from flashtalk_core.quantization.fp8 import (
    FP8,
    Float8Linear,
    fp8_unsupported_reason,
    product_by_row,
    product_by_tensor,
    quantise_rows,
)

pytestmark = pytest.mark.gpu

ROWS = 12096
REPEATS = 20


@pytest.fixture(autouse=True)
def needs_float8():
    if reason := fp8_unsupported_reason(torch.device("cuda")):
        pytest.skip(reason)


def milliseconds(run):
    """Return the median time on the device."""
    for _ in range(3):
        run()
    spans = []
    for _ in range(REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        spans.append(start.elapsed_time(end))
    return sorted(spans)[REPEATS // 2]


def relative_rms(found, expected):
    return float((found.float() - expected.float()).norm() / expected.float().norm())


@pytest.mark.parametrize(("inputs", "outputs"), [(5120, 5120), (5120, 13824), (13824, 5120)])
@torch.no_grad()
def test_scales_by_tensor_give_what_scales_by_row_give(inputs, outputs, record_property):
    x = torch.randn(ROWS, inputs, device="cuda", dtype=torch.bfloat16)
    layer = Float8Linear(nn.Linear(inputs, outputs, device="cuda", dtype=torch.bfloat16))
    rows, scale = quantise_rows(x)
    operands = rows, layer.weight, scale, layer.weight_scale, layer.bias
    by_row, by_tensor = product_by_row(*operands), product_by_tensor(*operands)
    exact = rows.float() @ layer.weight.float().T * scale * layer.weight_scale.T + layer.bias
    assert relative_rms(by_row, exact) < 4e-3
    assert relative_rms(by_tensor, exact) < 5e-3  # rounded once more
    times = [milliseconds(lambda p=p: p(*operands)) for p in (product_by_row, product_by_tensor)]
    record_property("ms by row, by tensor", [round(value, 3) for value in times])


@torch.no_grad()
def test_a_build_without_scales_by_row_takes_the_other(monkeypatch):
    def missing(*operands):
        raise RuntimeError("scales by row are not compiled in")

    monkeypatch.setattr(fp8, "product_by_row", missing)
    assert fp8_unsupported_reason(torch.device("cuda")) is None
    x = torch.randn(64, 128, device="cuda", dtype=torch.bfloat16)
    linear = nn.Linear(128, 256, device="cuda", dtype=torch.bfloat16)
    layer = FP8.convert(linear, torch.device("cuda"))
    assert layer.product is product_by_tensor
    assert relative_rms(layer(x), linear(x)) < 0.06


@torch.no_grad()
def test_positions_of_the_audio_encoder_cost_no_more_than_their_arithmetic(record_property):
    encoder = AudioEncoder(AudioEncoderConfig()).to("cuda", torch.bfloat16).eval()
    conv = encoder.encoder.pos_conv_embed.conv
    x = torch.randn(1, conv.in_channels, 200, device="cuda", dtype=torch.bfloat16)
    by_product = milliseconds(lambda: conv(x))
    by_convolution = milliseconds(lambda: nn.Conv1d._conv_forward(conv, x, conv.weight, conv.bias))
    expected = nn.Conv1d._conv_forward(conv.float(), x.float(), conv.weight, conv.bias)
    found = conv.bfloat16()(x)
    assert relative_rms(found, expected) < 1e-2
    samples = torch.randn(1, 128000, device="cuda")
    whole = milliseconds(lambda: encoder(samples, 200))
    times = {"convolution": by_convolution, "product": by_product, "whole encoder": whole}
    record_property("ms", {name: round(value, 3) for name, value in times.items()})
    assert by_product < by_convolution
