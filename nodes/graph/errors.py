"""Error attribution: messages that name the node's input which caused the error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from comfy_api.latest import io

from ...flashtalk_core import errors
from ...flashtalk_core.borders import is_out_of_memory
from ...flashtalk_core.errors import FlashTalkError
from ...flashtalk_core.excerpt import reason
from ...flashtalk_core.log import printable_log

_log = printable_log(logging.getLogger(__name__))

# ComfyUI shows module and name of an exception; its module is called by the path of the pack.
for _kind in vars(errors).values():
    if isinstance(_kind, type) and issubclass(_kind, FlashTalkError):
        _kind.__module__ = "flashtalk"


INPUTS: dict[str, tuple[str, ...]] = {
    "attention": ("attention", "model"),
    "audio": ("audio_encoder", "model"),
    "audio_layers": ("audio_layers", "model_patch", "model"),
    "clip": ("clip_vision", "model"),
    "cluster": ("cluster", "model"),
    "clip_tokens": ("clip_vision_output", "reference"),
    "context": ("conditioning", "reference"),
    "crf": ("quality",),
    "decode_latents": ("latents_per_call",),
    "device": ("device", "model"),
    "devices": ("devices", "model"),
    "dit": ("model",),
    "dtype": ("dtype", "model"),
    "fit": ("fit", "reference"),
    "float8": ("float8", "model"),
    "gate": ("vad",),
    "light_vae": ("light_vae", "chunks"),
    "limits": ("limits", "model"),
    "lora": ("lora", "model"),
    "lora_strength": ("lora_strength", "strength", "model"),
    "memory": ("memory", "model"),
    "interpolation": ("interp_model", "frames"),
    "motion_frames": ("motion_frames", "chunk_frames"),
    "motion_vae": ("motion_vae", "chunks"),
    "mouth_strength": ("mouth_strength", "speech"),
    "output": ("filename_prefix",),
    "portrait": ("image", "reference"),
    "prompt": ("prompt", "reference"),
    "prompt_changes": ("prompt_changes", "reference"),
    "size": ("size", "reference"),
    "soundtrack": ("soundtrack", "speech"),
    "sound_duration": ("duration", "speech"),
    "sound_loudness": ("loudness", "speech"),
    "sound_start": ("start", "speech"),
    "speaker_routing": ("routing", "speech"),
    "speakers": ("audio", "speech"),
    "turns": ("turns", "speech"),
    "speed": ("speed", "model"),
    "text": ("text_encoder", "model"),
    "tokenizer": ("text_encoder", "model"),
    "upscale": ("upscale_model", "frames"),
    "upscale_by": ("scale", "frames"),
    "vae": ("vae", "model"),
    "vae_device": ("device",),
    "vae_devices": ("devices",),
    "vae_grid": ("grid",),
}
"""Inputs by the subject of an error, of the node that has the setting and then of those that get
it over a connection; a subject that is not listed is an input of its name."""


@contextmanager
def attribute_errors(node: type[io.ComfyNode], default: str) -> Iterator[None]:
    """Put the input that caused it before the message of a :class:`FlashTalkError`.

    It is the input of the node that :data:`INPUTS` has for the error's subject.

    Args:
        node: The node that runs.
        default: Input to name where the error has no subject, or the node no input for it.
    """
    try:
        yield
    except FlashTalkError as error:
        # GET_SCHEMA writes to the class, which ComfyUI locks while a node runs.
        schema = node.define_schema()
        title = schema.display_name
        name = _input_of_subject(error.subject, {each.id for each in schema.inputs}) or default
        named = type(error)(f"{title}, input '{name}': {error}", subject=error.subject)
        for note in getattr(error, "__notes__", ()):
            named.add_note(note)  # where the rendered part is
        # ComfyUI prints chained errors as well, and a user's error needs one traceback at most.
        _log.debug("%s: raised here", title, exc_info=error)
        raise named from None
    except Exception as error:
        # ComfyUI knows the error of a full GPU itself, and frees its models.
        if not is_out_of_memory(error) or type(error).__name__ == "OutOfMemoryError":
            raise
        title = node.define_schema().display_name
        short = errors.NoMemoryError(
            f"{title}: out of memory ({reason(error)}); close other programs, or make the video "
            "smaller"
        )
        for note in getattr(error, "__notes__", ()):
            short.add_note(note)
        raise short from error


def _input_of_subject(subject: str | None, inputs: set[str]) -> str | None:
    """Return the input that ``subject`` is about, ``None`` if it is none of ``inputs``."""
    names = () if subject is None else INPUTS.get(subject, (subject,))
    return next((name for name in names if name in inputs), None)
