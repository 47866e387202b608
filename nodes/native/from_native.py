"""The node that takes what ComfyUI's loaders and other packs' nodes have made."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..graph.errors import attribute_errors
from ..sockets import CATEGORY, ModelSocket


class ModelFromNative(io.ComfyNode):
    """Describe a model made of native parts; nothing is loaded."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FlashTalk_ModelFromNative",
            display_name="FlashTalk Model from Native",
            category=CATEGORY,
            description=(
                "Makes a model of what ComfyUI's own loaders have read. Its transformer runs in "
                "ComfyUI, with the patches of MODEL. LoRAs, EasyCache and an attention override "
                "were tried with a tiny model on a CPU; GGUF loaders, Sage and compile nodes were "
                "not. Slower than FlashTalk Model Loader."
            ),
            search_aliases=[
                "MODEL",
                "GGUF",
                "LoraLoaderModelOnly",
                "sage",
                "native",
                "InfiniteTalk",
            ],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Wan 2.1 I2V 14B, or FlashTalk's transformer without audio layers, "
                    "from Load Diffusion Model or a GGUF loader, with its patches.",
                ),
                io.ModelPatch.Input(
                    "model_patch",
                    tooltip="Audio layers of that model, from Load Model Patch: InfiniteTalk's, or "
                    "FlashTalk's.",
                ),
                io.Vae.Input("vae", tooltip="Wan 2.1 VAE, from Load VAE."),
                io.AudioEncoder.Input(
                    "audio_encoder",
                    tooltip="chinese-wav2vec2-base, from Load Audio Encoder.",
                ),
            ],
            outputs=[ModelSocket.Output(display_name="model")],
        )

    @classmethod
    def execute(cls, model: Any, model_patch: Any, vae: Any, audio_encoder: Any) -> io.NodeOutput:
        from .model import describe_native

        with attribute_errors(cls, "model"):
            return io.NodeOutput(describe_native(model, model_patch, vae, audio_encoder))
