"""The portrait, what is to be seen, and the shape of the video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..flashtalk_core.config.avatar import AvatarConfig
from ..flashtalk_core.geometry import MAX_SIZE_PX, SIZE_STEP_PX
from .graph.errors import attribute_errors
from .graph.sizes import CUSTOM, FITS, MODEL_SIZE, SIZES, size_of
from .sockets import CATEGORY, ReferenceSocket

if TYPE_CHECKING:
    from torch import Tensor


def _side(name: str, default: int) -> io.Int.Input:
    return io.Int.Input(
        name,
        default=default,
        min=2 * SIZE_STEP_PX,
        max=MAX_SIZE_PX,
        step=SIZE_STEP_PX,
        tooltip=f"Pixels, a multiple of {SIZE_STEP_PX}.",
    )


class Reference(io.ComfyNode):
    """Describe the portrait; it is encoded when the first chunk needs it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        sizes = [io.DynamicCombo.Option(name, []) for name in SIZES]
        custom = io.DynamicCombo.Option(CUSTOM, [_side("width", 448), _side("height", 768)])
        return io.Schema(
            node_id="FlashTalk_Reference",
            display_name="FlashTalk Reference",
            category=CATEGORY,
            description="The portrait that is to speak, the prompt, and the size of the video.",
            search_aliases=["portrait", "avatar image", "talking photo", "reference image", "人像"],
            inputs=[
                io.Image.Input("image", tooltip="Portrait, face well visible. One image."),
                io.String.Input(
                    "prompt",
                    default=AvatarConfig.prompt,
                    multiline=True,
                    tooltip="What is to be seen. Empty takes the model's own prompt.",
                ),
                io.String.Input(
                    "prompt_changes",
                    default="",
                    multiline=True,
                    tooltip="Later prompts, one a line: a time, a colon, the prompt. "
                    "'12.5: She smiles' or '1:05: She nods'; each takes effect at the nearest "
                    "border of two chunks.",
                ),
                io.DynamicCombo.Input(
                    "size",
                    options=[*sizes, custom],
                    tooltip="Width x height of the video. 'trained' marks what the weights are "
                    f"known for; other sizes warn. '{MODEL_SIZE}' is always right.",
                ),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default="crop",
                    tooltip="How the image gets to that size: crop fills the frame and cuts the "
                    "sides off, pad keeps all of it on grey, face takes the part around the "
                    "largest face (needs opencv), as FlashTalk Chunk Sampler shows it.",
                ),
                io.Conditioning.Input(
                    "conditioning",
                    optional=True,
                    tooltip="Instead of the prompt: CLIP Text Encode with a umT5 of type 'wan'.",
                ),
                io.ClipVisionOutput.Input(
                    "clip_vision_output",
                    optional=True,
                    tooltip="Instead of the pack's own image encoder. ComfyUI scales images for "
                    "CLIP with antialiasing, the authors without: the result differs a little.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Transparent parts of the image, as Load Image gives them: they become "
                    "mid grey, as those of an image file do. One mask of the image's size.",
                ),
            ],
            outputs=[ReferenceSocket.Output(display_name="reference")],
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        prompt: str,
        prompt_changes: str,
        fit: str,
        size: dict[str, Any] | None = None,
        conditioning: list[Any] | None = None,
        clip_vision_output: Any = None,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        from .graph.descriptions import ReferenceDescription
        from .graph.prompt_lines import read_prompt_lines
        from .host import media

        with attribute_errors(cls, "image"):
            described = ReferenceDescription(
                **media.portrait_of(image, mask, finds_faces=fit == "face"),
                prompt=prompt,
                prompt_changes=read_prompt_lines(prompt_changes),
                size_px=size_of(size),
                fit=FITS[fit],
                **media.encoded_by_host(conditioning, clip_vision_output),
            )
        return io.NodeOutput(described)
