"""ComfyUI's own networks at the size of the golden files; imported by ComfyUI's interpreter alone.

ComfyUI builds some of their parts in the sizes of 14B only: those are replaced by the same classes
in another size.
"""

from types import SimpleNamespace

import comfy.audio_encoders.wav2vec2 as wav2vec2
import comfy.ops
import comfy.sd
import comfy.supported_models
import torch
from comfy.ldm.wan.model import MLPProj
from comfy.ldm.wan.model_multitalk import (
    MultiTalkAudioProjModel,
    SingleStreamMultiAttention,
    WanMultiTalkAttentionBlock,
)
from comfy.model_patcher import ModelPatcher
from comfy_extras.nodes_model_patch import MultiTalkModelPatch

CPU = torch.device("cpu")
MADE = {"dtype": torch.float32, "operations": comfy.ops.manual_cast}
HEADS_OF_14B = 40


def patcher_of(module):
    return ModelPatcher(module, CPU, CPU)


def toy_model(config, weights):
    """Return a MODEL of sizes by the names of ``DiTConfig``, with weights for some of its names."""
    sizes = ("dim", "out_dim", "num_heads", "ffn_dim", "num_layers", "freq_dim", "text_dim")
    known = comfy.supported_models.WAN21_I2V(
        {name: config[name] for name in (*sizes, "text_len", "in_dim", "eps")}
        | {"image_model": "wan2.1", "model_type": "i2v", "cross_attn_norm": True}
    )
    known.set_inference_dtype(torch.float32, None)
    model = known.get_model({}, "", device=CPU)
    network = model.diffusion_model
    settings = {"device": None, **MADE}
    network.img_emb = MLPProj(config["clip_dim"], config["dim"], operation_settings=settings)
    names = network.state_dict().keys()
    network.load_state_dict({name: weights[name] for name in names})
    return patcher_of(model.eval())


def toy_patch(config, weights):
    """Return the MODEL_PATCH of :func:`toy_model`."""
    tokens = {
        "intermediate_dim": config["audio_intermediate_dim"],
        "out_dim": config["audio_output_dim"],
        "context_tokens": config["audio_context_tokens"],
    }
    patch = MultiTalkModelPatch(num_layers=0, in_dim=HEADS_OF_14B, **tokens, **MADE)
    patch.audio_proj = MultiTalkAudioProjModel(
        seq_len_vf=8,
        blocks=config["audio_blocks"],
        channels=config["audio_channels"],
        **tokens,
        **MADE,
    )
    for _ in range(config["num_layers"]):
        block = WanMultiTalkAttentionBlock(HEADS_OF_14B, config["audio_output_dim"], **MADE)
        block.audio_cross_attn = SingleStreamMultiAttention(
            config["dim"], config["audio_output_dim"], config["num_heads"], qkv_bias=True, **MADE
        )
        block.norm_x = comfy.ops.manual_cast.LayerNorm(config["dim"], dtype=torch.float32)
        patch.blocks.append(block)
    patch.load_state_dict({name: weights[name] for name in patch.state_dict()})
    return patcher_of(patch.eval())


def toy_vae(weights):
    """Return a VAE; ComfyUI reads its width from the weights."""
    return comfy.sd.VAE(sd=dict(weights), device=CPU, dtype=torch.float32)


def toy_encoder(config, weights):
    """Return an AUDIO_ENCODER of sizes by the names of a wav2vec2's ``config.json``."""
    width, inner = config["hidden_size"], config["conv_dim"][0]
    model = wav2vec2.Wav2Vec2Model(
        embed_dim=16 * config["num_attention_heads"],
        num_heads=config["num_attention_heads"],
        num_layers=0,
        conv_norm=False,
        conv_bias=False,
        do_normalize=config["do_normalize"],
        do_stable_layer_norm=False,
        **MADE,
    )
    model.feature_extractor = wav2vec2.ConvFeatureEncoder(inner, conv_norm=False, **MADE)
    model.feature_projection = wav2vec2.FeatureProjection(inner, width, **MADE)
    encoder = model.encoder
    encoder.pos_conv_embed = wav2vec2.PositionalConvEmbedding(
        width, config["num_conv_pos_embeddings"], config["num_conv_pos_embedding_groups"]
    )
    encoder.layer_norm = comfy.ops.manual_cast.LayerNorm(width, dtype=torch.float32)
    encoder.layers.extend(
        wav2vec2.TransformerEncoderLayer(
            width,
            config["num_attention_heads"],
            config["intermediate_size"] / width,
            do_stable_layer_norm=False,
            **MADE,
        )
        for _ in range(config["num_hidden_layers"])
    )
    found = {name.removeprefix("wav2vec2."): value for name, value in weights.items()}
    model.masked_spec_embed = torch.nn.Parameter(torch.zeros(width))
    model.load_state_dict({"masked_spec_embed": torch.zeros(width)} | found)
    return SimpleNamespace(model=model.eval(), patcher=patcher_of(model))
