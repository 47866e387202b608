"""The effect of FP8 on the frames of a trained model."""

import copy
import math

import pytest
import torch

from flashtalk_core.bench.one_chunk import run_chunk
from flashtalk_core.bench.random_networks import Networks, random_inputs
from flashtalk_core.bench.stage_clock import StageClock
from flashtalk_core.quantization.blocks import convert_blocks
from flashtalk_core.quantization.fp8 import FP8
from flashtalk_core.weights.load import load_avatar

pytestmark = pytest.mark.bench

MIN_PSNR_DB = 35


def test_the_trained_tiny_model_draws_the_same_frames():
    device = torch.device("cpu")
    models = load_avatar("tiny", device)
    networks = Networks(models.config, models.dit, models.vae, models.audio_encoder)
    inputs = random_inputs(networks, (64, 64), 2)
    plain = run_chunk(networks, inputs, 8, StageClock(device)).float()
    small = copy.deepcopy(models.dit)
    convert_blocks(small, FP8, torch.device("cpu"))
    networks = Networks(models.config, small, models.vae, models.audio_encoder)
    frames = run_chunk(networks, inputs, 8, StageClock(device)).float()
    error = float((frames - plain).square().mean())
    assert float(plain.std()) > 10
    assert error > 0
    assert 10 * math.log10(255**2 / error) >= MIN_PSNR_DB
