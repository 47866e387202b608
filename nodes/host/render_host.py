"""What names in a spec mean in ComfyUI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .devices import find_device, find_dtype, usable_bytes
from .folders import face_detector_path, light_vae_path, lora_path
from .model_files import AUDIO_LAYERS, INPUT_OF, TINY, find_files

if TYPE_CHECKING:
    import torch

    from ...flashtalk_core.engine.spec import ModelSpec
    from ...flashtalk_core.weights.discovery.files import ModelFiles

BUNDLED = "tiny"
"""What the menu's first model is called everywhere else."""


def named_model(choice: str) -> str:
    """Return the name in a spec of what the loader's menu calls ``choice``."""
    return BUNDLED if choice == TINY else choice


class ComfyHost:
    """ComfyUI's devices, model folders and memory; see :class:`~.engine.resolve.Host`."""

    def find_device(self, name: str) -> torch.device:
        """See :func:`find_device`."""
        return find_device(name)

    def find_dtype(self, name: str, device: torch.device) -> torch.dtype:
        """See :func:`find_dtype`."""
        return find_dtype(name, device)

    def find_files(self, model: ModelSpec) -> ModelFiles:
        """See :func:`find_files`."""
        parts = {name: getattr(model, name) for name in INPUT_OF.values() if name != "model"}
        parts[AUDIO_LAYERS] = model.audio_layers
        return find_files({"model": TINY if model.name == BUNDLED else model.name} | parts)

    def find_lora(self, name: str) -> Path:
        """Return the path of a file in ComfyUI's folders of LoRAs."""
        return lora_path(name)

    def find_light_vae(self, name: str) -> Path:
        """Return the path of a file in ComfyUI's folders of autoencoders."""
        return light_vae_path(name)

    def find_face_detector(self, name: str | None) -> Path | None:  # noqa: ARG002
        """Return the file in ComfyUI's folders of models, whatever a spec names."""
        return face_detector_path()

    def free_bytes(self, device: torch.device) -> int | None:
        """See :func:`usable_bytes`."""
        return usable_bytes(device)
