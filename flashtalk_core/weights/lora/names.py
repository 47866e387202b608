"""Names of layers in LoRA files of several layouts, turned into the transformer's own."""

from __future__ import annotations

import re
from collections.abc import Iterable

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

# Our names, which are Wan's, and those of the diffusers library.
# Source: huggingface/diffusers ``scripts/convert_wan_to_diffusers.py`` @ 0122271.
_LIBRARY_RULES = (
    (r"(blocks\.\d+)\.self_attn\.o", r"\1.attn1.to_out.0"),
    (r"(blocks\.\d+)\.self_attn\.([qkv])", r"\1.attn1.to_\2"),
    (r"(blocks\.\d+)\.self_attn\.(norm_[qk])", r"\1.attn1.\2"),
    (r"(blocks\.\d+)\.cross_attn\.o", r"\1.attn2.to_out.0"),
    (r"(blocks\.\d+)\.cross_attn\.([qkv])", r"\1.attn2.to_\2"),
    (r"(blocks\.\d+)\.cross_attn\.([kv])_img", r"\1.attn2.add_\2_proj"),
    (r"(blocks\.\d+)\.cross_attn\.norm_k_img", r"\1.attn2.norm_added_k"),
    (r"(blocks\.\d+)\.cross_attn\.(norm_[qk])", r"\1.attn2.\2"),
    (r"(blocks\.\d+)\.ffn\.0", r"\1.ffn.net.0.proj"),
    (r"(blocks\.\d+)\.ffn\.2", r"\1.ffn.net.2"),
    # The library counts norms in the order in which they run.
    (r"(blocks\.\d+)\.norm3", r"\1.norm2"),
    (r"time_embedding\.0", r"condition_embedder.time_embedder.linear_1"),
    (r"time_embedding\.2", r"condition_embedder.time_embedder.linear_2"),
    (r"text_embedding\.0", r"condition_embedder.text_embedder.linear_1"),
    (r"text_embedding\.2", r"condition_embedder.text_embedder.linear_2"),
    (r"time_projection\.1", r"condition_embedder.time_proj"),
    (r"img_emb\.proj\.0", r"condition_embedder.image_embedder.norm1"),
    (r"img_emb\.proj\.1", r"condition_embedder.image_embedder.ff.net.0.proj"),
    (r"img_emb\.proj\.3", r"condition_embedder.image_embedder.ff.net.2"),
    (r"img_emb\.proj\.4", r"condition_embedder.image_embedder.norm2"),
    (r"head\.head", r"proj_out"),
)


class LayerNames:
    """Layers of a transformer under every name that LoRA files give them."""

    def __init__(self, parameters: Iterable[str]) -> None:
        """Index the layers that ``parameters`` belong to."""
        layers = {name.rpartition(".")[0] for name in parameters} - {""}
        library = {_library_name(name): name for name in layers}
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


def _library_name(name: str) -> str:
    for pattern, replacement in _LIBRARY_RULES:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement)
    return name
