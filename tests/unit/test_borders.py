"""Borders to libraries, and memory that runs out behind them."""

import errno

import pytest
import torch

from flashtalk_core.borders import is_out_of_memory, library_border
from flashtalk_core.errors import InvalidInputError, WeightsError
from flashtalk_core.excerpt import reason

pytestmark = pytest.mark.cpu


def allocation_fault():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    return caught.value


def through_the_border(error):
    with library_border(lambda why: WeightsError(f"a.bin: damaged ({why}); download it again")):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. not enough memory: you tried to"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("std::bad_alloc"),
    ],
    ids=repr,
)
def test_memory_that_ran_out_is_known_and_passes(error):
    assert is_out_of_memory(error)
    with pytest.raises(type(error)):
        through_the_border(error)


def test_memory_of_this_computer_is_known_by_what_pytorch_raises():
    fault = allocation_fault()
    assert is_out_of_memory(fault)
    assert reason(fault).startswith("DefaultCPUAllocator: can't allocate memory")


@pytest.mark.parametrize("error", [ValueError("x"), OSError(errno.ENOENT, "gone"), KeyError("a")])
def test_other_errors_are_none_of_memory(error):
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RecursionError("too deep\nsecond line"), "too deep"),
        (KeyError(), "KeyError"),
        (AssertionError(), "AssertionError"),
        (OSError(errno.EACCES, "Permission denied", "/a"), "Permission denied"),
        (RuntimeError("a\x1b[2Jb"), "a [2Jb"),
        (RuntimeError("x" * 9000), "x..."),
    ],
    ids=repr,
)
def test_whatever_a_library_raises_becomes_one_line(error, said):
    with pytest.raises(WeightsError, match="download it again") as caught:
        through_the_border(error)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 250
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [InvalidInputError("steps 0"), KeyboardInterrupt(), SystemExit()])
def test_what_is_ours_or_stops_passes(error):
    with pytest.raises(type(error)) as caught:
        through_the_border(error)
    assert caught.value is error
