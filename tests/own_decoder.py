"""The bundled model with its autoencoder's own decoder instead of the small one.

The small one is run whole by every rank; only layers of the autoencoder's own kind run in bands.
"""

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

ROOT = Path(__file__).parents[1]
BUNDLED = ROOT / "flashtalk_core" / "assets" / "tiny"
TRAINED = ROOT / "flashtalk_training" / "assets" / "stage_1" / "vae-0.safetensors"
_PREFIX = "average."


def write_model(folder: Path) -> Path:
    """Write the model to a folder that does not exist yet, and return it."""
    shutil.copytree(BUNDLED, folder)
    settings = folder / "flashtalk.json"
    values = json.loads(settings.read_text(encoding="utf-8"))
    for name in ("light_widths", "light_blocks", "light_patch"):
        del values["vae"][name]
    settings.write_text(json.dumps(values), encoding="utf-8")
    tensors = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in load_file(TRAINED).items()
        if name.startswith(_PREFIX)
    }
    save_file(tensors, folder / "vae.safetensors")
    return folder
