"""Names of the diffusers library for layers of Wan's transformer and autoencoder, and back.

Source: huggingface/diffusers ``scripts/convert_wan_to_diffusers.py`` @ 0122271.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")

# Layers of a block as Wan and as the library calls them.
_BLOCK_LAYERS = {
    "self_attn.q": "attn1.to_q",
    "self_attn.k": "attn1.to_k",
    "self_attn.v": "attn1.to_v",
    "self_attn.o": "attn1.to_out.0",
    "self_attn.norm_q": "attn1.norm_q",
    "self_attn.norm_k": "attn1.norm_k",
    "cross_attn.q": "attn2.to_q",
    "cross_attn.k": "attn2.to_k",
    "cross_attn.v": "attn2.to_v",
    "cross_attn.o": "attn2.to_out.0",
    "cross_attn.norm_q": "attn2.norm_q",
    "cross_attn.norm_k": "attn2.norm_k",
    "cross_attn.k_img": "attn2.add_k_proj",
    "cross_attn.v_img": "attn2.add_v_proj",
    "cross_attn.norm_k_img": "attn2.norm_added_k",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    "norm3": "norm2",  # the library counts norms in the order in which they run
}
_OTHER_LAYERS = {
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
    "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
    "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
    "img_emb.proj.4": "condition_embedder.image_embedder.norm2",
    "head.head": "proj_out",
}
_OWN_BLOCK_LAYERS = {theirs: ours for ours, theirs in _BLOCK_LAYERS.items()}
_OWN_OTHER_LAYERS = {theirs: ours for ours, theirs in _OTHER_LAYERS.items()}
_TABLE = "scale_shift_table"

_RESIDUAL = {
    "norm1": "residual.0",
    "conv1": "residual.2",
    "norm2": "residual.3",
    "conv2": "residual.6",
    "conv_shortcut": "shortcut",
}
_VAE_LAYERS = {
    "conv_in": "conv1",
    "norm_out": "head.0",
    "conv_out": "head.2",
    "mid_block.resnets.0": "middle.0",
    "mid_block.attentions.0": "middle.1",
    "mid_block.resnets.1": "middle.2",
}
_VAE_ENDS = {"quant_conv": "conv1", "post_quant_conv": "conv2"}
_UP_BLOCK = re.compile(
    r"decoder\.up_blocks\.([0-9]{1,4})\.(resnets|upsamplers)\.([0-9]{1,4})\.(.+)"
)
_DOWN_BLOCK = re.compile(r"down_blocks\.([0-9]{1,4})\.(.+)")


def library_layer(name: str) -> str:
    """Return the library's name of the transformer's layer ``name``."""
    block = _BLOCK.fullmatch(name)
    if block:
        return f"blocks.{block[1]}.{_BLOCK_LAYERS.get(block[2], block[2])}"
    return _OTHER_LAYERS.get(name, name)


def has_library_transformer(names: Collection[str]) -> bool:
    """Whether ``names`` of tensors are the library's of a transformer."""
    return any(name.startswith("condition_embedder.") or ".attn1." in name for name in names)


def own_transformer_name(name: str) -> str:
    """Return Wan's name of a transformer's tensor that the library calls ``name``.

    What accompanies a weight, such as its scale, is named after the layer and stays with it.
    """
    layer, _, leaf = name.rpartition(".")
    if leaf == _TABLE:
        return f"{layer}.modulation" if layer else "head.modulation"
    block = _BLOCK.fullmatch(layer)
    if block:
        return f"blocks.{block[1]}.{_OWN_BLOCK_LAYERS.get(block[2], block[2])}.{leaf}"
    return f"{_OWN_OTHER_LAYERS[layer]}.{leaf}" if layer in _OWN_OTHER_LAYERS else name


def has_library_vae(names: Collection[str]) -> bool:
    """Whether ``names`` of tensors are the library's of an autoencoder."""
    return any(name.startswith(("quant_conv.", "post_quant_conv.")) for name in names)


def own_vae_name(name: str, blocks_per_level: int) -> str:
    """Return Wan's name of an autoencoder's tensor that the library calls ``name``.

    Args:
        name: A tensor.
        blocks_per_level: Residual blocks of a level of the decoder, see :func:`vae_blocks`.
    """
    layer, _, leaf = name.rpartition(".")
    if layer in _VAE_ENDS:
        return f"{_VAE_ENDS[layer]}.{leaf}"
    up = _UP_BLOCK.fullmatch(name)
    if up:
        level, kind, number, rest = up.groups()
        inner = int(number) if kind == "resnets" else blocks_per_level
        place = int(level) * (blocks_per_level + 1) + inner
        return f"decoder.upsamples.{place}.{_own_residual(rest)}"
    coder, _, rest = name.partition(".")
    down = _DOWN_BLOCK.fullmatch(rest)
    if down:
        return f"{coder}.downsamples.{down[1]}.{_own_residual(down[2])}"
    for theirs, ours in _VAE_LAYERS.items():
        if rest.startswith(f"{theirs}."):
            return f"{coder}.{ours}.{_own_residual(rest[len(theirs) + 1 :])}"
    return name


def vae_blocks(names: Collection[str]) -> int:
    """Return the number of residual blocks in each level of the decoder."""
    found = (_UP_BLOCK.fullmatch(name) for name in names)
    return 1 + max((int(up[3]) for up in found if up and up[2] == "resnets"), default=-1)


def _own_residual(rest: str) -> str:
    layer, dot, leaf = rest.partition(".")
    return _RESIDUAL.get(layer, layer) + dot + leaf
