"""Cards smaller than the GPU: plans that fit, the same steps, and an honest estimate."""

import dataclasses
import json

import pytest
import torch

from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.bench import cards
from flashtalk_core.bench.cards import SYSTEM_GB, CardBench, bench_cards, estimate_s
from flashtalk_core.bench.stage_clock import StageSamples
from flashtalk_core.cli.main import main
from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.config.networks import DiTConfig, VAEConfig
from flashtalk_core.models.attention import sdpa
from flashtalk_core.placement.memory_plan import MemoryPlan
from flashtalk_core.placement.memory_sizes import model_sizes
from flashtalk_core.quantization.packed.rounded_blocks import packings_of
from flashtalk_core.weights.load import open_avatar

pytestmark = pytest.mark.bench

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bench():
    tiny = open_avatar("tiny").config
    dit = DiTConfig(
        dim=32, ffn_dim=960, num_heads=2, num_layers=4, text_dim=16, clip_dim=16, clip_tokens=5,
        audio_blocks=tiny.dit.audio_blocks, audio_channels=tiny.dit.audio_channels,
        audio_output_dim=16, audio_intermediate_dim=8, audio_context_tokens=4,
    )  # fmt: skip
    vae = VAEConfig(dim=4, num_res_blocks=1)
    return CardBench(
        config=AvatarConfig(dit=dit, vae=vae, audio=tiny.audio, size_px=(32, 32)),
        attention=sdpa,
        kernel_options=KernelOptions.eager(),
        device=CPU,
        dtype=torch.bfloat16,
        size_px=(32, 32),
        steps=1,
        num_decode_latents=1,
        cards_gb=(),
        fp8_unsupported=None,
        warmups=1,
        repeats=1,
    )


def card_for(bench, **plan):
    """Return the size of a card that has just room for a plan."""
    sizes = model_sizes(bench.config, bench.size_px, bench.config.chunk, bench.dtype)
    return SYSTEM_GB + (sizes.peak_bytes(MemoryPlan(**plan)) + 1) / cards.GB


def test_a_small_card_takes_the_same_steps_and_moves_weights(bench):
    small = card_for(bench, float8=True, num_resident=1)
    rows = list(bench_cards(dataclasses.replace(bench, cards_gb=(80.0, small))))
    assert [row.card_gb for row in rows] == [80.0, None, small]
    assert all(row.passed and row.same_steps and row.std >= 0.1 for row in rows)
    whole, unlimited, offloaded = rows
    assert (whole.float8, unlimited.float8, offloaded.float8) == (False, True, True)
    assert whole.moved_gb == unlimited.moved_gb == 0
    assert offloaded.resident_blocks == 1
    assert offloaded.moved_gb > 0
    assert offloaded.expected_gb <= offloaded.limit_gb


def test_weights_of_a_packed_file_give_the_steps_of_unpacked_ones(bench):
    """The width of 32 is one block of Q8_0."""
    packings = packings_of(bench.config, "q8_0")
    assert len(packings) == 4 * 14  # the audio's keys come of 16 numbers
    sizes = model_sizes(
        bench.config, bench.size_px, bench.config.chunk, bench.dtype, packings=packings
    )
    whole, part = MemoryPlan(packed=True), MemoryPlan(packed=True, num_resident=1)
    assert sizes.peak_bytes(part) < sizes.peak_bytes(whole) < sizes.peak_bytes(MemoryPlan())
    for plan in (whole, part):
        small = SYSTEM_GB + (sizes.peak_bytes(plan) + 1) / cards.GB
        given = dataclasses.replace(bench, cards_gb=(small,), weights="q8_0")
        unlimited, row = bench_cards(given)
        assert (unlimited.packed, row.packed) == (False, True)
        assert row.passed
        assert row.same_steps
    assert row.moved_gb > 0


def samples(**times_ms):
    return {name.replace("_", " "): StageSamples([time]) for name, time in times_ms.items()}


def test_the_estimate_lets_copies_hide_behind_computing():
    found = samples(audio_projection=10.0, step_1=100.0, step_2=200.0, chunk=400.0)
    assert estimate_s(found, {}, 2) == 0.4
    # 25 GB/s move 25 MB in a millisecond.
    hidden = {"audio": 10 * 25e6, "step": 200 * 25e6}
    assert estimate_s(found, hidden, 2) == 0.4
    shown = {"audio": 30 * 25e6, "step": 2 * 150 * 25e6}
    assert estimate_s(found, shown, 2) == pytest.approx(0.4 + 0.02 + 0.05)


def test_the_command_prints_a_row_for_each_card(capsys):
    options = ["--model", "tiny", "--device", "cpu", "--size", "32x32", "--steps", "1"]
    options += ["--repeats", "1", "--cards", "80", "--json"]
    assert main(["bench", "cards", *options]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["card_gb"] == 80.0
    assert row["passed"]


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        (["--repeats", "0"], "repeats 0: use 1 or more"),
        (["--cards", "24", "1.5"], "card 1.5 GB: use more than 1.5 GB, which is left"),
        (["--cards", "nan"], "card nan GB: use more than 1.5 GB"),
    ],
)
def test_wrong_options_are_refused(capsys, option, shown):
    assert main(["bench", "cards", "--device", "cpu", *option]) == 2
    assert shown in capsys.readouterr().err
