"""Names of layers in LoRA files of several layouts, turned into the transformer's own."""

from __future__ import annotations

from collections.abc import Iterable

from ..mapping.library_names import library_layer

# How a file names the two factors, their scale, and full differences of weight and bias.
_SUFFIXES = {
    ".lora_up.weight": "up",
    ".lora_down.weight": "down",
    ".lora.up.weight": "up",
    ".lora.down.weight": "down",
    ".lora_mid.weight": "mid",
    ".lora_B.weight": "up",
    ".lora_A.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora_A.default.weight": "down",
    ".alpha": "alpha",
    ".diff": "diff",
    ".diff_b": "diff_b",
    ".diff_m": "diff_m",
}
_PREFIXES = (
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "unet.",
)
_FLAT_PREFIXES = ("lora_unet_", "lora_transformer_", "lycoris_")


class LayerNames:
    """Layers of a transformer under every name that LoRA files give them."""

    def __init__(self, parameters: Iterable[str]) -> None:
        """Index the layers that ``parameters`` belong to."""
        layers = {name.rpartition(".")[0] for name in parameters} - {""}
        library = {library_layer(name): name for name in layers}
        self._dotted = library | {name: name for name in layers}
        # Underscores for dots cannot be undone, but every layer can be written with them.
        self._flat = {dotted.replace(".", "_"): name for dotted, name in self._dotted.items()}

    def find(self, key: str) -> tuple[str, str] | None:
        """Return the layer that ``key`` is about and what it holds of it, ``None`` if unknown.

        Args:
            key: A tensor's name in a LoRA file.
        """
        suffix = next((each for each in _SUFFIXES if key.endswith(each)), None)
        if suffix is None:
            return None
        layer = self._layer(key.removesuffix(suffix))
        return None if layer is None else (layer, _SUFFIXES[suffix])

    def _layer(self, name: str) -> str | None:
        for prefix in _FLAT_PREFIXES:
            if name.startswith(prefix):
                return self._flat.get(name.removeprefix(prefix))
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        return self._dotted.get(name)
