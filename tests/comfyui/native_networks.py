"""ComfyUI's own networks in any size; imported by ComfyUI's interpreter alone.

ComfyUI builds some of their parts in the sizes of 14B only: those are replaced by the same classes
in another size. Weights become theirs without a copy.
"""

from types import SimpleNamespace

import comfy.audio_encoders.wav2vec2 as wav2vec2
import comfy.ops
import comfy.supported_models
import torch
from comfy.ldm.wan.model import MLPProj
from comfy.ldm.wan.model_multitalk import (
    MultiTalkAudioProjModel,
    SingleStreamMultiAttention,
    WanMultiTalkAttentionBlock,
)
from comfy.ldm.wan.vae import WanVAE
from comfy.model_patcher import ModelPatcher
from comfy_extras.nodes_model_patch import MultiTalkModelPatch
from torch import nn

CPU = torch.device("cpu")
HEADS_OF_14B = 40


def made(weights, **settings):
    """Return the settings that ComfyUI's layers are made with, for weights of a model."""
    dtype = next(iter(weights.values())).dtype
    return {"dtype": dtype, "operations": comfy.ops.manual_cast} | settings


def filled(module, weights):
    """Return a module with its weights, those of other parts left out.

    ComfyUI keeps some in float32 whatever the others are.
    """
    found = {name: weights[name].to(own.dtype) for name, own in module.state_dict().items()}
    module.load_state_dict(found, assign=True)
    return module.eval().requires_grad_(False)


def patcher_of(module, device=CPU):
    return ModelPatcher(module, device, CPU)


def native_model(dit, weights, vae=None, device=CPU):
    """Return a MODEL.

    Args:
        dit: Its ``DiTConfig``.
        weights: By the names of its parameters, among others.
        vae: ``VAEConfig`` with the statistics of its latents; ``None`` is Wan's.
        device: Of the weights.
    """
    sizes = ("dim", "out_dim", "num_heads", "ffn_dim", "num_layers", "freq_dim", "text_dim")
    known = comfy.supported_models.WAN21_I2V(
        {name: getattr(dit, name) for name in (*sizes, "text_len", "in_dim", "eps")}
        | {"image_model": "wan2.1", "model_type": "i2v", "cross_attn_norm": True}
    )
    settings = made(weights)
    known.set_inference_dtype(settings["dtype"], None)
    model = known.get_model({}, "", device="meta")
    network = model.diffusion_model
    places = {"device": "meta", **settings}
    network.img_emb = MLPProj(dit.clip_dim, dit.dim, operation_settings=places)
    filled(network, weights)
    model.device = device
    if vae is not None:
        shape = (1, -1, 1, 1, 1)
        model.latent_format.latents_mean = torch.tensor(vae.latent_mean).view(shape)
        model.latent_format.latents_std = torch.tensor(vae.latent_std).view(shape)
    model.model_sampling.to(device)
    return patcher_of(model, device)


def native_patch(dit, weights, device=CPU):
    """Return the MODEL_PATCH of :func:`native_model`."""
    settings = made(weights, device="meta")
    tokens = {
        "intermediate_dim": dit.audio_intermediate_dim,
        "out_dim": dit.audio_output_dim,
        "context_tokens": dit.audio_context_tokens,
    }
    patch = MultiTalkModelPatch(num_layers=0, in_dim=HEADS_OF_14B, **tokens, **settings)
    patch.audio_proj = MultiTalkAudioProjModel(
        seq_len_vf=dit.audio_window + dit.vae_scale - 1,
        blocks=dit.audio_blocks,
        channels=dit.audio_channels,
        **tokens,
        **settings,
    )
    for _ in range(dit.num_layers):
        block = WanMultiTalkAttentionBlock(HEADS_OF_14B, dit.audio_output_dim, **settings)
        block.audio_cross_attn = SingleStreamMultiAttention(
            dit.dim, dit.audio_output_dim, dit.num_heads, qkv_bias=True, **settings
        )
        block.norm_x = comfy.ops.manual_cast.LayerNorm(
            dit.dim, device="meta", dtype=settings["dtype"]
        )
        patch.blocks.append(block)
    return patcher_of(filled(patch, weights), device)


def native_vae(vae, weights):
    """Return a VAE of a ``VAEConfig``."""
    return SimpleNamespace(
        first_stage_model=filled(wan_vae(vae), weights), latent_channels=vae.z_dim
    )


def bundled_vae(vae, network):
    """Return a VAE with the layers of the bundled model's, whose small decoder is not ComfyUI's."""
    found = wan_vae(vae)
    found.encoder, found.conv1, found.decoder = network.encoder, network.conv1, network.decoder
    del found.conv2
    return SimpleNamespace(first_stage_model=found.eval(), latent_channels=vae.z_dim)


def wan_vae(vae):
    return WanVAE(
        dim=vae.dim,
        z_dim=vae.z_dim,
        dim_mult=list(vae.dim_mult),
        num_res_blocks=vae.num_res_blocks,
        temperal_downsample=list(vae.temporal_downsample),
    )


def native_encoder(audio, weights):
    """Return an AUDIO_ENCODER of an ``AudioEncoderConfig``."""
    settings = made(weights)
    width, inner = audio.hidden_size, (1, *audio.conv_dim)
    model = wav2vec2.Wav2Vec2Model(
        embed_dim=16 * audio.num_attention_heads,
        num_heads=audio.num_attention_heads,
        num_layers=0,
        conv_norm=False,
        conv_bias=False,
        do_normalize=audio.do_normalize,
        do_stable_layer_norm=False,
        **settings,
    )
    kinds = [wav2vec2.LayerGroupNormConv] + [wav2vec2.ConvNoNorm] * (len(audio.conv_dim) - 1)
    model.feature_extractor.conv_layers = nn.ModuleList(
        kind(inner[i], inner[i + 1], audio.conv_kernel[i], audio.conv_stride[i], **settings)
        for i, kind in enumerate(kinds)
    )
    model.feature_projection = wav2vec2.FeatureProjection(inner[-1], width, **settings)
    encoder = model.encoder
    encoder.pos_conv_embed = wav2vec2.PositionalConvEmbedding(
        width, audio.num_conv_pos_embeddings, audio.num_conv_pos_embedding_groups
    )
    encoder.layer_norm = comfy.ops.manual_cast.LayerNorm(width, dtype=settings["dtype"])
    encoder.layers.extend(
        wav2vec2.TransformerEncoderLayer(
            width,
            audio.num_attention_heads,
            audio.intermediate_size / width,
            do_stable_layer_norm=False,
            **settings,
        )
        for _ in range(audio.num_hidden_layers)
    )
    model.masked_spec_embed = nn.Parameter(torch.zeros(width))
    return SimpleNamespace(model=filled(model, {"masked_spec_embed": torch.zeros(width)} | weights))
