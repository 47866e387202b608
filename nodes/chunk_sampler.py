"""How each chunk is denoised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

from .graph.errors import attribute_errors
from .graph.sizes import MODEL_RULE
from .sockets import (
    CATEGORY,
    ChunksSocket,
    ModelSocket,
    ReferenceSocket,
    SpeechSocket,
    colour_input,
    picture_inputs,
    seed_input,
    shift_input,
    steps_input,
)

if TYPE_CHECKING:
    from .graph.descriptions import ModelDescription, ReferenceDescription, SpeechDescription


class ChunkSampler(io.ComfyNode):
    """Put model, speech and portrait together and check that they fit."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FlashTalk_ChunkSampler",
            display_name="FlashTalk Chunk Sampler",
            category=CATEGORY,
            description=(
                "The video is generated in chunks of about a second, each from the last frames "
                "of the one before, for as long as the speech lasts."
            ),
            search_aliases=["sampler", "talking video", "infinite talk", "streaming sampler"],
            inputs=[
                ModelSocket.Input("model"),
                SpeechSocket.Input("speech"),
                ReferenceSocket.Input("reference"),
                seed_input("The same seed gives the same video on the same machine."),
                steps_input(),
                io.Combo.Input(
                    "rule",
                    options=[MODEL_RULE, "renoise", "euler"],
                    default=MODEL_RULE,
                    tooltip="Update rule of a step: renoise for the authors' weights, euler for "
                    "weights trained with it.",
                ),
                shift_input(),
                io.Int.Input(
                    "motion_frames",
                    default=5,
                    min=1,
                    max=29,
                    step=4,
                    tooltip="Frames a chunk takes over from the one before, as trained: 5 "
                    "(FlashTalk) or 9 (InfiniteTalk).",
                ),
                colour_input(),
                io.Int.Input(
                    "chunk_frames",
                    default=33,
                    min=5,
                    max=105,
                    step=4,
                    advanced=True,
                    tooltip="Frames of a chunk, those taken over included, as trained: 33 "
                    "(FlashTalk) or 81 (InfiniteTalk).",
                ),
                *picture_inputs(),
            ],
            outputs=[ChunksSocket.Output(display_name="chunks")],
        )

    @classmethod
    def execute(
        cls,
        model: ModelDescription,
        speech: SpeechDescription,
        reference: ReferenceDescription,
        **settings: float | str,
    ) -> io.NodeOutput:
        from .graph.render_plan import describe_render
        from .host.media import image_of

        with attribute_errors(cls, "model"):
            described = describe_render(model, speech, reference, settings)
        face = described.plan.request.face
        shown = None if face is None else ui.PreviewImage(image_of(face.picture()), cls=cls)
        return io.NodeOutput(described, ui=shown)
