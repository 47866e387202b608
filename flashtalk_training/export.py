"""A trained run written as a model folder, small enough for the repository."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import torch

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.files.replacing import replacing
from flashtalk_core.weights.discovery.parts import SETTINGS_FILE
from flashtalk_core.weights.save import COMPONENT_FILES, save_component, save_settings

from .stage_2.states import STATE as DISTILLED
from .stages import (
    TrainingFiles,
    load_average,
    trained_audio_encoder,
    trained_stage_1,
    vae_to_publish,
)


def export_model(
    files: TrainingFiles, config: AvatarConfig, folder: Path, student: bool = False
) -> int:
    """Write the averaged weights of a finished run, with its small decoder if there is one.

    The autoencoder is kept in half precision; of the others, matrices are kept as FP8 with a scale
    for each row.

    Args:
        files: The run.
        config: What was trained.
        folder: Where the model goes; made if need be.
        student: Write the student of Stage 2 instead of what Stage 1 trained.

    Returns:
        Bytes written.
    """
    files.read_tokenizer()
    cpu = torch.device("cpu")
    vae = vae_to_publish(files.runs, config.vae, cpu)
    model = trained_stage_1(files.runs, config, cpu)
    if student:
        load_average(model.dit, files.runs, DISTILLED, "dit.")
    parts = {
        "dit": (model.dit, True),
        "text": (model.text, True),
        "clip": (model.clip, True),
        "vae": (vae, False),
        "audio": (trained_audio_encoder(files.runs, config.audio, cpu), True),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for part, (module, fp8) in parts.items():
        save_component(module, folder / COMPONENT_FILES[part], fp8=fp8)  # type: ignore[index]
    tokenizer = folder / COMPONENT_FILES["tokenizer"]
    with replacing(tokenizer) as temporary:
        shutil.copyfile(files.tokenizer, temporary)
    save_settings(dataclasses.replace(config, vae=vae.config), folder)
    written = (*COMPONENT_FILES.values(), SETTINGS_FILE)
    return sum((folder / name).stat().st_size for name in written)
