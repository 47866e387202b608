"""What is refused of an exchange before any process starts."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from flashtalk_core.acceleration.attention_kernels import KERNELS
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.models.attention import sdpa
from flashtalk_core.parallel.exchange import check_exchange, check_kernels

pytestmark = pytest.mark.cpu

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("exchange", "ring", "num_devices", "says", "subject"),
    [
        ("smoke", 1, 2, "exchange 'smoke': use one of collectives, xfuser", "exchange"),
        ("xfuser", 1, 1, "exchange 'xfuser': one device has nothing to exchange;", "exchange"),
        ("collectives", 2, 1, "ring 2: it must divide the number of devices, 1;", "ring"),
        ("collectives", 3, 4, "ring 3: it must divide the number of devices, 4;", "ring"),
        ("collectives", 0, 4, "ring 0: it must divide the number of devices, 4;", "ring"),
    ],
)
def test_values_that_go_with_no_devices_are_refused(exchange, ring, num_devices, says, subject):
    with pytest.raises(InvalidInputError) as caught:
        check_exchange(exchange, ring, num_devices)
    assert str(caught.value).startswith(says)
    assert caught.value.subject == subject


@pytest.mark.parametrize("values", [("collectives", 1, 1), ("collectives", 2, 4), ("xfuser", 1, 2)])
def test_values_that_go_with_the_devices_are_taken(values):
    check_exchange(*values)


def test_xfuser_is_for_gpus_and_must_be_installed(monkeypatch):
    with pytest.raises(InvalidInputError, match="'xfuser' on cpu: it exchanges between NVIDIA"):
        check_kernels("xfuser", 1, CPU, sdpa)
    monkeypatch.setitem(sys.modules, "xfuser", None)
    with pytest.raises(
        InvalidInputError, match=r"pip install xfuser==0\.4\.5`, or use exchange 'coll"
    ):
        check_kernels("xfuser", 1, GPU, sdpa)
    package = ModuleType("xfuser")
    package.__spec__ = SimpleNamespace(name="xfuser")
    monkeypatch.setitem(sys.modules, "xfuser", package)
    check_kernels("xfuser", 1, GPU, sdpa)


def test_results_are_merged_by_kernels_that_say_how(monkeypatch):
    from flashtalk_core.acceleration import lse_attention

    without = next(each for each in KERNELS if not each.has_lse)
    monkeypatch.setattr(lse_attention, "attention_name", lambda _: without.name)

    def kernel(q, k, v):
        pytest.fail("called")

    check_kernels("collectives", 1, CPU, kernel)
    with pytest.raises(InvalidInputError, match="returns no log-sum-exp") as caught:
        check_kernels("collectives", 2, CPU, kernel)
    assert caught.value.subject == "attention"
