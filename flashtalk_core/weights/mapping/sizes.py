"""Sizes of every component, read from the shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isqrt, prod
from typing import Any

from ...config.networks import VAEConfig
from ..formats.source import TensorSource
from .key_maps import Rename, same_name

Shapes = Mapping[str, tuple[int, ...]]
Sizes = dict[str, Any]


def named_shapes(sources: Sequence[TensorSource], rename: Rename = same_name) -> Shapes:
    """Return the shape of each tensor of ``sources`` under the model's name for it.

    Single numbers and tensors without elements give no size and are left out.
    """
    return {
        target.name: (info.shape[0] // target.num_parts, *info.shape[1:])
        for source in sources
        for name, info in source.infos.items()
        if info.shape
        for target in rename(name)
        if min(info.shape) > 0 and info.shape[0] >= target.num_parts
    }


def _axes(shapes: Shapes, **wanted: tuple[str, int]) -> Sizes:
    """Return each field's length: axis of a tensor; fields without that tensor are left out."""
    return {
        field: shapes[name][axis]
        for field, (name, axis) in wanted.items()
        if len(shapes.get(name, ())) > axis
    }


def _count(shapes: Shapes, pattern: str) -> Sizes:
    """Return ``num_layers``: how many different numbers ``pattern`` finds in the names."""
    found = numbers_in(shapes, pattern)
    return {"num_layers": len(found)} if found else {}


def numbers_in(shapes: Shapes, pattern: str) -> set[str]:
    """Return the different numbers that ``pattern`` finds at the start of names."""
    return {match[1] for name in shapes if (match := re.match(pattern, name))}


def dit_sizes(shapes: Shapes) -> Sizes:
    """Return the fields of :class:`DiTConfig` that shapes give."""
    sizes = _count(shapes, r"blocks\.(\d+)\.") | _axes(
        shapes,
        dim=("patch_embedding.weight", 0),
        in_dim=("patch_embedding.weight", 1),
        ffn_dim=("blocks.0.ffn.0.weight", 0),
        freq_dim=("time_embedding.0.weight", 1),
        text_dim=("text_embedding.0.weight", 1),
        clip_dim=("img_emb.proj.0.weight", 0),
        audio_output_dim=("blocks.0.audio_cross_attn.kv_linear.weight", 1),
        audio_intermediate_dim=("audio_proj.proj1.weight", 0),
    )
    patch = shapes.get("patch_embedding.weight", ())[2:]
    if patch:
        sizes["patch_size"] = patch
        sizes |= _divided(shapes, "out_dim", "head.head.weight", prod(patch))
    if "dim" in sizes and sizes["dim"] % 128 == 0:
        sizes["num_heads"] = sizes["dim"] // 128
    if "audio_output_dim" in sizes:
        width = sizes["audio_output_dim"]
        sizes |= _divided(shapes, "audio_context_tokens", "audio_proj.proj3.weight", width)
    if "blocks.0.audio_cross_attn.kv_linear.weight" in shapes:
        sizes["norm_input_visual"] = "blocks.0.norm_x.weight" in shapes
        sizes["norm_output_audio"] = "audio_proj.norm.weight" in shapes
    return sizes


def _divided(shapes: Shapes, field: str, name: str, divisor: int) -> Sizes:
    return {field: shapes[name][0] // divisor} if name in shapes and divisor else {}


def vae_sizes(shapes: Shapes) -> Sizes:
    """Return the fields of :class:`VAEConfig` that shapes give."""
    sizes = _axes(shapes, dim=("encoder.conv1.weight", 0), z_dim=("conv1.weight", 0))
    if "z_dim" in sizes:
        sizes["z_dim"] //= 2  # means and variances
    return sizes | decoder_sizes(shapes)


def decoder_sizes(shapes: Shapes) -> Sizes:
    """Return the fields of :class:`VAEConfig` about a small decoder, as far as weights tell.

    Its layers are numbered throughout; ``conv2`` is in front of the autoencoder's own decoder.
    """
    if "conv2.weight" in shapes:
        names = ("light_widths", "light_blocks", "light_patch")
        return {name: getattr(VAEConfig, name) for name in names}
    plain = numbers_in(shapes, r"decoder\.(\d+)\.weight")
    blocks = numbers_in(shapes, r"decoder\.(\d+)\.conv\.0\.weight")
    if len(plain) != 5:  # the first, three between levels, and the last
        return {}
    out_dims = [shapes[f"decoder.{number}.weight"][0] for number in sorted(plain, key=int)]
    return {
        "light_widths": tuple(out_dims[:-1]),
        "light_blocks": len(blocks) // 3,
        "light_patch": isqrt(out_dims[-1] // 3),
    }


def light_encoder_sizes(shapes: Shapes) -> Sizes:
    """Return the fields of :class:`LightVAEConfig` that a small encoder's shapes give."""
    blocks = numbers_in(shapes, r"encoder\.(\d+)\.conv\.0\.weight")
    if "encoder.0.weight" not in shapes:
        return {}
    return {
        "encoder_width": shapes["encoder.0.weight"][0],
        "encoder_blocks": max(1, len(blocks) // 3),
    }


def text_sizes(shapes: Shapes) -> Sizes:
    """Return the fields of :class:`TextEncoderConfig` that shapes give."""
    first = "encoder.block.0.layer"
    bias = f"{first}.0.SelfAttention.relative_attention_bias.weight"
    return _count(shapes, r"encoder\.block\.(\d+)\.") | _axes(
        shapes,
        vocab_size=("encoder.embed_tokens.weight", 0),
        dim=("encoder.embed_tokens.weight", 1),
        dim_attn=(f"{first}.0.SelfAttention.q.weight", 0),
        dim_ffn=(f"{first}.1.DenseReluDense.wi_0.weight", 0),
        num_buckets=(bias, 0),
        num_heads=(bias, 1),
    )


def clip_sizes(shapes: Shapes) -> Sizes:
    """Return the fields of :class:`ClipVisionConfig` that shapes give."""
    sizes = _count(shapes, r"encoder\.layers\.(\d+)\.") | _axes(
        shapes,
        dim=("embeddings.patch_embedding.weight", 0),
        patch_size=("embeddings.patch_embedding.weight", 2),
    )
    positions = shapes.get("embeddings.position_embedding.weight", ())
    hidden = shapes.get("encoder.layers.0.mlp.fc1.weight", ())
    if "patch_size" in sizes and len(positions) >= 2:
        sizes["image_size"] = sizes["patch_size"] * isqrt(positions[-2] - 1)
    if "dim" in sizes and hidden:
        sizes["mlp_ratio"] = hidden[0] / sizes["dim"]
        # Heads of ViT-H are 80 wide, those of the smaller towers 64.
        sizes["num_heads"] = max(1, sizes["dim"] // (80 if sizes["dim"] % 80 == 0 else 64))
    return sizes


def audio_sizes(shapes: Shapes) -> Sizes:
    """Return the fields of :class:`AudioEncoderConfig` that shapes give.

    Without a preprocessor's file the audio is normalised for a width of 1024 only.
    Source: ComfyUI ``load_audio_encoder_from_sd``.
    """
    layers = _count(shapes, r"encoder\.layers\.(\d+)\.")
    sizes: Sizes = {"num_hidden_layers": layers["num_layers"]} if layers else {}
    sizes |= _axes(
        shapes,
        hidden_size=("encoder.layer_norm.weight", 0),
        intermediate_size=("encoder.layers.0.feed_forward.intermediate_dense.weight", 0),
    )
    convs: list[tuple[int, ...]] = []
    while (name := f"feature_extractor.conv_layers.{len(convs)}.conv.weight") in shapes:
        convs.append(shapes[name])
    position = shapes.get("encoder.pos_conv_embed.conv.parametrizations.weight.original1", ())
    if not convs or len(position) != 3 or "hidden_size" not in sizes:
        return sizes
    hidden = sizes["hidden_size"]
    with_norm = "feature_extractor.conv_layers.1.layer_norm.weight" in shapes
    return sizes | {
        "num_attention_heads": max(1, hidden // 64),
        "conv_dim": tuple(shape[0] for shape in convs),
        "conv_kernel": tuple(shape[-1] for shape in convs),
        "conv_bias": "feature_extractor.conv_layers.0.conv.bias" in shapes,
        "feat_extract_norm": "layer" if with_norm else "group",
        "do_stable_layer_norm": with_norm,
        "num_conv_pos_embeddings": position[2],
        "num_conv_pos_embedding_groups": hidden // position[1],
        "do_normalize": hidden >= 1024,
    }
