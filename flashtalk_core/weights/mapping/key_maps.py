"""Tensor names of the published and the repackaged files, turned into the models' own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """Target of a tensor of a file: a parameter, or one of equal parts along dimension 0."""

    name: str
    part: int = 0
    num_parts: int = 1


Rename = Callable[[str], tuple[Target, ...]]


@dataclass(frozen=True)
class KeyMap:
    """How the names in a file of one component are read."""

    rename: Rename
    ignored: tuple[str, ...] = ()
    """Regular expressions of whole names, as they stand in the file, that are not needed."""

    def is_ignored(self, name: str) -> bool:
        """Whether the tensor ``name`` of the file is known and not needed."""
        return any(re.fullmatch(pattern, name) for pattern in self.ignored)


def same_name(name: str) -> tuple[Target, ...]:
    """Return ``name``: the model uses the names of the authors' file."""
    return (Target(name),)


def _substitute(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    """Apply the first rule whose pattern matches the whole of ``name``."""
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement)
    return name


_TEXT_RULES = (
    (r"(?:token_embedding|shared)\.weight", r"encoder.embed_tokens.weight"),
    (r"norm\.weight", r"encoder.final_layer_norm.weight"),
    (r"blocks\.(\d+)\.norm1\.weight", r"encoder.block.\1.layer.0.layer_norm.weight"),
    (r"blocks\.(\d+)\.attn\.([qkvo])\.weight", r"encoder.block.\1.layer.0.SelfAttention.\2.weight"),
    (
        r"blocks\.(\d+)\.pos_embedding\.embedding\.weight",
        r"encoder.block.\1.layer.0.SelfAttention.relative_attention_bias.weight",
    ),
    (r"blocks\.(\d+)\.norm2\.weight", r"encoder.block.\1.layer.1.layer_norm.weight"),
    (
        r"blocks\.(\d+)\.ffn\.gate\.0\.weight",
        r"encoder.block.\1.layer.1.DenseReluDense.wi_0.weight",
    ),
    (r"blocks\.(\d+)\.ffn\.fc1\.weight", r"encoder.block.\1.layer.1.DenseReluDense.wi_1.weight"),
    (r"blocks\.(\d+)\.ffn\.fc2\.weight", r"encoder.block.\1.layer.1.DenseReluDense.wo.weight"),
    # llama.cpp's names.
    (r"token_embd\.weight", r"encoder.embed_tokens.weight"),
    (r"enc\.output_norm\.weight", r"encoder.final_layer_norm.weight"),
    (r"enc\.blk\.(\d+)\.attn_norm\.weight", r"encoder.block.\1.layer.0.layer_norm.weight"),
    (
        r"enc\.blk\.(\d+)\.attn_([qkvo])\.weight",
        r"encoder.block.\1.layer.0.SelfAttention.\2.weight",
    ),
    (
        r"enc\.blk\.(\d+)\.attn_rel_b\.weight",
        r"encoder.block.\1.layer.0.SelfAttention.relative_attention_bias.weight",
    ),
    (r"enc\.blk\.(\d+)\.ffn_norm\.weight", r"encoder.block.\1.layer.1.layer_norm.weight"),
    (r"enc\.blk\.(\d+)\.ffn_gate\.weight", r"encoder.block.\1.layer.1.DenseReluDense.wi_0.weight"),
    (r"enc\.blk\.(\d+)\.ffn_up\.weight", r"encoder.block.\1.layer.1.DenseReluDense.wi_1.weight"),
    (r"enc\.blk\.(\d+)\.ffn_down\.weight", r"encoder.block.\1.layer.1.DenseReluDense.wo.weight"),
)


def text_name(name: str) -> tuple[Target, ...]:
    """Name a umT5 tensor of any kind of file as the model does."""
    return (Target(_substitute(name, _TEXT_RULES)),)


_CLIP_RULES = (
    (r"cls_embedding", r"embeddings.class_embedding"),
    (r"pos_embedding", r"embeddings.position_embedding.weight"),
    (r"patch_embedding\.weight", r"embeddings.patch_embedding.weight"),
    (r"pre_norm\.(weight|bias)", r"pre_layrnorm.\1"),
    (r"transformer\.(\d+)\.norm([12])\.(weight|bias)", r"encoder.layers.\1.layer_norm\2.\3"),
    (r"transformer\.(\d+)\.attn\.proj\.(weight|bias)", r"encoder.layers.\1.self_attn.out_proj.\2"),
    (r"transformer\.(\d+)\.mlp\.0\.(weight|bias)", r"encoder.layers.\1.mlp.fc1.\2"),
    (r"transformer\.(\d+)\.mlp\.2\.(weight|bias)", r"encoder.layers.\1.mlp.fc2.\2"),
)
_CLIP_FUSED = re.compile(r"transformer\.(\d+)\.attn\.to_qkv\.(weight|bias)")


def clip_name(name: str) -> tuple[Target, ...]:
    """Name a CLIP vision tensor of either kind of file; fused q, k, v become three."""
    name = re.sub(r"^(?:visual|vision_model)\.", "", name)
    fused = _CLIP_FUSED.fullmatch(name)
    if fused:
        layer, kind = fused.groups()
        return tuple(
            Target(f"encoder.layers.{layer}.self_attn.{which}_proj.{kind}", part, 3)
            for part, which in enumerate("qkv")
        )
    return (Target(_substitute(name, _CLIP_RULES)),)


def _clip_ignored(num_layers: int) -> tuple[str, ...]:
    """Return what the tower does not run: text half, heads, closing norm, last block."""
    last = num_layers - 1
    return (
        r"textual\..*",
        r"log_scale|logit_scale",
        r"(?:visual\.)?head",
        r"visual_projection\.weight",
        r"(?:visual\.)?post_norm\..*",
        r"vision_model\.post_layernorm\..*",
        r"vision_model\.embeddings\.position_ids",
        rf"(?:visual\.)?transformer\.{last}\..*",
        rf"vision_model\.encoder\.layers\.{last}\..*",
    )


_AUDIO_RULES = (
    # Weight norm had other names before PyTorch had parametrizations.
    (r"(.*\.pos_conv_embed\.conv)\.weight_g", r"\1.parametrizations.weight.original0"),
    (r"(.*\.pos_conv_embed\.conv)\.weight_v", r"\1.parametrizations.weight.original1"),
)


def audio_name(name: str) -> tuple[Target, ...]:
    """Name a wav2vec2 tensor, with or without prefix, in either spelling of weight norm."""
    return (Target(_substitute(name.removeprefix("wav2vec2."), _AUDIO_RULES)),)


_AUDIO_IGNORED = (
    r"quantizer\..*",
    r"project_q\..*",
    r"project_hid\..*",
    r"lm_head\..*",
    r"(?:wav2vec2\.)?masked_spec_embed",
)

DIT_KEYS = KeyMap(same_name)
VAE_KEYS = KeyMap(same_name)
# Some converters write the shared embedding a second time.
TEXT_KEYS = KeyMap(text_name, (r"encoder\.embed_tokens\.weight",))
AUDIO_KEYS = KeyMap(audio_name, _AUDIO_IGNORED)


def clip_keys(num_layers: int) -> KeyMap:
    """Return the map of a CLIP file whose published tower has ``num_layers`` blocks."""
    return KeyMap(clip_name, _clip_ignored(num_layers))


def published_text_name(name: str) -> str:
    """Return the repackaged file's name for the text encoder's parameter ``name``."""
    return "shared.weight" if name == "encoder.embed_tokens.weight" else name


def published_clip_name(name: str) -> str:
    """Return the repackaged file's name for the vision tower's parameter ``name``."""
    return f"vision_model.{name}"
