"""A trained run written as a model folder, small enough for the repository."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import torch

from ..weights.save import COMPONENT_FILES, save_component, save_settings
from .dit_trainer import Stage1Model
from .recipe import tiny_config
from .stages import TrainingFiles, load_average, trained_audio_encoder, trained_vae


def export_model(files: TrainingFiles, folder: Path) -> int:
    """Write the averaged weights of a finished run.

    The autoencoder and the sound encoder are kept in half precision, the transformer and its
    towers as 8-bit floats with a scale for each row.

    Args:
        files: The run.
        folder: Where the model goes; made if need be.

    Returns:
        Bytes written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cpu = torch.device("cpu")
    vae = trained_vae(files.runs, cpu)
    model = Stage1Model(tiny_config())
    load_average(model, files.runs, "dit", "")
    parts = {
        "dit": (model.dit, True),
        "text": (model.text, True),
        "clip": (model.clip, True),
        "vae": (vae, False),
        "audio": (trained_audio_encoder(files.runs, cpu), False),
    }
    for part, (module, fp8) in parts.items():
        save_component(module, folder / COMPONENT_FILES[part], fp8=fp8)  # type: ignore[index]
    tokenizer = folder / COMPONENT_FILES["tokenizer"]
    shutil.copyfile(files.tokenizer, tokenizer.with_suffix(".tmp"))
    tokenizer.with_suffix(".tmp").replace(tokenizer)
    save_settings(dataclasses.replace(tiny_config(), vae=vae.config), folder)
    return sum(path.stat().st_size for path in folder.iterdir())
