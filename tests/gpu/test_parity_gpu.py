"""The recorded numbers on a GPU, within the bounds for it."""

from pathlib import Path

import pytest
import torch

from flashtalk_core.parity.runner import run_parity

pytestmark = pytest.mark.gpu

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_the_recorded_numbers_are_reproduced(dtype):
    results = run_parity(GOLDEN, "cuda", dtype)
    assert not [f"{r.component} {r.name} {r.error:.2e}" for r in results if not r.passed]


def test_tf32_settings_of_the_process_do_not_matter():
    torch.set_float32_matmul_precision("high")
    try:
        assert all(result.passed for result in run_parity(GOLDEN, "cuda"))
    finally:
        torch.set_float32_matmul_precision("highest")
