"""Stage 1 on chunks of several lengths, some of which hear nothing after their end."""

import dataclasses
import itertools

import pytest
import torch

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.live.chunks import live_chunk
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_training.drawn_faces.motion import MotionCurves, sample_curves
from flashtalk_training.recipe import DiTRecipe, OptimiserRecipe
from flashtalk_training.runs.curves import read_curve
from flashtalk_training.stage_1.audio_windows import AudioBank, draw_windows
from flashtalk_training.stage_1.clip_audio import ClipAudio
from flashtalk_training.stage_1.dit_trainer import DiTTrainer
from flashtalk_training.stage_1.movement_codes import CodeLayout, movement_codes, read_codes
from flashtalk_training.stage_2.rollout import encode_clip
from flashtalk_training.stage_2.scenes import chunk_windows
from tests.training.toy_networks import toy_clips, toy_tokens

pytestmark = pytest.mark.training

DEVICE = torch.device("cpu")
LENGTHS = (17, 13, 9)
OPTIMISER = OptimiserRecipe(learning_rate=1e-3, warmup_steps=1, ema_decay=0.9, report_every=1)
RECIPE = DiTRecipe(num_clips=32, batch=4, optimiser=OPTIMISER)
LIVE = dataclasses.replace(RECIPE, chunk_lengths=LENGTHS, live_share=0.5, coded_movement=True)


@pytest.fixture(scope="module")
def speech(corpus):
    return AudioBank.from_corpus(corpus, False, DEVICE)


def make_bank(config, recipe, corpus):
    torch.manual_seed(0)
    bank = toy_clips(config, recipe, corpus)
    bank.fill()
    return bank


@pytest.fixture(scope="module")
def live_bank(long_config, corpus):
    return make_bank(long_config, LIVE, corpus)


@pytest.fixture(scope="module")
def tokens(config, tmp_path_factory):
    return toy_tokens(config, tmp_path_factory.mktemp("tokens") / "spiece.model")


def test_latents_of_a_short_chunk_are_the_first_ones_of_a_long_one(config):
    torch.manual_seed(0)
    vae, video = VideoVAE(config.vae).requires_grad_(False), torch.rand(1, 3, 17, 32, 32)
    whole = encode_clip(vae, video)
    for length in LENGTHS:
        short = encode_clip(vae, video[:, :, :length])
        assert torch.allclose(short, whole[:, :, : short.shape[2]], atol=1e-5)


@torch.no_grad()
def test_live_clips_hear_what_live_sessions_do_and_others_what_files_do(long_config, speech):
    torch.manual_seed(0)
    encoder = AudioEncoder(long_config.audio)
    kept = ClipAudio(long_config, 4, LENGTHS, DEVICE)
    windows = draw_windows(speech, 4, kept.drawn)
    kept.store(slice(0, 4), encoder, windows)
    step, rows = long_config.chunk.samples_per_frame, torch.arange(4)
    is_live = torch.tensor([True, False, True, False])
    for length in LENGTHS:
        file = dataclasses.replace(long_config.chunk, num_frames=length)
        found = kept.read(rows, length, is_live)
        for chunk, some in ((live_chunk(long_config.chunk, length), is_live), (file, ~is_live)):
            first = kept.drawn.audio_lookback_frames - chunk.audio_lookback_frames
            heard = windows.samples[:, first * step : (first + chunk.audio_context_frames) * step]
            features = encoder(heard, chunk.audio_context_frames)
            expected = chunk_windows(features, dataclasses.replace(long_config, chunk=chunk))
            assert found.shape == expected.shape
            assert torch.allclose(found[some], expected[some], atol=2e-3)
        assert torch.equal(kept.read(rows, length, None)[~is_live], found[~is_live])


def test_nothing_after_its_end_changes_what_a_live_clip_hears(long_config, speech):
    torch.manual_seed(0)
    encoder = AudioEncoder(long_config.audio).requires_grad_(False)
    kept = ClipAudio(long_config, 8, LENGTHS, DEVICE)
    windows = draw_windows(speech, 4, kept.drawn)
    kept.store(slice(0, 4), encoder, windows)
    drawn = kept.drawn
    end = (drawn.audio_lookback_frames - 5 + 9) * drawn.samples_per_frame
    windows.samples[:, end:] = 0
    kept.store(slice(4, 8), encoder, windows)
    rows, always = torch.arange(8), torch.ones(8, dtype=torch.bool)
    live, file = kept.read(rows, 9, always), kept.read(rows, 9, None)
    assert torch.equal(live[:4], live[4:])
    assert not torch.equal(file[:4], file[4:])


def test_a_bank_without_live_clips_keeps_the_audio_of_files_alone(long_config):
    kept = ClipAudio(long_config, 4, (), DEVICE)
    assert kept.drawn == long_config.chunk
    assert len(kept._features) == 1


def test_short_clips_are_the_first_frames_of_long_ones_with_codes_of_their_own(
    long_config, live_bank
):
    batches = {}
    for length in (None, *LENGTHS):
        torch.manual_seed(0)
        batches[length] = live_bank.draw(8, length)
    whole = batches[None]
    assert torch.equal(whole.latents, batches[17].latents)
    for length in LENGTHS:
        batch, num_latents = batches[length], (length + 3) // 4
        assert torch.equal(batch.latents, whole.latents[:, :, :num_latents])
        assert torch.equal(batch.images, whole.images[:, :, :num_latents])
        assert torch.equal(batch.windows, whole.windows[:, :length])
        assert batch.codes.shape == (8, 2, CodeLayout.of_frames(length, 5).num_codes)


def test_codes_of_a_short_clip_tell_its_own_movement(long_config, live_bank):
    curves = sample_curves(32, 17, torch.Generator().manual_seed(1))
    live_bank._store_codes(slice(0, 32), curves)
    layout = CodeLayout.of_frames(9, 5)
    begun = MotionCurves(curves.sway[..., :9], curves.blink[:, :9])
    expected = movement_codes(begun, layout, single=False)
    # Those of sway follow from the curves alone; a code of no blink is drawn.
    assert torch.equal(live_bank._codes[9][:, 0, :10], expected[:, :10])


def test_stage_1_trains_on_every_length_and_measures_live_chunks_apart(
    long_config, live_bank, tokens, tmp_path
):
    trainer = DiTTrainer(
        long_config, LIVE, live_bank, live_bank, tokens, DEVICE, tmp_path, seed=0
    )  # fmt: skip
    seen, predict = set(), trainer._predict

    def noted(latent, level, condition, *others):
        assert latent.shape[2] == condition.shape[2] == (others[-1].shape[1] + 3) // 4
        seen.add(others[-1].shape[1])
        return predict(latent, level, condition, *others)

    trainer._predict = noted
    start = trainer.model.dit.head.head.weight.detach().clone()
    clock = itertools.count()
    trainer.run(1e9, 60.0, lambda: float(next(clock)))
    assert seen == set(LENGTHS)
    assert not torch.equal(trainer.model.dit.head.head.weight, start)
    assert {"held_out_loss", "held_out_live_loss"} <= read_curve(tmp_path / "dit.csv")[0].keys()
    assert all(p.grad is not None for p in trainer.model.dit.blocks.parameters())


def test_short_clips_are_denoised_from_noise_with_their_codes(
    long_config, live_bank, tokens, tmp_path
):
    trainer = DiTTrainer(
        long_config, LIVE, live_bank, live_bank, tokens, DEVICE, tmp_path, seed=0
    )  # fmt: skip
    seen = []
    trainer._predict = lambda latent, level, *_: seen.append((latent, level)) or latent
    batch = live_bank.draw(32, 9, 0.5)
    torch.manual_seed(0)
    trainer._flow_loss(batch)
    latent, level = seen[0]
    layout = CodeLayout.of_frames(9, 5)
    clean = read_codes(batch.latents, layout)
    noise = (read_codes(latent, layout) - (1 - level[:, None]) * clean) / level[:, None]
    off = (noise[:, None] - batch.codes).abs().amax(dim=-1).amin(dim=1)
    assert off[level > 0.2].max() < 1e-3


def test_a_recipe_that_cannot_be_is_refused(long_config, corpus):
    with pytest.raises(InvalidInputError, match=r"live_share 1\.5 is no share"):
        dataclasses.replace(RECIPE, live_share=1.5)
    longer = dataclasses.replace(RECIPE, chunk_lengths=(21,))
    with pytest.raises(InvalidInputError, match="21 frames: training clips have 17"):
        make_bank(long_config, longer, corpus)
