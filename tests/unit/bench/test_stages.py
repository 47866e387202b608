"""Stages of a chunk: the same frames as the engine's, counted operations, honest comparisons."""

import json
import time

import pytest
import torch

from flashtalk_core.bench.agreement import compare, rounding_bound, step_outputs, vae_outputs
from flashtalk_core.bench.one_chunk import (
    CHUNK,
    FIRST_FRAME,
    make_avatar,
    run_chunk,
)
from flashtalk_core.bench.operations import Rates, count_operations
from flashtalk_core.bench.random_networks import random_inputs, random_networks
from flashtalk_core.bench.stage_clock import StageClock, measure
from flashtalk_core.bench.stages import Setting
from flashtalk_core.cli.bench.shared_options import DECODERS, with_decoder
from flashtalk_core.cli.main import main
from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.engine.session import run_session
from flashtalk_core.engine.state import SessionState
from flashtalk_core.models.attention import sdpa
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.weights.load import open_avatar

pytestmark = pytest.mark.bench

SIZE, STEPS = (32, 32), 2
DEVICE = torch.device("cpu")


@pytest.fixture(scope="module")
def networks():
    config = open_avatar("tiny").config
    return random_networks(config, sdpa, DEVICE, torch.float32)


@pytest.fixture(scope="module")
def inputs(networks):
    return random_inputs(networks, SIZE, STEPS)


@pytest.mark.parametrize("num_latents", [1, 3])
def test_the_measured_chunk_is_the_one_a_session_draws(networks, inputs, num_latents):
    avatar, chunk = make_avatar(networks, inputs, num_latents), networks.config.chunk
    state = SessionState(1, inputs.motion_frames)
    expected = torch.cat(list(run_session(avatar, 2 * chunk.num_new_frames, state)))
    frames = run_chunk(networks, inputs, num_latents, StageClock(DEVICE))
    assert frames.shape == (chunk.num_new_frames, *SIZE, 3)
    assert torch.equal(frames, expected)


def test_every_stage_is_marked(networks, inputs):
    clock = StageClock(DEVICE)
    run_chunk(networks, inputs, 8, clock)
    times = clock.times_ms()
    steps = [f"step {number}" for number in (1, 2)]
    before = ["audio encoder", "motion encode", "audio projection", "noise"]
    assert list(times) == [*before, *steps, "decode", "colour", "to host", FIRST_FRAME, CHUNK]
    assert all(value > 0 for value in times.values())


def test_linear_operations_of_a_step_are_those_of_its_matrices(networks):
    operations = count_operations(networks.config, SIZE, STEPS, is_fused=False)
    dit, grid = networks.config.dit, (networks.config.chunk.num_frames // 4 + 1, 2, 2)
    stride = networks.config.vae.spatial_stride * dit.patch_size[1]
    tokens = grid[0] * (SIZE[0] // stride) * (SIZE[1] // stride)
    a_block = tokens * (8 * dit.dim**2 + 2 * dit.dim * dit.ffn_dim)
    head = tokens * dit.dim * dit.out_dim * 4
    # Timesteps are embedded where the session begins.
    expected = 2 * (dit.num_layers * a_block + head)
    assert operations["step 1"]["linear"] == operations["step 2"]["linear"] == expected
    assert operations["decode"]["convolution"] > operations["motion encode"]["convolution"] > 0


def test_the_least_time_is_the_sum_over_kinds_of_operations():
    rates = Rates(linear=1e12, attention=2e12, convolution=4e12)
    operations = {"linear": 1e12, "attention": 1e12, "convolution": 1e12}
    assert rates.floor_ms(operations) == 1750


def test_random_weights_follow_the_fan_in_and_leave_nothing_closed(networks):
    dit = networks.dit
    layer = dit.blocks[0].ffn[0].weight
    assert float(layer.std()) == pytest.approx(layer.shape[1] ** -0.5, rel=0.1)
    assert float(dit.head.head.weight.std()) > 0
    _, modulation = dit._embed_time(torch.tensor([750.0]))
    gates = (dit.blocks[0].modulation + modulation)[:, [2, 5]]
    assert float(gates.square().mean().sqrt()) > 0.05


def test_outputs_of_random_networks_vary(networks, inputs):
    outputs = step_outputs(networks, inputs) | vae_outputs(networks, inputs, 8)
    assert list(outputs) == ["step 1", "step 2", "motion encode", "decode"]
    assert min(float(output.std()) for output in outputs.values()) >= 0.1


def test_a_copy_in_another_format_leaves_the_autoencoder_as_it_is(networks, inputs):
    wide = vae_outputs(networks, inputs, 1, torch.float64)
    assert next(networks.vae.parameters()).dtype == torch.float32
    for output, expected in vae_outputs(networks, inputs, 1).items():
        assert wide[output].dtype == torch.float32
        torch.testing.assert_close(wide[output], expected, atol=1e-4, rtol=1e-4)


def test_only_outputs_that_agree_and_vary_pass():
    generator = torch.Generator().manual_seed(0)
    right = torch.randn(1000, generator=generator)
    near = right + 0.02 * torch.randn(1000, generator=generator)
    cases = {
        "same": (right, right, True),
        "far": (near, right, False),
        "flat": (0.01 * right, 0.01 * right, False),
        "broken": (right * torch.nan, right, False),
        "within a bound of its own": (near, right, True),
    }
    for name, (result, expected, passed) in cases.items():
        (row,) = compare(
            "mode", {name: result}, {name: expected}, {"within a bound of its own": 0.05}
        )
        assert row.passed is passed, name


@pytest.mark.parametrize(
    ("num_layers", "dtype", "bound"),
    [
        (40, torch.float32, 0.01),
        (3, torch.bfloat16, 0.01),
        (48, torch.bfloat16, 4 / 128),
    ],
)
def test_deep_networks_in_half_precision_may_round_apart(num_layers, dtype, bound):
    assert rounding_bound(num_layers, dtype) == pytest.approx(bound)


def test_nothing_is_measured_with_gradients():
    seen = []
    measure(lambda clock: seen.append(torch.is_grad_enabled()), torch.device("cpu"), 1, 1)
    assert seen == [False, False]


def test_a_clock_sums_a_stage_that_comes_back():
    def run(clock):
        for stage, seconds in (("a", 0.02), ("b", 0.01), ("a", 0.02)):
            time.sleep(seconds)
            clock.mark(stage)
        clock.note("all")

    found = measure(run, torch.device("cpu"), 0, 2)
    assert list(found) == ["a", "b", "all"]
    assert all(len(samples.times_ms) == 2 for samples in found.values())
    assert found["a"].median_ms >= 40
    assert found["all"].median_ms >= found["a"].median_ms + found["b"].median_ms - 1
    assert found["a"].peak_gib is None


def test_the_command_prints_stages_and_agreement(capsys):
    options = ["--model", "tiny", "--size", "32x32", "--steps", "1", "--device", "cpu"]
    options += [
        "--ways",
        "float8",
        "--also",
        "32x48:2:3",
        "--repeats",
        "1",
        "--decode-latents",
        "8",
        "2",
    ]
    assert main(["bench", "stages", *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bench"][0]["parameters"] > 1e6
    assert [row["paths"] for row in found["summaries"]] == ["plain", "float8"]
    rows = {(row["paths"], row["stage"]): row for row in found["stages"]}
    step = rows["float8", "step 1"]
    assert step["median_ms"] > 0
    assert step["tflop_per_s"] == pytest.approx(step["tflop"] / step["median_ms"] * 1000)
    assert rows["float8", "decode by 2"]["tflop"] == rows["plain", "decode"]["tflop"]
    assert rows["float8", "32x48:2:3 chunk"]["median_ms"] > 0
    assert all(row["passed"] for row in found["agreements"])
    assert len(found["agreements"]) == 5


def test_smaller_decoders_take_the_place_of_the_autoencoders():
    def count(decoder):
        with torch.device("meta"):
            vae = VideoVAE(with_decoder(AvatarConfig(), decoder).vae)
        return [sum(p.numel() for p in part.parameters()) for part in (vae.encoder, vae.decoder)]

    own, tae, quarter = (count(decoder) for decoder in DECODERS)
    assert tae[0] == own[0]
    assert tae[1] < own[1] / 5
    assert quarter == pytest.approx([one / 16 for one in own], rel=0.05)


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        (["--repeats", "0"], "repeats 0: use 1 or more"),
        (["--plain-repeats", "0"], "plain repeats 0: use 1 or more"),
        (["--decode-latents", "0"], "decode latents [0]: use 1 or more"),
        (["--size", "770x448"], "size 770x448: height 770 must be a multiple of 16"),
        (["--steps", "101"], "steps 101: use 1 to 100"),
        (["--also", "64x64:0:8"], "steps 0: use 1 to 100"),
        (["--also", "60x64:2:8"], "size 60x64: height 60 must be a multiple of 16"),
        (["--ways", "fused", "--attention", "warp"], "attention 'warp' is unknown"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_built(capsys, option, shown):
    assert main(["bench", "stages", "--device", "cpu", *option]) == 2
    assert shown in capsys.readouterr().err


def test_chunks_of_a_live_session_have_the_frames_that_are_asked_for(networks):
    setting = Setting(SIZE, STEPS, 1, 17)
    shorter = setting.networks(networks)
    motion = networks.config.chunk.num_motion_frames
    frames = run_chunk(shorter, random_inputs(shorter, SIZE, STEPS), 1, StageClock(DEVICE))
    assert len(frames) == 17 - motion
    assert str(setting) == "32x32:2:1:17"
