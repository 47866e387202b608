"""Devices and dtypes by name."""

import pytest
import torch

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.excerpt import excerpt
from flashtalk_core.placement.devices import (
    check_devices,
    choose_device,
    choose_dtype,
    common_dtype,
    other_generations,
    parse_devices,
)

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


@pytest.mark.parametrize(
    ("capability", "dtype"), [((8, 0), torch.bfloat16), ((7, 5), torch.float16)]
)
def test_the_dtype_follows_the_device(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert choose_dtype("auto", torch.device("cuda")) == dtype
    assert choose_dtype("auto", torch.device("cpu")) == torch.float32
    assert choose_dtype("float16", torch.device("cpu")) == torch.float16


def test_cards_of_several_generations_compute_in_what_all_have(monkeypatch):
    generations = [(9, 0), (9, 0), (7, 5), (8, 9)]
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: generations[device.index]
    )
    names = [f"cuda:{index}" for index in range(4)]
    others = other_generations(names)
    assert others == (torch.device("cuda:2"), torch.device("cuda:3"))
    assert other_generations(names[:2]) == other_generations(["cpu", "cpu"]) == ()
    found = [choose_dtype("auto", device) for device in (torch.device("cuda:0"), *others)]
    assert common_dtype(found) == torch.float16
    assert common_dtype([torch.bfloat16, torch.float32]) == torch.float32
    assert common_dtype([torch.bfloat16]) == torch.bfloat16


@pytest.mark.parametrize(
    "text", ["0-3", "0 1", "cuda:0 cuda:1", "0;1", "1.5,2", "-1,0", "9" * 5000]
)
def test_what_is_no_list_of_devices_is_told_how_one_is_written(text):
    with pytest.raises(InvalidInputError) as caught:
        parse_devices(text)
    assert "is no device; use numbers of GPUs with commas between, such as 0,1,2,3" in str(
        caught.value
    )
    assert caught.value.subject == "devices"
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (0, "PyTorch sees no GPU here"),
        (1, "there is one GPU, 0"),
        (2, "there are 2 GPUs, 0 to 1"),
    ],
)
def test_a_gpu_that_is_not_there_is_named_with_those_that_are(monkeypatch, count, says):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(InvalidInputError, match=f"^device 'cuda:2' of devices .*: {says}; see"):
        check_devices(("cuda:2", "cuda:3"))
