"""The trainers' real code on toy networks."""

import dataclasses

import numpy as np
import pytest
import torch

from flashtalk_core.config import (
    AudioEncoderConfig,
    AvatarConfig,
    ChunkConfig,
    ClipVisionConfig,
    DiTConfig,
    TextEncoderConfig,
    VAEConfig,
)
from flashtalk_core.models.audio_encoder import AudioEncoder
from flashtalk_core.models.tokenizer import Tokenizer
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.training.audio_trainer import AudioTrainer
from flashtalk_core.training.clips import ClipBank
from flashtalk_core.training.data.corpus_file import SAMPLES_PER_FRAME, Segment, pack_corpus
from flashtalk_core.training.data.prompts import prompt_vocabulary
from flashtalk_core.training.dit_trainer import DiTTrainer, PromptTokens
from flashtalk_core.training.recipe import AudioRecipe, DiTRecipe, VAERecipe
from flashtalk_core.training.sound_windows import SoundBank
from flashtalk_core.training.training_run import OptimiserRecipe
from flashtalk_core.training.vae_trainer import VAETrainer
from flashtalk_core.training.vocabulary import make_tokenizer

pytestmark = pytest.mark.cpu

DEVICE = torch.device("cpu")
OPTIMISER = OptimiserRecipe(learning_rate=1e-3, warmup_steps=1, ema_decay=0.9, report_every=1)
CONFIG = AvatarConfig(
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
# 28-pixel pictures in patches of 14 are 4 patches and a class token.
CONFIG = dataclasses.replace(CONFIG, dit=dataclasses.replace(CONFIG.dit, clip_tokens=5))


@pytest.fixture(scope="module")
def corpus():
    generator = np.random.default_rng(0)

    def segment(held_out):
        mouth = generator.random((60, 6), np.float32)
        samples = generator.standard_normal(60 * SAMPLES_PER_FRAME, np.float32) * 0.1
        return Segment(samples, mouth, np.ones(60, np.uint8), "voice", held_out)

    return pack_corpus([segment(False), segment(False), segment(True)])


@pytest.fixture(scope="module")
def bank(corpus):
    recipe = DiTRecipe(num_clips=32, batch=2)
    return ClipBank(
        CONFIG,
        recipe,
        VideoVAE(CONFIG.vae).requires_grad_(False),
        AudioEncoder(CONFIG.audio).requires_grad_(False),
        SoundBank.from_corpus(corpus, False, DEVICE),
        list(prompt_vocabulary().values()),
        DEVICE,
        seed=0,
    )


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokens") / "spiece.model"
    make_tokenizer(path, CONFIG.text.vocab_size)
    tokenizer = Tokenizer.from_file(path)
    return PromptTokens.encode(list(prompt_vocabulary()), tokenizer, CONFIG.dit.text_len, DEVICE)


def test_a_refreshed_bank_holds_new_clips_with_their_faces_and_sounds(bank):
    torch.manual_seed(0)
    bank.fill()
    first = bank.draw(4)
    assert first.latents.shape == (4, 16, 3, 4, 4)
    assert first.pictures.shape == (4, 16, 3, 4, 4)
    assert first.portraits.shape == (4, 3, 32, 32)
    assert first.windows.shape == (4, 9, 5, 2, 16)
    # Neighbouring windows overlap: what is one to the right now is in the centre next.
    assert torch.equal(first.windows[:, :-1, 3], first.windows[:, 1:, 2])
    torch.manual_seed(1)
    before = bank.draw(4)
    bank.refresh(32)
    torch.manual_seed(1)
    assert not torch.equal(bank.draw(4).latents, before.latents)


def test_stage_1_trains_transformer_and_towers_alike(bank, tokens, tmp_path):
    bank.fill()
    recipe = DiTRecipe(num_clips=32, batch=2, optimiser=OPTIMISER)
    trainer = DiTTrainer(CONFIG, recipe, bank, bank, tokens, DEVICE, tmp_path, seed=0)
    start = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.run(1e3, 1.5)
    moved = {
        name for name, p in trainer.model.named_parameters() if not torch.equal(p, start[name])
    }
    for part in ("dit.blocks.0.self_attn.q", "dit.audio_proj", "dit.img_emb", "text.", "clip."):
        assert any(name.startswith(part) for name in moved), part
    assert (tmp_path / "dit.jsonl").is_file()


def test_the_autoencoder_trains_on_pictures_then_on_clips(tmp_path):
    recipe = VAERecipe(picture_share=0.5, picture_batch=2, clip_batch=1, optimiser=OPTIMISER)
    trainer = VAETrainer(CONFIG, recipe, DEVICE, tmp_path, seed=0)
    before = trainer.measure()["psnr_db"]
    trainer.run(3.0, 3.0)
    assert trainer.measure()["psnr_db"] > before


def test_the_sound_encoder_trains_and_is_measured_on_the_held_out_part(corpus, tmp_path):
    recipe = AudioRecipe(batch=2, margin_frames=3, optimiser=OPTIMISER)
    trainer = AudioTrainer(CONFIG, recipe, corpus, DEVICE, tmp_path, seed=0)
    trainer.run(1.0, 1.0)
    assert set(trainer.measure()) == {"held_out_opening_correlation", "held_out_class_accuracy"}
    assert (tmp_path / "audio-0.safetensors").is_file()


def test_the_tiny_vocabulary_keeps_the_default_prompt_without_unknown_pieces(tokens):
    prompts = [*prompt_vocabulary(), ""]
    row = prompts.index(AvatarConfig().prompt)
    ids = tokens.ids[row][tokens.mask[row].bool()]
    assert ids[-1] == 1
    assert 2 not in ids
    assert tokens.mask[-1].sum() == 1
