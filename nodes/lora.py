"""A LoRA on top of a model, any number of them in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..flashtalk_core.errors import FlashTalkError
from .graph.errors import attribute_errors
from .host.model_files import NONE, lora_menu
from .sockets import CATEGORY, ModelSocket

if TYPE_CHECKING:
    from .graph.descriptions import ModelDescription


class Lora(io.ComfyNode):
    """Describe a model with one LoRA more; nothing is read."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FlashTalk_LoRA",
            display_name="FlashTalk LoRA",
            category=CATEGORY,
            description=(
                "Adds a LoRA to the model's transformer when its weights are read. Several nodes "
                "in a row add several."
            ),
            search_aliases=["lora", "LoraLoaderModelOnly", "LyCORIS", "LoHa", "LoKr", "lightx2v"],
            inputs=[
                ModelSocket.Input("model"),
                io.Combo.Input(
                    "lora",
                    options=lora_menu(),
                    default=NONE,
                    tooltip="LoRA, LoHa or LoKr for Wan 2.1 14B from models/loras.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    tooltip="How much of it is added: 1 as trained, 0 nothing.",
                ),
            ],
            outputs=[ModelSocket.Output(display_name="model")],
        )

    @classmethod
    def fingerprint_inputs(cls, lora: str | None = None, **_others: Any) -> str:
        from ..flashtalk_core.weights.lora.merge import LoraFile
        from .host.folders import lora_path

        if lora in (None, NONE):
            return str(lora)
        try:
            return LoraFile(lora_path(lora)).identity
        except FlashTalkError as error:
            return str(error)  # execute raises it; ComfyUI would log it here as well

    @classmethod
    def execute(cls, model: ModelDescription, lora: str, strength: float) -> io.NodeOutput:
        from ..flashtalk_core.engine.spec import LoraSpec
        from .graph.descriptions import with_lora

        if lora == NONE or not strength:
            return io.NodeOutput(model)
        with attribute_errors(cls, "lora"):
            return io.NodeOutput(with_lora(model, LoraSpec(lora, strength)))
