"""Devices and dtypes by name."""

from contextlib import nullcontext

import pytest
import torch

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.excerpt import excerpt
from flashtalk_core.placement.devices import choose_device, choose_dtype

pytestmark = pytest.mark.cpu


def test_names_of_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize(
    "name", ["gpu", "cuda:99", "meta", "", "mps", "xla", "g" * 5000, "cuda:-1", "\x1b[2J"]
)
def test_devices_that_cannot_compute(name):
    with pytest.raises(InvalidInputError, match=r"device '.*': .+; use 'cpu'") as caught:
        choose_device(name)
    # PyTorch's advice to its own developers has 1,200 characters.
    assert len(str(caught.value)) < 250
    assert str(caught.value).isprintable()
    assert excerpt(name) in str(caught.value)


@pytest.mark.parametrize(
    "name", ["mps", "vulkan", "hpu", "ideep", "opengl", "privateuseone", "xla", "lazy"]
)
def test_a_device_that_this_pytorch_lacks_is_reported_in_plain_words(name):
    with pytest.raises(InvalidInputError) as caught:
        choose_device(name)
    assert str(caught.value) == (
        f"device '{name}': this PyTorch is built without it; use 'cpu', or see `python -m "
        "flashtalk_core doctor`"
    )


@pytest.mark.parametrize(("has_bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_the_dtype_follows_the_device(monkeypatch, has_bf16, dtype):
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert choose_dtype("auto", torch.device("cuda")) == dtype
    assert choose_dtype("auto", torch.device("cpu")) == torch.float32
    assert choose_dtype("float16", torch.device("cpu")) == torch.float16
