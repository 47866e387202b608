"""Attention with its log-sum-exp, and what merging by it gives."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
import torch

from flashtalk_core.acceleration.attention_kernels import (
    KERNELS,
    Float8Attention,
    choose_attention,
    is_installed,
    sdpa_cudnn,
)
from flashtalk_core.acceleration.lse_attention import (
    attention_with_lse,
    eager_with_lse,
    sdpa_cudnn_with_lse,
    sdpa_with_lse,
)
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.models.attention import sdpa
from flashtalk_core.parallel.ring import merge

CPU = pytest.mark.cpu
CUDA = torch.device("cuda")


def random_heads(num_queries, num_keys, device="cpu", dtype=torch.float32, head_dim=16):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, length, 3, head_dim, generator=generator).to(device, dtype)
        for length in (num_queries, num_keys, num_keys)
    ]


def relative_rms(found, expected):
    return float((found.float() - expected.float()).norm() / expected.float().norm())


@CPU
@pytest.mark.parametrize("kernel", [sdpa_with_lse, sdpa_cudnn_with_lse, eager_with_lse])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_log_sum_exp_is_that_of_scaled_scores(kernel, dtype):
    q, k, v = random_heads(5, 7, dtype=dtype)
    out, lse = kernel(q, k, v)
    scores = torch.einsum("bqnd,bknd->bnqk", q.float(), k.float()) / 16**0.5
    bound = 1e-6 if dtype == torch.float32 else 1e-2
    assert out.dtype == dtype
    assert lse.dtype == torch.float32
    assert lse.shape == (2, 3, 5)
    assert relative_rms(out, sdpa(q.float(), k.float(), v.float())) < bound
    assert relative_rms(lse, scores.logsumexp(dim=-1)) < bound


@CPU
def test_parts_of_the_keys_merge_to_all_of_them():
    q, k, v = random_heads(5, 7)
    k = 4 * k  # one part dominates for some queries
    out, lse = torch.zeros_like(q), None
    for part in (slice(0, 1), slice(1, 5), slice(5, 7)):
        out, lse = merge(out, lse, *sdpa_with_lse(q, k[:, part], v[:, part]))
    expected, expected_lse = eager_with_lse(q, k, v)
    assert relative_rms(out, expected) < 1e-6
    assert relative_rms(lse, expected_lse) < 1e-6


@CPU
def test_each_kernel_has_its_own_or_is_refused(monkeypatch):
    assert attention_with_lse(sdpa) is sdpa_with_lse
    assert attention_with_lse(sdpa_cudnn) is sdpa_cudnn_with_lse
    q, k, v = random_heads(4, 4)
    package = ModuleType("flash_attn")
    package.__spec__ = ModuleSpec("flash_attn", None)
    package.flash_attn_func = None
    monkeypatch.setitem(sys.modules, "flash_attn", package)  # and not there after this test
    flash = next(kernel for kernel in KERNELS if kernel.name == "flash-attn").load()
    # On a CPU the package is not asked.
    assert torch.equal(attention_with_lse(flash)(q, k, v)[0], sdpa_with_lse(q, k, v)[0])
    with pytest.raises(
        InvalidInputError, match=r"'.*' with Ring.* use one of: auto, sdpa, .*flash-attn-3"
    ):
        attention_with_lse(lambda q, k, v: q)


@CPU
def test_float8_elsewhere_than_on_a_gpu_is_not_float8():
    q, k, v = random_heads(4, 4)
    out, _ = attention_with_lse(Float8Attention(None))(q, k, v)
    assert torch.equal(out, sdpa_with_lse(q, k, v)[0])


GPU_KERNELS = ["sdpa", "sdpa-cudnn", *(kernel.name for kernel in KERNELS if kernel.has_lse)]


@pytest.mark.gpu
@pytest.mark.parametrize("name", GPU_KERNELS)
@pytest.mark.parametrize("lengths", [(96, 96), (97, 33)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_installed_kernel_agrees_with_eager(name, lengths, dtype):
    for kernel in KERNELS:
        if kernel.name == name and not (is_installed(kernel) and kernel.runs_on(CUDA)):
            pytest.skip(f"{name} is not installed, or does not run here")
    q, k, v = random_heads(*lengths, device="cuda", dtype=dtype, head_dim=128)
    out, lse = attention_with_lse(choose_attention(name, CUDA))(q, k, v)
    expected, expected_lse = eager_with_lse(q.float(), k.float(), v.float())
    bound = 1e-5 if dtype == torch.float32 else 1e-2
    assert out.dtype == dtype
    assert lse.shape == expected_lse.shape
    assert relative_rms(out, expected) < bound
    assert relative_rms(lse, expected_lse) < bound


@pytest.mark.gpu
def test_float8_merges_to_what_it_is_at_once():
    kernel = next(each for each in KERNELS if each.name == "flash-attn-3-fp8")
    if not (is_installed(kernel) and kernel.runs_on(CUDA)):
        pytest.skip("flash-attn-3 is not installed, or does not run here")
    q, k, v = random_heads(97, 160, device="cuda", dtype=torch.bfloat16, head_dim=128)
    attention = choose_attention(kernel.name, CUDA)
    scaled = [attention.scale(x) for x in (q, k, v)]
    (q8, k8, v8), undo = zip(*scaled, strict=True)
    expected = attention.attend(q8, k8, v8, *undo)
    out, lse = torch.zeros(q.shape, device="cuda"), None
    for part in (slice(0, 64), slice(64, 160)):
        found = attention.attend_with_lse(q8, k8[:, part], v8[:, part], *undo)
        out, lse = merge(out, lse, *found)
    exact, _ = eager_with_lse(q.float(), k.float(), v.float())
    # Weights are rounded to FP8 part by part: another error, not a larger one.
    assert relative_rms(out, expected) < 3e-2
    assert relative_rms(out, exact) < 1.1 * relative_rms(expected, exact)
