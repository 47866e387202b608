"""What happens to frames before they are encoded: larger, sharper, twice as many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..graph.errors import attribute_errors
from ..sockets import CATEGORY, ChunksSocket, InterpolationSocket

if TYPE_CHECKING:
    from ..graph.descriptions import RenderDescription

MODEL_SCALE = 0.0


class FrameStage(io.ComfyNode):
    """Choose the models that frames go through, one frame at a time."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FlashTalk_FrameStage",
            display_name="FlashTalk Frame Stage",
            category=CATEGORY,
            description=(
                "Frames go through an upscaling model, a frame interpolation model, or both, "
                "before they are encoded and shown: one at a time, so memory does not grow with "
                "the length. The sound stays exact."
            ),
            search_aliases=[
                "upscale video",
                "super resolution",
                "ESRGAN",
                "interpolate frames",
                "RIFE",
                "50 fps",
                "放大",
                "补帧",
            ],
            inputs=[
                ChunksSocket.Input(
                    "frames",
                    tooltip="From Chunk Sampler, Parallel Decode, or another Frame Stage.",
                ),
                io.UpscaleModel.Input(
                    "upscale_model",
                    optional=True,
                    tooltip="From Load Upscale Model. Without one the size stays.",
                ),
                InterpolationSocket.Input(
                    "interp_model",
                    optional=True,
                    tooltip="From ComfyUI's Load Frame Interpolation Model (RIFE, FILM): twice as "
                    "many frames, 50 a second. They are made before frames are upscaled.",
                ),
                io.Float.Input(
                    "scale",
                    default=MODEL_SCALE,
                    min=MODEL_SCALE,
                    max=8.0,
                    step=0.25,
                    tooltip="How much larger frames become: 0 is what the upscaling model does, "
                    "2 makes twice the size of what a 4x model gives.",
                ),
            ],
            outputs=[ChunksSocket.Output(display_name="frames")],
        )

    @classmethod
    def execute(
        cls,
        frames: RenderDescription,
        scale: float,
        upscale_model: Any = None,
        interp_model: Any = None,
    ) -> io.NodeOutput:
        from ..graph.render_plan import staged_with
        from ..host.frame_models import stages_of

        with attribute_errors(cls, "frames"):
            stages = stages_of(upscale_model, interp_model, scale or None)
            return io.NodeOutput(staged_with(frames, stages))
