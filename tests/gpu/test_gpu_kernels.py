"""Triton's kernels against the same operations in PyTorch."""

import pytest
import torch

from flashtalk_core.acceleration.block_ops import ContextKeys, EagerKernels
from flashtalk_core.acceleration.vae_ops import RowKernels
from flashtalk_core.quantization.fp8 import choose_format

pytestmark = pytest.mark.gpu

EAGER = EagerKernels()
DTYPES = [torch.float32, torch.bfloat16]
BOUNDS = {torch.float32: 1e-6, torch.bfloat16: 4e-3}


@pytest.fixture(scope="module")
def fast():
    from flashtalk_core.acceleration.triton.block import TritonKernels

    return TritonKernels(EAGER)


def draw(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape))).to("cuda", dtype)


def error(result, expected):
    result, expected = (
        x[0].float() * x[1] if isinstance(x, tuple) else x.float() for x in (result, expected)
    )
    return float((result - expected).norm() / expected.norm())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [64, 176, 5120])
@pytest.mark.parametrize("float8", [False, True])
@pytest.mark.parametrize("branch", ["none", "added", "gated"])
def test_residual_sums_and_norms_agree_with_pytorch(fast, dtype, width, float8, branch):
    x, other = (part.contiguous() + 0.5 for part in draw(2, 9, width, dtype=dtype))
    gate, scale, shift = draw(3, width)
    args = (x, None if branch == "none" else other, gate if branch == "gated" else None)
    for plus_one in (False, True):
        options = {"eps": 1e-6, "plus_one": plus_one, "rows": choose_format(float8=float8)}
        total, rows = fast.add_norm(*args, scale, shift, **options)
        expected = EAGER.add_norm(*args, scale, shift, **options)
        assert error(total, expected[0]) < BOUNDS[dtype]
        assert error(rows, expected[1]) < (0.01 if float8 else BOUNDS[dtype])
    if branch == "gated":
        assert error(fast.add(x, other, gate), EAGER.add(x, other, gate)) < BOUNDS[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [64, 176, 5120])
def test_rows_over_their_root_mean_square_turned_or_not(fast, dtype, width):
    x, weight, table = draw(9, width, dtype=dtype), draw(width, dtype=dtype), draw(9, 8, 2)
    for rotation in (None, table):
        expected = EAGER.rms(x, weight, 1e-6, rotation)
        assert error(fast.rms(x, weight, 1e-6, rotation), expected) < BOUNDS[dtype]
        small, right = (k.rms(x, weight, 1e-6, rotation, 2.0) for k in (fast, EAGER))
        assert small.dtype == right.dtype == torch.float8_e4m3fn
        assert error(small, right) < 0.01


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [64, 384, 13824])
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("float8", [False, True])
def test_rows_for_a_linear_layer(fast, dtype, width, gelu, float8):
    x = 3 * draw(9, width, dtype=dtype)
    rows = choose_format(float8=float8)
    result, expected = (k.to_linear(x, gelu=gelu, rows=rows) for k in (fast, EAGER))
    assert error(result, expected) < (0.01 if float8 else BOUNDS[dtype])


@pytest.mark.parametrize(("heads", "group"), [(40, 32), (11, 8), (3, 5)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_over_the_tokens_of_a_frame(fast, heads, group, dtype):
    logits, bias = 4 * draw(3, 7, heads * group), draw(3, 1, heads * group)
    result, expected = (k.softmax(logits, bias, 0.3, group, dtype) for k in (fast, EAGER))
    assert error(result, expected) < BOUNDS[dtype]


@pytest.mark.parametrize(("heads", "width"), [(40, 128), (11, 16), (4, 24)])
@pytest.mark.parametrize(("num_text", "count"), [(21, 492), (512, 1), (1, 512)])
def test_attention_to_prompt_and_image(fast, heads, width, num_text, count):
    q = draw(300, heads, width, dtype=torch.bfloat16)
    keys = [draw(2, n, heads, width, dtype=torch.bfloat16) for n in (num_text, 257)]
    text, image = (ContextKeys(*pair, n) for pair, n in zip(keys, (count, 1), strict=True))
    result, expected = (kernels.attend(q, text, image) for kernels in (fast, EAGER))
    assert error(result, expected) < 0.01


@pytest.mark.parametrize(("tokens", "width"), [(32, 128), (16, 64), (8, 16), (6, 24)])
def test_projections_absorbed_into_keys_agree(fast, tokens, width):
    heads = draw(3, tokens, 5, width, dtype=torch.bfloat16)
    layer = draw(5 * width, 200, dtype=torch.bfloat16)
    for weight in (layer.view(5, width, -1), layer.T.reshape(-1, 5, width).permute(1, 2, 0)):
        assert error(fast.absorb(heads, weight), EAGER.absorb(heads, weight)) < 0.01


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [96, 128, 384])
def test_pixels_of_the_autoencoder(dtype, width, caplog):
    plain, fast = RowKernels(), RowKernels.triton()
    pixels, others = draw(2, 1000, width, dtype=dtype)
    bias, gamma = draw(2, width, dtype=dtype)
    spaced = torch.zeros(2, 1000, width + 32, device="cuda", dtype=dtype)
    for kernels, out in zip((plain, fast), spaced, strict=True):
        kernels.activate(pixels, bias, gamma, out[:, :width])
    assert error(spaced[1], spaced[0]) < BOUNDS[dtype]
    for kernels, out in zip((plain, fast), spaced, strict=True):
        kernels.add(pixels, others, bias, out[:, :width])
        kernels.shift(out[:, :width], bias)
    assert error(spaced[1], spaced[0]) < 2 * BOUNDS[dtype]
    assert not caplog.records, "no kernel fell back to eager execution"
    assert not spaced[:, :, width:].any(), "only what was asked for is written"
