"""The stages of the tiny model's training, each a function of files; a run resumes by itself."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from flashtalk_core.borders import library_border
from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.config.networks import AudioEncoderConfig, VAEConfig
from flashtalk_core.errors import InvalidInputError, require
from flashtalk_core.files.replacing import replacing
from flashtalk_core.json_text import parse_json
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.encoders.tokenizer import Tokenizer
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.settings import check_settings
from flashtalk_core.weights.load import AvatarModels

from .evaluation.validation import Validation
from .recipe import TinyRecipe, with_light_decoder
from .runs.kernels import KernelCache
from .runs.seeds import HELD_OUT_SEED, STATISTICS_SEED, fixed_draws, part_seed
from .runs.sharding import shard
from .runs.states import load_notes, load_state
from .speech.corpus_file import load_corpus
from .speech.prompts import prompt_vocabulary
from .stage_1.audio_trainer import AudioTrainer
from .stage_1.audio_windows import AudioBank, mouth_tracks
from .stage_1.clips import ClipBank
from .stage_1.decoder_trainer import DecoderTrainer
from .stage_1.dit_trainer import DiTTrainer, PromptTokens, Stage1Model
from .stage_1.faces_source import FaceSource
from .stage_1.vae_trainer import VAETrainer
from .stage_2.scenes import SceneBank
from .stage_2.states import STATE, is_distilled
from .stage_2.trainer import DistillTrainer

logger = logging.getLogger(__name__)

DECODER = "decoder"
"""Stage of the small decoder, and name of its state."""
_VAE_SEED, _AUDIO_SEED, _DIT_SEED, _DISTILL_SEED, _DECODER_SEED = 1, 2, 3, 4, 5
_STATISTICS_BATCH = 8
_STATISTICS_FILE = "latents.json"
_MEASURE_AGAIN = "remove it and run `train latents`"


@dataclasses.dataclass(frozen=True)
class TrainingFiles:
    """Where a run keeps its files."""

    corpus: Path
    """Speech corpus, one file."""
    tokenizer: Path
    """Sentencepiece model of the prompts."""
    runs: Path
    """States and curves."""

    def read_tokenizer(self) -> Tokenizer:
        """Return the tokenizer.

        Raises:
            InvalidInputError: If it was not made yet.
        """
        require(
            self.tokenizer.is_file(),
            f"tokenizer {self.tokenizer}: no such file; make it with `train tokenizer`",
        )
        return Tokenizer.from_file(self.tokenizer)


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """What is trained, how, from which files and where."""

    config: AvatarConfig
    recipe: TinyRecipe
    files: TrainingFiles
    device: torch.device

    def is_done(self, stage: str) -> bool:
        """Return whether a training stage has spent its budget."""
        return self.spent_s(stage) >= self.recipe.budgets_s[stage]

    def spent_s(self, stage: str) -> float:
        """Return the time that a stage has been trained for."""
        notes = load_notes(self.files.runs, stage)
        return 0.0 if notes is None else notes.get("spent_s", 0.0)


def train_vae(job: TrainingJob, part_s: float) -> bool:
    """Train the autoencoder for one part of its budget.

    Returns:
        Whether the budget is spent; then nothing is done, here and in the other stages.
    """
    if job.is_done("vae"):
        return True
    corpus = load_corpus(job.files.corpus)
    tracks = (mouth_tracks(corpus, held_out=False), mouth_tracks(corpus, held_out=True))
    trainer = VAETrainer(job.config, job.recipe.vae, tracks, job.device, job.files.runs, _VAE_SEED)
    return trainer.run(job.recipe.budgets_s["vae"], part_s)


def train_decoder(job: TrainingJob, part_s: float) -> bool:
    """Train the small decoder for one part of its budget; see :func:`train_vae`."""
    if job.is_done(DECODER):
        return True
    vae = trained_vae(job.files.runs, job.config.vae, job.device)
    config = dataclasses.replace(job.config, vae=with_light_decoder(vae.config))
    corpus = load_corpus(job.files.corpus)
    tracks = (mouth_tracks(corpus, held_out=False), mouth_tracks(corpus, held_out=True))
    trainer = DecoderTrainer(config, job.recipe.decoder, vae, tracks, job.files.runs, _DECODER_SEED)
    return trainer.run(job.recipe.budgets_s[DECODER], part_s)


def train_audio(job: TrainingJob, part_s: float) -> bool:
    """Train the audio encoder for one part of its budget; see :func:`train_vae`."""
    if job.is_done("audio"):
        return True
    corpus = load_corpus(job.files.corpus)
    trainer = AudioTrainer(
        job.config, job.recipe.audio, corpus, job.device, job.files.runs, _AUDIO_SEED
    )
    return trainer.run(job.recipe.budgets_s["audio"], part_s)


def train_dit(job: TrainingJob, part_s: float) -> bool:
    """Train the transformer and its towers (Stage 1) for one part; see :func:`train_vae`."""
    if job.is_done("dit"):
        return True
    files, recipe, device = job.files, job.recipe.dit, job.device
    # Nothing is compiled elsewhere.
    kernels = KernelCache(files.runs, device) if device.type == "cuda" else None
    vae = trained_vae(files.runs, job.config.vae, device)
    job = dataclasses.replace(job, config=dataclasses.replace(job.config, vae=vae.config))
    audio = trained_audio_encoder(files.runs, job.config.audio, device)
    tokens = prompt_tokens(job)
    notes = load_notes(files.runs, "dit")
    seed = part_seed(_DIT_SEED, 0 if notes is None else int(notes["step"]))
    bank = _filled_bank(job, recipe.num_clips, False, seed, vae, audio)
    held_out = _filled_bank(job, recipe.num_held_out_clips, True, HELD_OUT_SEED, vae, audio)
    trainer = DiTTrainer(job.config, recipe, bank, held_out, tokens, device, files.runs, _DIT_SEED)
    on_report = None if kernels is None else kernels.save
    return trainer.run(job.recipe.budgets_s["dit"], part_s, on_report=on_report)


def distill(job: TrainingJob, part_s: float, *, sharded: bool = False) -> bool:
    """Distil the transformer (Stage 2) for one part, with a validation image at every save.

    Args:
        job: The device is this process's own.
        part_s: See :func:`train_vae`.
        sharded: Whether weights are spread over the processes that train together, which then
            write no validation images.

    Returns:
        Whether the recipe's last step is done.
    """
    files, recipe, device = job.files, job.recipe.distill, job.device
    if is_distilled(files.runs, recipe):
        return True
    vae = trained_vae(files.runs, job.config.vae, device)
    audio = trained_audio_encoder(files.runs, job.config.audio, device)
    model = trained_stage_1(files.runs, job.config, device)
    tokens = prompt_tokens(job)
    corpus = load_corpus(files.corpus)
    audio_inputs = AudioBank.from_corpus(corpus, False, device)
    if device.type == "cpu":
        logger.warning("distilling on a CPU: a step takes half a minute; --device cuda takes a GPU")
    logger.info("encoding %d portraits", recipe.num_faces)
    bank = SceneBank(
        job.config, recipe.num_faces, vae, audio, model, tokens, audio_inputs, _DISTILL_SEED
    )
    trainer = DistillTrainer(
        job.config, recipe, model.dit, vae, bank, files.runs, _DISTILL_SEED,
        shard if sharded else None,
    )  # fmt: skip
    logger.info(
        "distilling from step %d of %d; a report every %d steps, a state every %d",
        trainer.step, recipe.num_steps, recipe.report_every, recipe.save_every,
    )  # fmt: skip
    if sharded:
        return trainer.run(part_s)
    config = dataclasses.replace(job.config, vae=vae.config)
    tokenizer = files.read_tokenizer()
    models = AvatarModels(config, model.dit, vae, model.text, tokenizer, model.clip, audio)
    return trainer.run(part_s, show=Validation(models, corpus, files.runs))


def trained_stage_1(runs: Path, config: AvatarConfig, device: torch.device) -> Stage1Model:
    """Return the transformer and its towers as Stage 1 left them, frozen."""
    model = Stage1Model(config)
    load_average(model, runs, "dit", "")
    return model.to(device).eval().requires_grad_(False)


def prompt_tokens(job: TrainingJob) -> PromptTokens:
    """Tokenize all wordings of prompts."""
    tokenizer = job.files.read_tokenizer()
    length = job.config.dit.text_len
    return PromptTokens.encode(list(prompt_vocabulary()), tokenizer, length, job.device)


def _filled_bank(
    job: TrainingJob,
    num_clips: int,
    held_out: bool,
    seed: int,
    vae: VideoVAE,
    audio: AudioEncoder,
) -> ClipBank:
    """Draw clips of one part of the corpus, the same for the same seed."""
    recipe = dataclasses.replace(job.recipe.dit, num_clips=num_clips)
    audio_inputs = AudioBank.from_corpus(load_corpus(job.files.corpus), held_out, job.device)
    moods = list(prompt_vocabulary().values())
    bank = ClipBank(job.config, recipe, vae, audio, audio_inputs, moods, job.device, seed)
    with fixed_draws(job.device, seed):
        bank.fill()
    logger.info("drew and encoded %d clips", num_clips)
    return bank


@torch.no_grad()
def measure_latents(job: TrainingJob) -> None:
    """Measure mean and deviation of the trained autoencoder's latents and save them.

    Values that were measured on the current autoencoder are kept.
    """
    path = job.files.runs / _STATISTICS_FILE
    vae = trained_vae(job.files.runs, job.config.vae, job.device)
    notes = load_notes(job.files.runs, "vae")
    assert notes is not None
    if path.is_file() and _read_statistics(path)["step"] == notes["step"]:
        return
    source = FaceSource(job.device, STATISTICS_SEED, job.config.size_px)
    latents = []
    for _ in range(0, job.recipe.vae.num_statistics_clips, _STATISTICS_BATCH):
        video = source.draw(_STATISTICS_BATCH, job.config.chunk.num_frames)
        latents.append(vae.denormalise(vae.encode(video)))
    channels = torch.cat(latents).transpose(0, 1).flatten(1)
    values = {
        "step": notes["step"],
        "latent_mean": channels.mean(dim=1).tolist(),
        "latent_std": channels.std(dim=1).tolist(),
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values), encoding="utf-8")


def trained_vae(runs: Path, config: VAEConfig, device: torch.device) -> VideoVAE:
    """Return the trained autoencoder, with its latents' statistics if they were measured."""
    statistics = runs / _STATISTICS_FILE
    if statistics.is_file():
        values = _read_statistics(statistics)
        config = dataclasses.replace(
            config,
            latent_mean=values["latent_mean"],
            latent_std=values["latent_std"],
        )
    vae = VideoVAE(config)
    load_average(vae, runs, "vae", "")
    return vae.to(device).eval().requires_grad_(False)


def vae_to_publish(runs: Path, config: VAEConfig, device: torch.device) -> VideoVAE:
    """Return the trained autoencoder, with the small decoder in its own one's place if trained."""
    whole = trained_vae(runs, config, device)
    if load_notes(runs, DECODER) is None:
        return whole
    vae = VideoVAE(with_light_decoder(whole.config)).to(device).eval().requires_grad_(False)
    vae.encoder, vae.conv1 = whole.encoder, whole.conv1
    load_average(vae.decoder, runs, DECODER, "")
    return vae


def _read_statistics(path: Path) -> dict[str, Any]:
    what = f"{path}: no statistics of latents"
    with library_border(lambda why: InvalidInputError(f"{what} ({why}); {_MEASURE_AGAIN}")):
        values = parse_json(path.read_bytes())
    is_whole = isinstance(values, dict) and {"step", "latent_mean", "latent_std"} <= values.keys()
    require(is_whole, f"{what}; {_MEASURE_AGAIN}")
    return {"step": values["step"]} | check_settings(VAEConfig, values, what)


def trained_audio_encoder(
    runs: Path, config: AudioEncoderConfig, device: torch.device
) -> AudioEncoder:
    """Return the trained audio encoder without its head."""
    encoder = AudioEncoder(config)
    load_average(encoder, runs, "audio", "encoder.")
    return encoder.to(device).eval().requires_grad_(False)


def load_average(module: nn.Module, runs: Path, name: str, prefix: str) -> None:
    """Load the averaged weights of a run whose names start with ``prefix``.

    Raises:
        InvalidInputError: If there are none, or they are of another network.
    """
    saved = load_state(runs, name)
    if saved is None:
        published = "flashtalk_training/assets/stage_1"
        instead = "" if name == STATE else f", or copy {published}/* to {runs}"
        raise InvalidInputError(
            f"{runs}: no state of stage {name!r}; run `train {name}` first{instead}"
        )
    start = f"average.{prefix}"
    tensors = {k[len(start) :]: v for k, v in saved[0].items() if k.startswith(start)}
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise InvalidInputError(
            f"{runs}: state {name!r} is of another network; remove {name}-*.safetensors, or take "
            "another --runs"
        ) from error
