"""Names of layers in LoRA files of several layouts, turned into the transformer's own."""

from __future__ import annotations

from collections.abc import Iterable

from ..mapping.library_names import library_layer

# How a file names what it holds of a layer: factors, their scale, differences, new values.
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
    # Of LyCORIS, for norms.
    ".w_norm": "diff",
    ".b_norm": "diff_b",
    ".set_weight": "set",
    **{f".hada_{part}": f"hada_{part}" for part in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    **{f".lokr_{part}": f"lokr_{part}" for part in ("w1_a", "w1_b", "w2_a", "w2_b", "t2")},
    ".lokr_w1": "lokr_w1",
    ".lokr_w2": "lokr_w2",
}
_LEAVES = {"diff_b": "bias", "diff_m": "modulation"}
"""Parameter of a layer that a part is about, where it is not its weight."""
_PREFIXES = (
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "unet.",
    "model.",
)
_FLAT_PREFIXES = ("lora_unet_", "lora_transformer_", "lycoris_")


class LayerNames:
    """Layers of a transformer under every name that LoRA files give them."""

    def __init__(self, parameters: Iterable[str]) -> None:
        """Index the layers that ``parameters`` belong to."""
        self._parameters = frozenset(parameters)
        layers = {name.rpartition(".")[0] for name in self._parameters} - {""}
        library = {library_layer(name): name for name in layers}
        self._dotted = library | {name: name for name in layers}
        # Underscores for dots cannot be undone, but every layer can be written with them.
        self._flat = {dotted.replace(".", "_"): name for dotted, name in self._dotted.items()}

    def find(self, key: str) -> tuple[str, str] | None:
        """Return the parameter that ``key`` is about and what it holds of it, ``None`` if unknown.

        Args:
            key: A tensor's name in a LoRA file.
        """
        suffix = next((each for each in _SUFFIXES if key.endswith(each)), None)
        if suffix is None:
            return None
        part, name = _SUFFIXES[suffix], key.removesuffix(suffix)
        parameter = self._parameter(name, part)
        # All kinds of differences are added in one way.
        return None if parameter is None else (parameter, "diff" if part in _LEAVES else part)

    def _parameter(self, name: str, part: str) -> str | None:
        layer = self._layer(name)
        if layer is not None:
            parameter = f"{layer}.{_LEAVES.get(part, 'weight')}"
            return parameter if parameter in self._parameters else None
        # ComfyUI also names what is no weight of a layer as it is, such as a bias.
        whole = _without_prefixes(name)
        return whole if part in ("diff", "set") and whole in self._parameters else None

    def _layer(self, name: str) -> str | None:
        for prefix in _FLAT_PREFIXES:
            if name.startswith(prefix):
                return self._flat.get(name.removeprefix(prefix))
        return self._dotted.get(_without_prefixes(name))


def _without_prefixes(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name
