"""Names of layers in LoRA files of several layouts, turned into the transformer's own."""

from __future__ import annotations

import re
from collections.abc import Collection

# How a file names the two factors, their scale, and plain differences of weight and bias.
_SUFFIXES = {
    ".lora_up.weight": "up",
    ".lora_down.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora_A.default.weight": "down",
    ".alpha": "alpha",
    ".diff": "diff",
    ".diff_b": "diff_b",
    ".lora_B.bias": "diff_b",
    ".diff_m": "diff_m",
}
_PREFIXES = (
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "unet.",
)
_KOHYA_PREFIXES = ("lora_unet_", "lora_transformer_")

# Source: huggingface/diffusers ``scripts/convert_wan_to_diffusers.py`` @ 0122271 for the names
# of Wan's transformer in that library.
_DIFFUSERS_RULES = (
    (r"(blocks\.\d+)\.attn1\.to_out\.0", r"\1.self_attn.o"),
    (r"(blocks\.\d+)\.attn1\.to_([qkv])", r"\1.self_attn.\2"),
    (r"(blocks\.\d+)\.attn1\.(norm_[qk])", r"\1.self_attn.\2"),
    (r"(blocks\.\d+)\.attn2\.to_out\.0", r"\1.cross_attn.o"),
    (r"(blocks\.\d+)\.attn2\.to_([qkv])", r"\1.cross_attn.\2"),
    (r"(blocks\.\d+)\.attn2\.add_([kv])_proj", r"\1.cross_attn.\2_img"),
    (r"(blocks\.\d+)\.attn2\.norm_added_k", r"\1.cross_attn.norm_k_img"),
    (r"(blocks\.\d+)\.attn2\.(norm_[qk])", r"\1.cross_attn.\2"),
    (r"(blocks\.\d+)\.ffn\.net\.0\.proj", r"\1.ffn.0"),
    (r"(blocks\.\d+)\.ffn\.net\.2", r"\1.ffn.2"),
    # Their second norm is the one before the prompt, which Wan counts as the third.
    (r"(blocks\.\d+)\.norm2", r"\1.norm3"),
    (r"condition_embedder\.time_embedder\.linear_1", r"time_embedding.0"),
    (r"condition_embedder\.time_embedder\.linear_2", r"time_embedding.2"),
    (r"condition_embedder\.text_embedder\.linear_1", r"text_embedding.0"),
    (r"condition_embedder\.text_embedder\.linear_2", r"text_embedding.2"),
    (r"condition_embedder\.time_proj", r"time_projection.1"),
    (r"condition_embedder\.image_embedder\.norm1", r"img_emb.proj.0"),
    (r"condition_embedder\.image_embedder\.ff\.net\.0\.proj", r"img_emb.proj.1"),
    (r"condition_embedder\.image_embedder\.ff\.net\.2", r"img_emb.proj.3"),
    (r"condition_embedder\.image_embedder\.norm2", r"img_emb.proj.4"),
    (r"proj_out", r"head.head"),
)


class LayerNames:
    """Layers of a transformer under every name that LoRA files give them."""

    def __init__(self, parameters: Collection[str]) -> None:
        """Know the layers that ``parameters`` belong to."""
        layers = {name.rpartition(".")[0] for name in parameters}
        self._own = layers
        # Underscores for dots cannot be undone, but the other way is unique.
        self._flat = {name.replace(".", "_"): name for name in layers}

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
        for prefix in _KOHYA_PREFIXES:
            if name.startswith(prefix):
                return self._flat_layer(name.removeprefix(prefix))
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        if name in self._own:
            return self._from_library(name) or name
        return self._from_library(name)

    def _flat_layer(self, name: str) -> str | None:
        """Return the layer of a name whose dots became underscores, in either naming."""
        if name in self._flat:
            return self._flat[name]
        dotted = re.sub(r"^blocks_(\d+)_(attn[12]|ffn|norm2)", r"blocks.\1.\2", name)
        for flat, parts in (("_to_out_0", ".to_out.0"), ("_net_0_proj", ".net.0.proj")):
            dotted = dotted.replace(flat, parts)
        dotted = re.sub(r"(attn[12])_(to|add|norm)", r"\1.\2", dotted)
        return self._from_library(dotted.replace("ffn_net_2", "ffn.net.2"))

    def _from_library(self, name: str) -> str | None:
        """Return the layer that the library's ``name`` stands for."""
        for pattern, replacement in _DIFFUSERS_RULES:
            match = re.fullmatch(pattern, name)
            if match:
                found = match.expand(replacement)
                return found if found in self._own else None
        return None
