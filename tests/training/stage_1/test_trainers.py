"""The trainers' real code on toy networks."""

import itertools

import pytest
import torch

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_training.recipe import AudioRecipe, DiTRecipe, OptimiserRecipe, VAERecipe
from flashtalk_training.speech.prompts import prompt_vocabulary
from flashtalk_training.stage_1.audio_trainer import AudioTrainer
from flashtalk_training.stage_1.dit_trainer import DiTTrainer
from flashtalk_training.stage_1.faces_source import spoken_mouths
from flashtalk_training.stage_1.movement_codes import CodeLayout, read_codes
from flashtalk_training.stage_1.vae_trainer import VAETrainer
from tests.training.toy_networks import toy_clips, toy_tokens

pytestmark = pytest.mark.training

DEVICE = torch.device("cpu")


def run_one_step(trainer):
    """Train with a clock that goes on by a second whenever it is read."""
    clock = itertools.count()
    trainer.run(1e9, 5.0, lambda: float(next(clock)))


OPTIMISER = OptimiserRecipe(learning_rate=1e-3, warmup_steps=1, ema_decay=0.9, report_every=1)


@pytest.fixture(scope="module")
def bank(config, corpus):
    recipe = DiTRecipe(num_clips=32, batch=2)
    bank = toy_clips(config, recipe, corpus)
    torch.manual_seed(0)
    bank.fill()
    return bank


@pytest.fixture(scope="module")
def tokens(config, tmp_path_factory):
    return toy_tokens(config, tmp_path_factory.mktemp("tokens") / "spiece.model")


def test_a_refreshed_bank_holds_new_clips_with_their_faces_and_audio(bank):
    first = bank.draw(4)
    assert first.latents.shape == (4, 16, 3, 4, 4)
    assert first.images.shape == (4, 16, 3, 4, 4)
    assert first.portraits.shape == (4, 3, 32, 32)
    assert first.windows.shape == (4, 9, 5, 2, 16)
    assert first.prompts.shape == (4,)
    # Neighbouring windows overlap: what is one to the right now is in the centre next.
    assert torch.equal(first.windows[:, :-1, 3], first.windows[:, 1:, 2])
    torch.manual_seed(1)
    before = bank.draw(4)
    bank.refresh(32)
    torch.manual_seed(1)
    assert not torch.equal(bank.draw(4).latents, before.latents)


def test_clips_of_one_face_share_its_portrait_and_image(bank):
    torch.manual_seed(0)
    batch = bank.draw(64)
    faces = {}
    for portrait, image, latent in zip(batch.portraits, batch.images, batch.latents, strict=True):
        faces.setdefault(portrait.numpy().tobytes(), []).append((image, latent))
    assert len(faces) == 8  # 32 clips, 4 a face
    for clips in faces.values():
        assert all(torch.equal(image, clips[0][0]) for image, _ in clips)
        assert 1 < len({latent.numpy().tobytes() for _, latent in clips}) <= 4


def test_clips_are_paired_with_the_image_of_their_own_face(bank):
    """A face moves little, so that a clip's first latent is nearest its own face's image."""
    torch.manual_seed(0)
    batch = bank.draw(32)
    clips, images = (v[:, :, 0].flatten(1) for v in (batch.latents, batch.images))
    nearest = torch.cdist(clips, images).argmin(dim=1)
    own = (images[nearest] == images).all(dim=1)
    assert own.float().mean() > 0.8


def test_stage_1_trains_transformer_and_towers_alike(config, bank, tokens, tmp_path):
    recipe = DiTRecipe(num_clips=32, batch=2, optimiser=OPTIMISER)
    trainer = DiTTrainer(config, recipe, bank, bank, tokens, DEVICE, tmp_path, seed=0)
    start = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    run_one_step(trainer)
    moved = {
        name for name, p in trainer.model.named_parameters() if not torch.equal(p, start[name])
    }
    for part in ("dit.blocks.0.self_attn.q", "dit.audio_proj", "dit.img_emb", "text.", "clip."):
        assert any(name.startswith(part) for name in moved), part
    assert (tmp_path / "dit.csv").is_file()


def test_stage_1_trains_on_noise_that_tells_the_movement(config, corpus, tokens, tmp_path):
    recipe = DiTRecipe(
        num_clips=32, batch=2, optimiser=OPTIMISER, coded_movement=True, eye_weight=3.0
    )
    bank = toy_clips(config, recipe, corpus)
    bank.fill()
    trainer = DiTTrainer(config, recipe, bank, bank, tokens, DEVICE, tmp_path, seed=0)
    seen = []
    trainer._predict = lambda latent, level, *_: seen.append((latent, level)) or latent
    batch = bank.draw(32)
    torch.manual_seed(0)
    trainer._flow_loss(batch)
    latent, level = seen[0]
    layout = CodeLayout.of_frames(config.chunk.num_frames, config.chunk.num_motion_frames)
    clean = read_codes(batch.latents, layout)
    noise = (read_codes(latent, layout) - (1 - level[:, None]) * clean) / level[:, None]
    off = (noise[:, None] - batch.codes).abs().amax(dim=-1).amin(dim=1)
    assert off[level > 0.2].max() < 1e-3
    run_one_step(DiTTrainer(config, recipe, bank, bank, tokens, DEVICE, tmp_path, seed=0))


@pytest.mark.parametrize(("image_share", "frames"), [(1.0, 1), (0.0, 9)])
def test_the_autoencoder_trains_on_images_then_on_clips(config, tmp_path, image_share, frames):
    recipe = VAERecipe(image_share=image_share, image_batch=2, clip_batch=1, optimiser=OPTIMISER)
    tracks = (torch.rand(40, 6), torch.rand(40, 6))
    trainer = VAETrainer(config, recipe, tracks, DEVICE, tmp_path, seed=0)
    start = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    run_one_step(trainer)
    moved = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, start[n])}
    assert any(name.startswith("encoder.conv1") for name in moved)
    # Networks over time are of use to clips alone.
    assert any("time_conv" in name for name in moved) == (frames > 1)
    assert (tmp_path / "vae-0.safetensors").is_file()


def test_the_audio_encoder_trains_and_is_measured_on_the_held_out_part(config, corpus, tmp_path):
    recipe = AudioRecipe(batch=2, margin_frames=3, optimiser=OPTIMISER)
    trainer = AudioTrainer(config, recipe, corpus, DEVICE, tmp_path, seed=0)
    before = trainer.measure()
    torch.manual_seed(5)
    assert trainer.measure() == before
    run_one_step(trainer)
    assert set(before) == {"held_out_opening_correlation", "held_out_class_accuracy"}
    assert trainer.measure() != before
    assert (tmp_path / "audio-0.safetensors").is_file()


def test_the_tiny_vocabulary_keeps_the_default_prompt_without_unknown_pieces(tokens):
    prompts = [*prompt_vocabulary(), ""]
    row = prompts.index(AvatarConfig().prompt)
    ids = tokens.ids[row][tokens.mask[row].bool()]
    assert ids[-1] == 1
    assert 2 not in ids
    assert tokens.mask[-1].sum() == 1


def test_only_motion_latents_are_shown_damaged_and_in_their_share(config, bank, tokens, tmp_path):
    batch = bank.draw(32)
    for share, expected in ((0.0, 0), (1.0, 32)):
        recipe = DiTRecipe(num_clips=32, batch=2, damaged_motion_share=share)
        trainer = DiTTrainer(config, recipe, bank, bank, tokens, DEVICE, tmp_path, seed=0)
        start = trainer._motion_start(batch)
        changed = (start != batch.latents).flatten(3).any(dim=3).any(dim=1)
        assert not changed[:, 2:].any()
        assert changed[:, :2].all(dim=1).sum() == expected
        if share == 1:
            assert torch.equal(start[:, :, :2], batch.damaged)


def test_a_share_of_mouth_tracks_is_speech_and_the_rest_oscillates():
    tracks = torch.arange(50.0)[:, None].expand(50, 6)
    swinging = torch.full((200, 9, 6), -1.0)
    mouths = spoken_mouths(tracks, swinging, 0.75, torch.Generator().manual_seed(0))
    spoken = mouths[:, 0, 0] >= 0
    assert 0.65 < spoken.float().mean() < 0.85
    assert torch.equal(
        mouths[spoken][:, 1:] - mouths[spoken][:, :-1], torch.ones(int(spoken.sum()), 8, 6)
    )
    assert (mouths[~spoken] == -1).all()
