"""A toy model, a toy corpus, and a small table of experiments."""

import dataclasses
import textwrap

import numpy as np
import pytest

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.config.networks import (
    AudioEncoderConfig,
    ClipVisionConfig,
    DiTConfig,
    TextEncoderConfig,
    VAEConfig,
)
from flashtalk_training.speech.corpus_file import SAMPLES_PER_FRAME, Segment, pack_corpus
from tests.training.small_table import TABLE


@pytest.fixture(scope="session")
def config():
    toy = AvatarConfig(
        dit=DiTConfig(
            dim=32,
            ffn_dim=32,
            freq_dim=16,
            text_dim=16,
            text_len=24,
            num_heads=2,
            num_layers=1,
            audio_blocks=2,
            audio_channels=16,
            audio_intermediate_dim=16,
            audio_output_dim=16,
            audio_context_tokens=2,
            clip_dim=16,
        ),
        vae=VAEConfig(dim=4, num_res_blocks=1),
        text=TextEncoderConfig(
            vocab_size=256, dim=16, dim_attn=16, dim_ffn=16, num_heads=2, num_layers=1
        ),
        clip=ClipVisionConfig(image_size=28, dim=16, mlp_ratio=1.0, num_heads=2, num_layers=2),
        audio=AudioEncoderConfig(
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            conv_dim=(8,) * 7,
            num_conv_pos_embeddings=8,
            num_conv_pos_embedding_groups=2,
        ),
        chunk=ChunkConfig(num_frames=9, audio_context_frames=30, audio_lookback_frames=12),
        size_px=(32, 32),
    )
    # 28-pixel images in patches of 14 are 4 patches and a class token.
    return dataclasses.replace(toy, dit=dataclasses.replace(toy.dit, clip_tokens=5))


@pytest.fixture(scope="session")
def long_config(config):
    """Chunks long enough for shorter ones."""
    chunk = ChunkConfig(num_frames=17, audio_context_frames=40, audio_lookback_frames=20)
    return dataclasses.replace(config, chunk=chunk)


@pytest.fixture(scope="session")
def corpus():
    """Two segments to train on, two held out, of noise and random mouths."""
    generator = np.random.default_rng(0)

    def segment(held_out):
        mouth = generator.random((60, 6), np.float32)
        mouth[:10] = 0
        samples = generator.standard_normal(60 * SAMPLES_PER_FRAME, np.float32) * 0.1
        return Segment(samples, mouth, np.ones(60, np.uint8), "voice", held_out)

    return pack_corpus([segment(False), segment(False), segment(True), segment(True)])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "experiment.toml"
    path.write_text(textwrap.dedent(TABLE))
    return path
