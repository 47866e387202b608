"""An avatar that listens: a running prompt is the session."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_api.latest import InputImpl, io, ui

from .graph.errors import attribute_errors
from .graph.sizes import MIN_CHUNK_FRAMES
from .search_words import LIVE_TALK
from .sockets import (
    CATEGORY,
    ModelSocket,
    ReferenceSocket,
    colour_input,
    picture_inputs,
    seed_input,
    shift_input,
    steps_input,
)

if TYPE_CHECKING:
    from ..flashtalk_core.serve.session import Recorder
    from .graph.descriptions import ModelDescription, ReferenceDescription
    from .graph.session_job import SessionJob


class Live(io.ComfyNode):
    """Run a live session in the thread of the prompt, and record it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FlashTalk_Live",
            display_name="FlashTalk Live",
            category=CATEGORY,
            description=(
                "Talk to it: sound comes in while the video goes out, from the microphone of the "
                "page or from text to speech at an address. It listens while the workflow runs, "
                "which other prompts wait for; what was shown is the video at the end."
            ),
            search_aliases=[*LIVE_TALK],
            inputs=[
                ModelSocket.Input("model"),
                ReferenceSocket.Input("reference"),
                io.Combo.Input(
                    "source",
                    options=["microphone", "speech"],
                    default="microphone",
                    tooltip="Where sound comes from. 'microphone': the button on the node; noise "
                    "is taken for silence. 'speech': text to speech, sent to the address that the "
                    "node shows.",
                ),
                io.Combo.Input(
                    "idle",
                    options=["bank", "still", "draw"],
                    default="bank",
                    tooltip="What is shown while nobody speaks: 'bank' repeats frames drawn at "
                    "the start, 'still' shows the portrait, 'draw' draws silence for ever, which "
                    "keeps the GPU busy.",
                ),
                io.Float.Input(
                    "max_minutes",
                    default=30.0,
                    min=0.1,
                    max=1440.0,
                    step=0.1,
                    tooltip="Longest session; it ends then by itself.",
                ),
                seed_input("Of the noise that chunks are drawn from."),
                steps_input(),
                io.String.Input(
                    "filename_prefix",
                    default="FlashTalk/live",
                    tooltip="Name of the recording in the output folder; may hold folders and "
                    "fields such as %year%-%month%-%day%.",
                ),
                io.Audio.Input(
                    "opening",
                    optional=True,
                    tooltip="Spoken first, at most 60 seconds.",
                ),
                *_advanced(),
            ],
            outputs=[io.Video.Output(display_name="video")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo, io.Hidden.unique_id],
            is_output_node=True,
            not_idempotent=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **_inputs: Any) -> float:
        """Be another session each time."""
        return float("nan")

    @classmethod
    def execute(
        cls,
        model: ModelDescription,
        reference: ReferenceDescription,
        filename_prefix: str,
        opening: dict[str, Any] | None = None,
        **values: Any,
    ) -> io.NodeOutput:
        from .preview.live_preview import workflow_id

        extra = cls.hidden.extra_pnginfo
        job = cls._job(model, reference, opening, values)
        output = job.run(filename_prefix, cls.hidden.unique_id, workflow_id(extra))
        saved = ui.SavedResult(output.path.name, output.subfolder, io.FolderType.output)
        video = InputImpl.VideoFromFile(str(output.path))
        return io.NodeOutput(video, ui=ui.PreviewVideo([saved]))

    @classmethod
    def _job(
        cls,
        model: ModelDescription,
        reference: ReferenceDescription,
        opening: dict[str, Any] | None,
        values: dict[str, Any],
    ) -> SessionJob:
        """Check the inputs; return what plays the session."""
        from ..flashtalk_core.serve.encoders import FragmentOutput, RecordingOutput
        from .graph.descriptions import refuse_hosted
        from .graph.render_plan import describe_render
        from .graph.session_job import SessionJob
        from .graph.session_plan import sampler_settings, unknown_speech
        from .graph.session_settings import SessionSettings, opening_block
        from .host.media import audio_array_of
        from .host.output import workflow_metadata

        with attribute_errors(cls, "model"):
            refuse_hosted(model, "native model: its chunks are too slow for a conversation")
            settings = SessionSettings.read(values)
            sampler = sampler_settings(reference, values)
            render = describe_render(model, unknown_speech(), reference, sampler)
        with attribute_errors(cls, "opening"):
            audio = None if opening is None else audio_array_of(opening)
            first = None if audio is None else opening_block(audio, settings.start.rate)
        metadata = workflow_metadata(cls.hidden.prompt, cls.hidden.extra_pnginfo)

        def record(path: Path) -> Recorder:
            return partial(RecordingOutput, path, metadata=metadata)

        return SessionJob(cls, render, settings, first, FragmentOutput, record)


def _advanced() -> list[Any]:
    """Return the inputs that few change."""
    return [
        io.Float.Input(
            "idle_minutes",
            default=5.0,
            min=0.1,
            max=1440.0,
            step=0.1,
            advanced=True,
            tooltip="Longest silence; the session ends then by itself.",
        ),
        io.Boolean.Input(
            "allow_slow",
            default=False,
            advanced=True,
            tooltip="Begin though chunks take longer than they are shown: the picture stops and "
            "goes.",
        ),
        io.Int.Input(
            "look_ahead",
            default=0,
            min=0,
            max=25,
            advanced=True,
            tooltip="Frames of sound after a chunk that it is drawn with: smoother lips at its "
            "end, 40 ms later each.",
        ),
        io.Int.Input(
            "chunk_frames",
            default=33,
            min=MIN_CHUNK_FRAMES,
            max=105,
            step=4,
            advanced=True,
            tooltip="Frames of a chunk, those taken over included, as trained: 33 (FlashTalk) or "
            "81 (InfiniteTalk). A microphone waits for a whole chunk, so shorter ones answer "
            "sooner, and cost more.",
        ),
        shift_input(advanced=True),
        colour_input(advanced=True),
        io.Boolean.Input(
            "vad",
            default=False,
            optional=True,
            advanced=True,
            tooltip="The network silero-vad, an optional package, has to agree that a microphone "
            "hears speech; otherwise the level alone decides.",
        ),
        *picture_inputs(),
    ]
