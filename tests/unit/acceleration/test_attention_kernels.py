"""The attention slot: what fills it, and what is said when nothing can."""

import logging
import sys

import pytest
import torch

from flashtalk_core.acceleration.attention_kernels import (
    KERNELS,
    choose_attention,
    is_installed,
    sdpa_cudnn,
)
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.models.attention import sdpa

CPU = pytest.mark.cpu


def random_heads(num_queries, num_keys, device="cpu", dtype=torch.float32, head_dim=8):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, length, 3, head_dim, generator=generator).to(device, dtype)
        for length in (num_queries, num_keys, num_keys)
    ]


@pytest.fixture
def only_package(monkeypatch, tmp_path):
    """Hide every kernel's package but one, whose source is given."""

    def install(name, source):
        for kernel in KERNELS:
            for module in kernel.modules:
                monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.delitem(sys.modules, name)
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)

    return install


@CPU
def test_sdpa_is_softmax_attention_over_tokens():
    q, k, v = random_heads(5, 7)
    scores = torch.einsum("bqnd,bknd->bnqk", q, k) / 8**0.5
    expected = torch.einsum("bnqk,bknd->bqnd", scores.softmax(dim=-1), v)
    torch.testing.assert_close(sdpa(q, k, v), expected, atol=1e-6, rtol=1e-5)


@CPU
def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(
        InvalidInputError, match=r"'flash9' is unknown; use one of: auto, sdpa, sdpa-cudnn, f"
    ):
        choose_attention("flash9")


@CPU
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_a_missing_package_is_named_with_a_remedy(kernel, monkeypatch):
    for module in kernel.modules:
        monkeypatch.setitem(sys.modules, module, None)
    assert not is_installed(kernel)
    with pytest.raises(
        InvalidInputError, match=f"pip install {kernel.distributions[0]}`, or use 'sdpa'"
    ):
        choose_attention(kernel.name)


@CPU
@pytest.mark.parametrize("name", ["auto", "sdpa"])
def test_the_cpu_gets_sdpa(name):
    assert choose_attention(name, "cpu") is sdpa


@CPU
def test_the_order_of_kernels_does_not_change_attention():
    q, k, v = random_heads(5, 7)
    assert choose_attention("sdpa-cudnn") is sdpa_cudnn
    torch.testing.assert_close(sdpa_cudnn(q, k, v), sdpa(q, k, v), atol=1e-6, rtol=1e-5)


@CPU
def test_a_pytorch_that_cannot_order_kernels_takes_its_own(monkeypatch):
    for module in (module for kernel in KERNELS for module in kernel.modules):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert choose_attention("auto", "cuda") is sdpa_cudnn
    monkeypatch.setattr(torch.nn.attention, "sdpa_kernel", lambda backends: None)
    assert choose_attention("auto", "cuda") is sdpa
    with pytest.raises(InvalidInputError, match=r"older than 2\.6; use 'sdpa'"):
        choose_attention("sdpa-cudnn")


@CPU
@pytest.mark.parametrize("capability", [(8, 0), (8, 9), (9, 0), (12, 0)])
def test_cudnn_is_preferred_on_hopper_alone(capability, monkeypatch):
    for kernel in KERNELS:
        for module in kernel.modules:
            monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    expected = sdpa_cudnn if capability == (9, 0) else sdpa
    assert choose_attention("auto", "cuda") is expected


@CPU
def test_a_cuda_kernel_is_not_asked_for_what_it_cannot_take(only_package):
    only_package("sageattention", "def sageattn(*args, **kwargs):\n    raise AssertionError\n")
    sage = next(kernel for kernel in KERNELS if kernel.name == "sage")
    q, k, v = random_heads(4, 4)
    assert torch.equal(sage.load()(q, k, v), sdpa(q, k, v))


@CPU
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_a_named_kernel_that_the_device_cannot_run_is_refused(kernel, only_package):
    only_package(kernel.modules[0], "raise AssertionError('must not be imported')\n")
    with pytest.raises(InvalidInputError, match="does not run on cpu; use 'auto' or 'sdpa'"):
        choose_attention(kernel.name, "cpu")


@CPU
def test_a_named_package_that_is_broken_is_a_fault_in_one_line(only_package, monkeypatch):
    only_package("flash_attn", "raise ImportError('built for another torch')\n")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    with pytest.raises(InvalidInputError, match="cannot be imported"):
        choose_attention("flash-attn", "cuda")


@CPU
def test_a_broken_package_is_reported_and_replaced(only_package, monkeypatch, caplog):
    only_package("fa3_fwd_interface", "raise ImportError('built for another torch')\n")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    with caplog.at_level(logging.WARNING):
        assert choose_attention("auto", "cuda") is sdpa_cudnn
    assert "flash-attn-3 is installed but unusable (built for another torch)" in caplog.text


@CPU
def test_sage_is_never_chosen_unasked(only_package, monkeypatch):
    only_package("sageattention", "def sageattn(*args, **kwargs):\n    raise AssertionError\n")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert choose_attention("auto", "cuda") is sdpa_cudnn


@CPU
def test_a_kernel_for_newer_gpus_is_not_chosen_for_an_older_one(only_package, monkeypatch):
    only_package("fa3_fwd_interface", "raise AssertionError('must not be imported')\n")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 9))
    assert choose_attention("auto", "cuda") is sdpa


@CPU
def test_a_kernel_for_hopper_is_not_chosen_for_what_came_after(only_package, monkeypatch):
    only_package("fa3_fwd_interface", "raise AssertionError('must not be imported')\n")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (12, 0))
    assert choose_attention("auto", "cuda") is sdpa


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("lengths", [(96, 96), (97, 33)])
def test_each_installed_kernel_agrees_with_sdpa(kernel, lengths):
    if not is_installed(kernel):
        pytest.skip(f"{kernel.modules[0]} is not installed")
    if not kernel.runs_on(torch.device("cuda")):
        pytest.skip(f"needs compute capability {kernel.min_capability} or so")
    q, k, v = random_heads(*lengths, device="cuda", dtype=torch.bfloat16, head_dim=128)
    expected = sdpa(q.float(), k.float(), v.float())
    error = (kernel.load()(q, k, v).float() - expected).square().mean().sqrt() / expected.std()
    # Those that are not exact multiply in 8 bits.
    assert float(error) < {"sage": 5e-2, "flash-attn-3-fp8": 1e-1}.get(kernel.name, 1e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("lengths", [(96, 96), (97, 33)])
def test_cudnn_agrees_with_sdpa(lengths):
    q, k, v = random_heads(*lengths, device="cuda", dtype=torch.bfloat16, head_dim=128)
    expected = sdpa(q.float(), k.float(), v.float())
    error = (sdpa_cudnn(q, k, v).float() - expected).square().mean().sqrt() / expected.std()
    assert float(error) < 1e-2
