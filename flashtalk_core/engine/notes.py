"""Notes about a render for its user: sentences, not errors."""

from __future__ import annotations

from functools import cache
from math import prod

import torch

from ..acceleration.kernel_options import KernelOptions
from ..acceleration.support import check_kernel_options
from ..errors import InvalidInputError
from ..geometry import SPATIAL_STRIDE
from ..media.audio.dialogue.periods import dialogue_notes
from ..media.audio.dialogue.voices import PlacedAudio
from ..media.audio.notes import audio_notes, soundtrack_notes
from ..media.video.audio_track import track_notes
from ..media.video.video_track import WIDELY_PLAYED_PX
from ..models.vae.model import VideoVAE
from ..parallel.bands import COLUMNS, MIN_CELLS, ROWS
from ..placement.activation_sizes import chunk_tokens
from ..placement.links import little_gain, slow_links
from ..placement.place import Placement
from ..weights.load import AvatarCheckpoint
from .plan import RenderPlan
from .request import request_notes

_NOTED_S = 0.1
"""Least silence after a soundtrack that is reported."""


def render_notes(plan: RenderPlan) -> list[str]:
    """Return what is unusual about a render, or without effect, a sentence each.

    The same plan always has the same notes; nothing is read or logged.
    """
    config, audio = plan.checkpoint.config, plan.audio
    return [
        *request_notes(
            plan.request,
            config,
            audio.duration_s,
            is_training_known=plan.checkpoint.sources.is_training_known,
        ),
        *_audio_notes(plan),
        *track_notes(plan.track),
        *set_up_notes(plan),
    ]


def _frame_notes(plan: RenderPlan) -> list[str]:
    height, width = plan.format.size_px
    notes = []
    if height * width > WIDELY_PLAYED_PX:
        notes.append(
            f"frames of {height}x{width}: many players, and most video chips, decode H.264 up to "
            "2304x4096 only; a smaller scale plays everywhere"
        )
    soundtrack, speech_s = plan.soundtrack, plan.audio.duration_s
    if soundtrack is not None and speech_s is not None and soundtrack.duration_s:
        missing_s = speech_s - soundtrack.duration_s
        if missing_s > _NOTED_S:
            notes.append(
                f"soundtrack {soundtrack.source}: it ends {missing_s:.2f} s before the speech; "
                "silence follows"
            )
    return notes


def _audio_notes(plan: RenderPlan) -> list[str]:
    """Return those about the audio of the video and of each speaker, each once."""
    heard = dict.fromkeys((*plan.voices, plan.audio))
    notes = [note for each in heard for note in audio_notes(each)]
    if plan.soundtrack is not None:
        notes += soundtrack_notes(plan.soundtrack)
    return list(dict.fromkeys(notes))


def set_up_notes(plan: RenderPlan) -> list[str]:
    """Return those that nothing logs on its way: about speakers, frames, model, devices."""
    notes = [*_speaker_notes(plan), *_frame_notes(plan)]
    return [*notes, *model_notes(plan.checkpoint), *device_notes(plan)]


def _speaker_notes(plan: RenderPlan) -> list[str]:
    """Return those about when speakers are heard."""
    sources = [each.source for each in plan.voices]
    return dialogue_notes([each.period for each in sources if isinstance(each, PlacedAudio)])


def model_notes(checkpoint: AvatarCheckpoint) -> list[str]:
    """Return what a model needs that it was not given, and what is not known of it."""
    notes = []
    if checkpoint.sources.unidentified:
        notes.append(
            f"{checkpoint.sources.unidentified}: whether another render has the same settings "
            "cannot be told, so this one is not kept, and not continued after an interruption"
        )
    has_loras = checkpoint.loras or checkpoint.sources.has_host_loras
    if checkpoint.is_infinite_talk and not has_loras:
        notes.append(
            "InfiniteTalk without a LoRA: its weights are for 40 steps with guidance, which is not "
            "known here; add a LoRA for few steps without guidance, such as lightx2v's"
        )
    return notes


def device_notes(plan: RenderPlan) -> list[str]:
    """Return those of them that concern the devices."""
    place = plan.placement
    if place.num_devices == 1:
        return placement_notes(place)
    size_px, config = plan.request.size_px, plan.checkpoint.config
    _frames, positions = chunk_tokens(config, size_px, plan.chunk)
    divided = division_notes(place, size_px, config.dit.num_heads, positions)
    return [*placement_notes(place), *_link_notes(place), *divided]


def placement_notes(place: Placement) -> list[str]:
    """Return which of the requested execution modes have no effect where the networks run."""
    notes, kind = [], place.device.type
    if kind == "cpu" and place.memory.float8:
        notes.append(
            "float8: a CPU has no FP8 products, so this is slower, and the image "
            "changes a little; leave it off"
        )
    if kind == "cpu" and place.kernel_options.fused_blocks:
        notes.append("speed fused: its kernels need a GPU; on a CPU this is no faster than 'plain'")
    if kind == "cuda" and place.kernel_options == KernelOptions.eager():
        reason = _fused_unsupported_reason(place.device)
        if reason is not None:
            notes.append(f"speed: about 1.7 times slower than on other GPUs: {reason}")
    vae_options = place.kernel_options_of(VideoVAE)
    if place.kernel_options.fused_layers and not vae_options.fused_layers:
        notes.append(
            f"decoding on {place.vae_device}: the fused kernels cannot run there; it is slower"
        )
    if place.num_devices == 1 and place.vae_grid in (ROWS, COLUMNS):
        notes.append(f"VAE grid {place.vae_grid}: one device decodes, so its images stay whole")
    return notes


def division_notes(
    place: Placement, size_px: tuple[int, int], num_heads: int, num_positions: int
) -> list[str]:
    """Return what of a render has fewer parts than there are devices.

    Args:
        place: Where it runs, on several devices.
        size_px: Height and width of the video.
        num_heads: Heads of attention.
        num_positions: Tokens of a frame.
    """
    notes, count = [], place.num_devices
    for what, number, parts in (
        ("heads", num_heads, count // place.ring),
        ("tokens of a frame", num_positions, count),
    ):
        if number < parts:
            notes.append(f"devices: {number} {what} are divided among {parts}; some have none")
    grid, wanted = place.grid(size_px), len(place.vae_devices) or count
    named = prod(map(int, place.vae_grid.split("x"))) if "x" in place.vae_grid else wanted
    if grid.size < named:
        notes.append(
            f"devices: {grid.size} of {wanted} encode and decode; more bands of "
            f"{size_px[0]}x{size_px[1]} would be thinner than {MIN_CELLS * SPATIAL_STRIDE} "
            "pixels, or slower"
        )
    return notes


def _link_notes(place: Placement) -> list[str]:
    if place.device.type != "cuda" or place.cluster:
        return []
    gpus = [int(name.partition(":")[2]) for name in place.devices]
    slow = slow_links(gpus)
    numbers = ",".join(map(str, gpus))
    return [f"devices {numbers}: the exchange goes {slow}: {little_gain(gpus)}"] if slow else []


@cache
def _fused_unsupported_reason(device: torch.device) -> str | None:
    """Return why fused kernels cannot run on a device, ``None`` if they can."""
    try:
        check_kernel_options(KernelOptions(), device)
    except InvalidInputError as error:
        return str(error)
    except torch.OutOfMemoryError:
        pass  # does not concern the kernels
    return None
