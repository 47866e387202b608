"""Two people in one image, each with their own voice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from ..graph.errors import attribute_errors
from ..graph.sizes import MODEL_RULE
from ..sockets import CATEGORY, SpeechSocket

if TYPE_CHECKING:
    from torch import Tensor

    from ..graph.descriptions import SpeechDescription

PLACES = {"left, right": ("left", "right"), "right, left": ("right", "left")}
"""Where the first and the second speaker are, by the words of the menu."""


def _start(name: str, which: str) -> io.Float.Input:
    return io.Float.Input(
        name,
        default=0.0,
        min=0.0,
        max=360000.0,
        step=0.01,
        tooltip=f"When the audio of the {which} begins in the video, seconds.",
    )


class TwoSpeakers(io.ComfyNode):
    """Describe the speech of two, and where each is."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FlashTalk_TwoSpeakers",
            display_name="FlashTalk Two Speakers",
            category=CATEGORY,
            description=(
                "Two people in one portrait, each of whom moves the mouth to their own voice. "
                "Between Audio Encode, of which there is one for each voice, and Chunk Sampler."
            ),
            search_aliases=["multitalk", "dialogue", "two people", "podcast", "mask", "双人"],
            inputs=[
                SpeechSocket.Input("speech", tooltip="Of the first speaker, or of both."),
                io.Combo.Input(
                    "places",
                    options=list(PLACES),
                    default="left, right",
                    tooltip="In which half of the portrait the first and the second speaker are. "
                    "Masks go before.",
                ),
                _start("start_1", "first"),
                _start("start_2", "second"),
                io.String.Input(
                    "turns",
                    default="",
                    multiline=True,
                    tooltip="Who is heard when, such as '1: 0-3.5, 2: 3.5-6', in seconds of the "
                    "video. Needed without speech_2, which is then the same recording.",
                ),
                io.Combo.Input(
                    "routing",
                    options=[MODEL_RULE, "rotary", "regions"],
                    default=MODEL_RULE,
                    advanced=True,
                    tooltip="How they are told apart. rotary: as in the authors' code, for weights "
                    "trained with it. regions: each hears their own voice alone, and the "
                    "background none.",
                ),
                SpeechSocket.Input("speech_2", optional=True, tooltip="Of the second speaker."),
                io.Mask.Input(
                    "mask_1",
                    optional=True,
                    tooltip="Where the first speaker is, as large as the portrait.",
                ),
                io.Mask.Input(
                    "mask_2",
                    optional=True,
                    tooltip="Where the second speaker is, as large as the portrait.",
                ),
            ],
            outputs=[SpeechSocket.Output(display_name="speech")],
        )

    @classmethod
    def execute(
        cls,
        speech: SpeechDescription,
        places: str,
        start_1: float,
        start_2: float,
        turns: str,
        routing: str,
        speech_2: SpeechDescription | None = None,
        mask_1: Tensor | None = None,
        mask_2: Tensor | None = None,
    ) -> io.NodeOutput:
        from ..graph.dialogue import describe_dialogue

        with attribute_errors(cls, "speech"):
            described = describe_dialogue(
                (speech, speech_2),
                places=PLACES[places],
                starts_s=(start_1, start_2),
                turns=turns,
                routing=None if routing == MODEL_RULE else routing,
                masks=(mask_1, mask_2),
            )
        return io.NodeOutput(described)
