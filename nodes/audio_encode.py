"""Speech: the audio that the mouth follows, and the audio track of the video."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .graph.errors import attribute_errors
from .sockets import CATEGORY, SpeechSocket


class AudioEncode(io.ComfyNode):
    """Measure audio and describe how the model receives it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FlashTalk_AudioEncode",
            display_name="FlashTalk Audio Encode",
            category=CATEGORY,
            description=(
                "Take speech of any rate, channels and length. It becomes the audio of the video "
                "unchanged; the model receives it in mono at 16 kHz."
            ),
            search_aliases=["speech", "voice", "wav2vec", "audio to avatar", "lip sync"],
            inputs=[
                io.Audio.Input("audio", tooltip="Speech. One audio clip: a batch of 1."),
                io.Float.Input(
                    "mouth_strength",
                    default=1.0,
                    min=0.0,
                    max=3.0,
                    step=0.05,
                    tooltip="How far the mouth moves: 0 not at all, 1 as trained, up to 3.",
                ),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=360000.0,
                    step=0.01,
                    tooltip="Where in the audio the video begins, seconds.",
                ),
                io.Float.Input(
                    "duration",
                    default=0.0,
                    min=0.0,
                    max=360000.0,
                    step=0.01,
                    tooltip="Length of the video in seconds; 0 is up to the end of the audio.",
                ),
                io.Float.Input(
                    "loudness",
                    default=-23.0,
                    min=-70.0,
                    max=0.0,
                    step=0.5,
                    advanced=True,
                    tooltip="Loudness in LUFS at which the model receives the audio. The audio "
                    "of the video stays unchanged. Models that normalise by themselves, these "
                    "included, hardly react: use mouth_strength to move the mouth more or less.",
                ),
                io.Audio.Input(
                    "soundtrack",
                    optional=True,
                    tooltip="What is heard in the video instead: lips follow the vocals in audio, "
                    "the sound is the mix. It begins at the same second and is cut or filled "
                    "with silence to the length of audio.",
                ),
            ],
            outputs=[SpeechSocket.Output(display_name="speech")],
        )

    @classmethod
    def execute(
        cls,
        audio: dict[str, Any],
        mouth_strength: float,
        start: float,
        duration: float,
        loudness: float,
        soundtrack: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        from ..flashtalk_core.config.sampling import SamplingConfig
        from ..flashtalk_core.media.audio.probe import probe_audio
        from .graph.descriptions import SpeechDescription
        from .host.media import audio_array_of, soundtrack_of

        with attribute_errors(cls, "mouth_strength"):
            SamplingConfig(mouth_strength=mouth_strength)
        with attribute_errors(cls, "audio"):
            part = probe_audio(audio_array_of(audio), start, duration or None, target_lufs=loudness)
            track = soundtrack_of(soundtrack, start, part)
        described = SpeechDescription(part, mouth_strength, start, duration or None, track)
        return io.NodeOutput(described)
