"""The whole pipeline at toy size, from untrained networks to measures of the exported model."""

import argparse
import dataclasses
import json
import math
import shutil

import pytest
import torch

from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.engine.avatar import TalkingAvatar
from flashtalk_core.engine.chunk import ChunkModel, TransformerDenoiser
from flashtalk_core.engine.reference import ReferenceTrack, encode_portrait
from flashtalk_core.engine.session import run_session
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.models.encoders.text import encode_prompt
from flashtalk_core.placement.provider import FixedNetworks
from flashtalk_core.weights.load import load_avatar, open_avatar
from flashtalk_training import stages
from flashtalk_training.cli.train import _export
from flashtalk_training.drawn_faces.styles import OLDER
from flashtalk_training.evaluation import drift, eye_error, measures
from flashtalk_training.evaluation.batched_sessions import HeldOutFaces, Sessions
from flashtalk_training.evaluation.eval_clip import ArrayAudio, held_out_clips
from flashtalk_training.export import export_model
from flashtalk_training.recipe import (
    AudioRecipe,
    DistillRecipe,
    DiTRecipe,
    OptimiserRecipe,
    TinyRecipe,
    VAERecipe,
)
from flashtalk_training.runs.states import load_notes
from flashtalk_training.speech.corpus_file import save_corpus
from flashtalk_training.vocabulary import make_tokenizer

pytestmark = pytest.mark.training

OPTIMISER = OptimiserRecipe(learning_rate=1e-3, warmup_steps=1, ema_decay=0.9, report_every=1)
RECIPE = TinyRecipe(
    budgets_s={"vae": 0.3, "audio": 0.1, "dit": 0.1},
    vae=VAERecipe(image_batch=2, clip_batch=1, num_statistics_clips=8, optimiser=OPTIMISER),
    audio=AudioRecipe(batch=2, margin_frames=3, optimiser=OPTIMISER),
    dit=DiTRecipe(num_clips=32, num_held_out_clips=32, batch=2, optimiser=OPTIMISER),
)
SAMPLING = SamplingConfig(steps=1)


@pytest.fixture(scope="module")
def job(config, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    files = stages.TrainingFiles(
        folder / "corpus.safetensors", folder / "spiece.model", folder / "runs"
    )
    save_corpus(corpus, files.corpus)
    make_tokenizer(files.tokenizer, config.text.vocab_size)
    return stages.TrainingJob(config, RECIPE, files, torch.device("cpu"))


@pytest.fixture(scope="module")
def model(job, tmp_path_factory):
    """Train in stages, each to the end of its budget, and export."""
    assert stages.train_vae(job, 1e3)
    assert stages.train_audio(job, 1e3)
    stages.measure_latents(job)
    assert stages.train_dit(job, 1e3)
    folder = tmp_path_factory.mktemp("model")
    export_model(job.files, job.config, folder)
    return folder


def test_a_trained_model_is_loaded_with_its_measured_latents(job, model):
    vae = open_avatar(model).config.vae
    measured = json.loads((job.files.runs / "latents.json").read_text())
    assert list(vae.latent_mean) == measured["latent_mean"]
    assert list(vae.latent_std) == measured["latent_std"]
    assert vae.latent_mean != job.config.vae.latent_mean


def test_a_trained_model_is_measured_from_its_folder(model, config, corpus):
    models = load_avatar(model, "cpu")
    clips = held_out_clips(corpus, 2, config.size_px)
    short = [dataclasses.replace(clip, mouth=clip.mouth[:24]) for clip in clips]
    lips = measures.evaluate_lips(models, short, SAMPLING)
    assert lips["clips"] == 2
    assert -1 <= lips["correlation_pooled"] <= 1
    assert lips["pbm_frames"] == 0
    older = held_out_clips(corpus, 2, config.size_px, OLDER)
    assert not torch.equal(older[0].portrait, clips[0].portrait)
    eyes = eye_error.evaluate_eyes(models, corpus, SAMPLING, 2, HeldOutFaces(1, style=OLDER))
    assert eyes["drawn"]["mean"] < min(eyes["model"]["mean"], eyes["autoencoder"]["mean"])
    assert all(each["worst_over_mean"] >= 1 for each in eyes.values())
    assert 0 < measures.evaluate_vae(models, 1)["psnr_db"] < 60
    trips = drift.evaluate_round_trips(models, SAMPLING, 2, HeldOutFaces(1))
    assert [row["trip"] for row in trips] == [1, 2]
    assert all(row["colour_delta_e"] > 0 for row in trips)
    held_out = HeldOutFaces(1)
    rows = drift.evaluate_drift(models, corpus, SAMPLING, chunks=2, held_out=held_out)
    assert [row["chunk"] for row in rows] == [1, 2]
    recovery = drift.evaluate_recovery(models, corpus, SAMPLING, chunks=2, held_out=HeldOutFaces(1))
    assert set(recovery) == {"none", "cast", "blur", "noise", "shift"}
    assert len(recovery["cast"]["rows"]) == 2
    assert recovery["cast"]["start"]["colour_delta_e"] > 5
    silence = measures.evaluate_silence(models, corpus, SAMPLING, 1, 1, trailing_seconds=(1, 1))
    assert 0 <= silence["trailing_shut_share"] <= 1
    assert all(math.isfinite(value) for value in silence.values())


def play(models, clip, sampling):
    """Play a session as a render does, ``(F, 3, H, W)`` in ``[0, 1]``."""
    config, image = models.config, clip.portrait * 2 - 1
    with torch.no_grad():
        context = encode_prompt(
            models.text_encoder, models.tokenizer, config.prompt, config.dit.text_len
        )
        tokens = models.clip(image[None])
        portrait = encode_portrait(models.vae, tokens, image, config.chunk.num_frames)
    networks = FixedNetworks(models.dit, models.vae, models.audio_encoder)
    avatar = TalkingAvatar(
        model=ChunkModel(networks, config.chunk),
        references=ReferenceTrack(TransformerDenoiser(networks).project, portrait, [context], [0]),
        audio=ArrayAudio(clip.samples),
        sampling=sampling,
        audio_window=config.dit.audio_window,
        fingerprint="",
    )
    frames = torch.cat(list(run_session(avatar, len(clip.opening))))
    return frames.permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("join_frames", [0, 4])
def test_batched_sessions_equal_single_ones(model, config, corpus, join_frames):
    models = load_avatar(model, "cpu")
    clips = held_out_clips(corpus, 2, config.size_px)
    portraits = torch.stack([clip.portrait for clip in clips])
    audio_inputs = [ArrayAudio(clip.samples) for clip in clips]
    sampling = SamplingConfig(steps=2, rule="renoise", seed=7, join_frames=join_frames)
    together = torch.cat(list(Sessions(models, portraits, audio_inputs, sampling).play(3)), dim=1)
    for index, clip in enumerate(clips):
        alone = play(
            models,
            dataclasses.replace(clip, mouth=torch.zeros(together.shape[1], 6)),
            dataclasses.replace(sampling, seed=7 + index),
        )
        # Alone, frames are cut to bytes.
        assert (together[index] - alone).abs().max() < 1.1 / 255


def test_selected_chunks_equal_those_of_the_whole_session(model, config, corpus):
    models = load_avatar(model, "cpu")
    audio_inputs = [ArrayAudio(held_out_clips(corpus, 1, config.size_px)[0].samples)]
    portraits = held_out_clips(corpus, 1, config.size_px)[0].portrait[None]
    sessions = Sessions(models, portraits, audio_inputs, SAMPLING)
    whole = list(sessions.play(4))
    seen = dict(sessions.glance([1, 3]))
    assert list(seen) == [1, 3]
    assert torch.allclose(seen[1][:, 1:], whole[1], atol=1e-5)
    assert torch.allclose(seen[3][:, 1:], whole[3], atol=1e-4)
    # What comes first is the frame before the chunk.
    assert torch.allclose(seen[3][:, 0], whole[2][:, -1], atol=1e-4)


def test_guidance_of_scale_one_changes_nothing_and_more_of_it_does(model, config, corpus):
    models = load_avatar(model, "cpu")
    clip = held_out_clips(corpus, 1, config.size_px)[0]
    plain, same, guided = (
        next(
            Sessions(
                models, clip.portrait[None], [ArrayAudio(clip.samples)], SAMPLING, guidance
            ).play(1)
        )
        for guidance in (None, (1.0, 1.0), (1e3, 1e3))
    )
    assert torch.allclose(plain, same, atol=1e-3)
    assert not torch.allclose(plain, guided, atol=1e-3)


@pytest.mark.parametrize("stage", ["vae", "audio", "dit"])
def test_a_finished_stage_is_not_trained_again(job, model, stage):
    before = load_notes(job.files.runs, stage)
    assert before["spent_s"] >= RECIPE.budgets_s[stage]
    train = {"vae": stages.train_vae, "audio": stages.train_audio, "dit": stages.train_dit}[stage]
    assert train(job, 1e3)
    assert load_notes(job.files.runs, stage) == before


def test_a_student_is_distilled_and_exported_on_request(job, model, tmp_path, caplog):
    recipe = DistillRecipe(num_steps=1, batch=1, num_faces=1, max_chunks=1, student_every=1)
    job = dataclasses.replace(job, recipe=dataclasses.replace(RECIPE, distill=recipe))
    with pytest.raises(InvalidInputError, match="no state of stage 'distill'; run `train distill`"):
        export_model(job.files, job.config, tmp_path / "none", student=True)
    assert not (tmp_path / "none").exists()
    assert stages.distill(job, 1e3)
    assert stages.distill(job, 1e3)
    assert [path.name for path in job.files.runs.glob("*.png")] == ["validation-1.png"]
    export_model(job.files, job.config, tmp_path / "stage_1")
    export_model(job.files, job.config, tmp_path / "stage_2", student=True)
    first, second = (
        load_avatar(tmp_path / name, "cpu").dit.state_dict() for name in ("stage_1", "stage_2")
    )
    assert any(not torch.equal(value, second[name]) for name, value in first.items())
    (tmp_path / "stage_2" / "mine").write_bytes(bytes(1000))
    size = export_model(job.files, job.config, tmp_path / "stage_2", student=True)
    assert size == sum(p.stat().st_size for p in (tmp_path / "stage_2").iterdir()) - 1000
    command = argparse.Namespace(student=True, out=tmp_path / "told")
    _export(command, job)
    assert "exported as it is" not in caplog.text
    longer = dataclasses.replace(RECIPE, distill=dataclasses.replace(recipe, num_steps=2))
    _export(command, dataclasses.replace(job, recipe=longer))
    assert "exported as it is: its recipe is not finished" in caplog.text


def test_what_belongs_to_another_run_is_named(job, model, tmp_path):
    taken = tmp_path / "runs"
    shutil.copytree(job.files.runs, taken)
    cpu = torch.device("cpu")
    for text in ("", "{}", "[1]"):
        (taken / "latents.json").write_text(text)
        with pytest.raises(InvalidInputError, match=r"latents\.json: no statistics .* `train la"):
            stages.trained_vae(taken, job.config.vae, cpu)
    (taken / "latents.json").unlink()
    (taken / "vae-0.safetensors").write_bytes((taken / "audio-0.safetensors").read_bytes())
    with pytest.raises(InvalidInputError, match=r"'vae' is of another network; remove vae-\*"):
        stages.trained_vae(taken, job.config.vae, cpu)
    wider = dataclasses.replace(job.config.audio, intermediate_size=96)
    with pytest.raises(InvalidInputError, match="'audio' is of another network"):
        stages.trained_audio_encoder(taken, wider, cpu)


def test_a_part_of_a_stage_tells_that_it_is_not_finished(job, tmp_path):
    files = dataclasses.replace(job.files, runs=tmp_path)
    longer = dataclasses.replace(RECIPE, budgets_s=dict.fromkeys(RECIPE.budgets_s, 1e6))
    part = dataclasses.replace(job, files=files, recipe=longer)
    assert not stages.train_audio(part, 0.05)
    assert 0 < part.spent_s("audio") < 1e6
    assert not part.is_done("audio")


def test_held_out_clips_are_the_same_in_every_part(job, model):
    banks = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        vae = stages.trained_vae(job.files.runs, job.config.vae, job.device)
        audio = stages.trained_audio_encoder(job.files.runs, job.config.audio, job.device)
        banks.append(stages._filled_bank(job, 32, True, stages.HELD_OUT_SEED, vae, audio))
    batches = []
    for bank in banks:
        torch.manual_seed(0)
        batches.append(bank.draw(8))
    assert torch.equal(batches[0].latents, batches[1].latents)
    assert torch.equal(batches[0].windows, batches[1].windows)
