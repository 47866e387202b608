"""Half precision on a CPU rests on no kernel that is wrong there."""

import gc
import weakref
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from flashtalk_core.config.networks import AudioEncoderConfig, VAEConfig
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.models import half_precision
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.half_precision import HALF, check_half_precision, guard_convolutions
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.parity.runner import run_parity
from flashtalk_core.placement.devices import choose_dtype

pytestmark = pytest.mark.cpu

GOLDEN = Path(__file__).parents[2] / "golden"
CPU = torch.device("cpu")
DTYPES = pytest.mark.parametrize("dtype", HALF, ids=str)


@pytest.fixture(autouse=True)
def tried_out_again():
    half_precision._worst_error.cache_clear()
    yield
    half_precision._worst_error.cache_clear()


def break_in_half_precision(monkeypatch, *names, value=0.0):
    """Make functions wrong where oneDNN has its bug: on a CPU, in half precision."""
    for name in names:
        right = getattr(F, name)

        def wrong(x, *args, _right=right, **options):
            out = _right(x, *args, **options)
            return torch.full_like(out, value) if x.dtype in HALF else out

        monkeypatch.setattr(F, name, wrong)


def test_networks_in_bfloat16_rest_on_no_convolution_in_it(monkeypatch):
    break_in_half_precision(monkeypatch, "conv1d", "conv2d", "conv3d")
    results = run_parity(GOLDEN, dtype=torch.bfloat16)
    assert [(r.component, r.name, r.error) for r in results if not r.passed] == []


@DTYPES
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(64, 64, 128, padding=64, groups=16), (1, 64, 66)),
        (nn.Conv2d(8, 12, 3, stride=2), (2, 8, 9, 11)),
        (nn.Conv3d(4, 4, (3, 1, 1), groups=4, bias=False), (1, 4, 5, 3, 3)),
    ],
    ids=["1d", "2d", "3d"],
)
def test_a_guarded_layer_is_as_exact_as_its_rounded_input(layer, shape, dtype):
    network = nn.Sequential(layer).to(dtype)
    guard_convolutions(network)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = network(x)
    assert found.dtype == dtype
    exact = layer.float()(x.float())
    # One rounding of the result and nothing else.
    assert torch.equal(found, exact.to(dtype))


@DTYPES
def test_the_small_decoder_rests_on_no_convolution_in_half_precision(monkeypatch, dtype):
    config = VAEConfig(dim=4, num_res_blocks=1, light_widths=(8, 6, 4, 4), light_blocks=1)
    latent = torch.randn(1, 16, 2, 3, 2, generator=torch.Generator().manual_seed(0)).to(dtype)
    vae = VideoVAE(config).to(dtype)
    with torch.no_grad():
        right = vae.decode_frames(latent)
        break_in_half_precision(monkeypatch, "conv2d")
        assert torch.equal(vae.decode_frames(latent), right)


def test_a_guarded_network_is_freed_at_once():
    """Without waiting for the garbage collector: networks are gigabytes."""
    networks = [
        AudioEncoder(
            AudioEncoderConfig(hidden_size=32, num_attention_heads=2, num_hidden_layers=1)
        ),
        nn.Sequential(nn.Conv3d(2, 2, 1)),
    ]
    for network in networks:
        guard_convolutions(network)
    weights = [weakref.ref(next(network.parameters())) for network in networks]
    gc.disable()
    try:
        del networks, network
        assert [weight() for weight in weights] == [None, None]
    finally:
        gc.enable()


def test_a_guarded_layer_in_float32_is_the_layer_itself():
    layer = nn.Conv1d(8, 8, 5, groups=2)
    x = torch.randn(1, 8, 20)
    expected = layer(x)
    guard_convolutions(layer)
    assert torch.equal(layer(x), expected)


@DTYPES
def test_this_machine_multiplies_right_in_half_precision(dtype):
    check_half_precision(CPU, dtype)


@DTYPES
@pytest.mark.parametrize("value", [0.0, float("nan")])
@pytest.mark.parametrize(
    ("function", "named"),
    [("linear", "matrix product"), ("scaled_dot_product_attention", "attention")],
)
def test_wrong_products_are_reported_with_value_limit_and_remedy(
    monkeypatch, dtype, function, named, value
):
    break_in_half_precision(monkeypatch, function, value=value)
    said = rf"dtype \w+: .* {named} .*wrongly .* at most 0\.03\); use float32"
    with pytest.raises(InvalidInputError, match=said):
        check_half_precision(CPU, dtype)
    with pytest.raises(InvalidInputError, match=said):
        choose_dtype(str(dtype).removeprefix("torch."), CPU)
    with pytest.raises(InvalidInputError, match=said):
        run_parity(GOLDEN, dtype=dtype)


def test_float32_and_other_devices_are_not_tried_out(monkeypatch):
    break_in_half_precision(monkeypatch, "linear")
    check_half_precision(CPU, torch.float32)
    check_half_precision(torch.device("cuda"), torch.bfloat16)
