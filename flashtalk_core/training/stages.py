"""The stages of the tiny model's training, each a function of files; a run resumes by itself."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import torch
from torch import nn

from ..errors import InvalidInputError
from ..models.audio_encoder import AudioEncoder
from ..models.tokenizer import Tokenizer
from ..models.vae.model import VideoVAE
from .audio_trainer import AudioTrainer
from .clips import ClipBank
from .data.corpus_file import load_corpus
from .data.prompts import prompt_vocabulary
from .dit_trainer import DiTTrainer, PromptTokens
from .faces_source import FaceSource
from .progress import load_state
from .recipe import TinyRecipe, tiny_config
from .sound_windows import SoundBank
from .vae_trainer import VAETrainer

logger = logging.getLogger(__name__)

_HELD_OUT_SEED = 2**40
_NUM_HELD_OUT_CLIPS = 256
_STATISTICS_SEED = 2**41
_STATISTICS_BATCH = 8


@dataclasses.dataclass(frozen=True)
class TrainingFiles:
    """Where a run keeps its files."""

    corpus: Path
    """Speech corpus, one file."""
    tokenizer: Path
    """Sentencepiece model of the prompts."""
    runs: Path
    """States and curves."""


def train_vae(files: TrainingFiles, device: torch.device, budget_s: float, part_s: float) -> None:
    """Train the autoencoder for one part of its budget."""
    trainer = VAETrainer(tiny_config(), TinyRecipe().vae, device, files.runs, seed=1)
    trainer.run(budget_s, part_s)


def train_audio(files: TrainingFiles, device: torch.device, budget_s: float, part_s: float) -> None:
    """Train the sound encoder for one part of its budget."""
    corpus = load_corpus(files.corpus)
    config, recipe = tiny_config(), TinyRecipe().audio
    AudioTrainer(config, recipe, corpus, device, files.runs, seed=2).run(budget_s, part_s)


def train_dit(
    files: TrainingFiles,
    device: torch.device,
    budget_s: float,
    part_s: float,
    num_clips: int | None = None,
) -> None:
    """Train the transformer and its towers (Stage 1) for one part of its budget.

    ``num_clips`` clips are kept on the device; ``None`` is the recipe's number.
    """
    vae, audio = trained_vae(files.runs, device), trained_audio_encoder(files.runs, device)
    corpus = load_corpus(files.corpus)
    vocabulary = prompt_vocabulary()
    recipe = TinyRecipe().dit
    if num_clips is not None:
        recipe = dataclasses.replace(recipe, num_clips=num_clips)
    few = dataclasses.replace(recipe, num_clips=_NUM_HELD_OUT_CLIPS)
    config = dataclasses.replace(tiny_config(), vae=vae.config)
    state = load_state(files.runs, "dit")
    seed = 3 if state is None else 3 + int(state[1]["step"])
    banks = []
    for settings, held_out, bank_seed in ((recipe, False, seed), (few, True, _HELD_OUT_SEED)):
        sounds = SoundBank.from_corpus(corpus, held_out, device)
        moods = list(vocabulary.values())
        bank = ClipBank(config, settings, vae, audio, sounds, moods, device, bank_seed)
        bank.fill()
        logger.info("drew and encoded %d clips", settings.num_clips)
        banks.append(bank)
    tokens = PromptTokens.encode(
        list(vocabulary), Tokenizer.from_file(files.tokenizer), config.dit.text_len, device
    )
    trainer = DiTTrainer(config, recipe, banks[0], banks[1], tokens, device, files.runs, seed)
    trainer.run(budget_s, part_s)


@torch.no_grad()
def measure_latents(files: TrainingFiles, device: torch.device, num_clips: int = 128) -> None:
    """Measure mean and deviation of the trained autoencoder's latents and note them."""
    config = tiny_config()
    vae = trained_vae(files.runs, device)
    source = FaceSource(device, _STATISTICS_SEED, config.size_px)
    latents = []
    for _ in range(0, num_clips, _STATISTICS_BATCH):
        video = source.draw(_STATISTICS_BATCH, config.chunk.num_frames)
        latents.append(vae.denormalise(vae.encode(video)))
    channels = torch.cat(latents).transpose(0, 1).flatten(1)
    values = {
        "latent_mean": channels.mean(dim=1).tolist(),
        "latent_std": channels.std(dim=1).tolist(),
    }
    path = files.runs / "latents.json"
    path.with_suffix(".tmp").write_text(json.dumps(values), encoding="utf-8")
    path.with_suffix(".tmp").replace(path)


def trained_vae(runs: Path, device: torch.device) -> VideoVAE:
    """Return the trained autoencoder, with its latents' statistics if they were measured."""
    config = tiny_config().vae
    statistics = runs / "latents.json"
    if statistics.is_file():
        values = json.loads(statistics.read_text(encoding="utf-8"))
        config = dataclasses.replace(
            config,
            latent_mean=tuple(values["latent_mean"]),
            latent_std=tuple(values["latent_std"]),
        )
    vae = VideoVAE(config)
    load_average(vae, runs, "vae", "")
    return vae.to(device).eval().requires_grad_(False)


def trained_audio_encoder(runs: Path, device: torch.device) -> AudioEncoder:
    """Return the trained sound encoder without its head."""
    encoder = AudioEncoder(tiny_config().audio)
    load_average(encoder, runs, "audio", "encoder.")
    return encoder.to(device).eval().requires_grad_(False)


def load_average(module: nn.Module, runs: Path, name: str, prefix: str) -> None:
    """Load the averaged weights of a run whose names start with ``prefix``."""
    saved = load_state(runs, name)
    if saved is None:
        raise InvalidInputError(f"{runs}: no state of stage {name!r}; train it first")
    start = f"average.{prefix}"
    tensors = {k[len(start) :]: v for k, v in saved[0].items() if k.startswith(start)}
    module.load_state_dict(tensors)
