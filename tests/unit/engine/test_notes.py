"""Sentences about a render that is possible, but not what the user may expect."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.engine.notes import (
    _fused_unsupported_reason,
    _link_notes,
    device_notes,
    division_notes,
    placement_notes,
    render_notes,
    set_up_notes,
)
from flashtalk_core.engine.plan import PlannedSpeaker
from flashtalk_core.engine.request import PromptChange
from flashtalk_core.media.audio.analysis_mix import AnalysisMix
from flashtalk_core.media.audio.dialogue.voices import place_audio
from flashtalk_core.media.audio.info import AudioInfo
from flashtalk_core.media.audio.notes import audio_notes, soundtrack_notes
from flashtalk_core.media.video.audio_track import track_notes
from flashtalk_core.placement import links
from flashtalk_core.placement.memory_plan import WHOLE
from flashtalk_core.placement.place import Placement

pytestmark = pytest.mark.cpu

CPU, FLOAT32 = torch.device("cpu"), torch.float32
SOUND = AudioInfo(
    source=Path("speech.wav"),
    rate_hz=16_000,
    channels=1,
    layout="mono",
    start_sample=0,
    num_samples=32_000,
    loudness_lufs=-23.0,
    peak=0.5,
    is_silent=False,
)


def audio(**changes):
    return replace(SOUND, **changes)


def place(**given):
    return Placement(CPU, FLOAT32, **given)


def test_audio_that_is_whole_has_no_notes():
    assert audio_notes(SOUND) == track_notes(SOUND) == []


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"missing_s": 6.0}, "its header states 8.000 s, but only 2.000 s are there; copy it "
         "again"),
        ({"is_silent": True, "peak": 0.0}, "it is silent, the mouth will stay closed"),
        ({"is_silent": True}, "it is silent, the mouth will stay closed"),
        ({"is_silent": True, "analysis_mix": AnalysisMix((1.0,), offset=0.4)},
         "nothing but an offset or rumble is in it, the mouth will stay closed"),
        ({"analysis_mix": AnalysisMix((0.0, 1.0), lone_channel=1)},
         "its channels cancel each other out, so the mouth follows channel 2 alone; "
         "invert one channel"),
        ({"analysis_mix": AnalysisMix((1.0,), offset=0.4)},
         "it has an offset, which the mouth does not follow; the video keeps it"),
        ({"analysis_mix": AnalysisMix((1.0,), cuts_lows=True)},
         "it has rumble lower than a voice, which the mouth does not follow; the video keeps it"),
        ({"peak": 1.5}, "its peak is 1.5 times full scale, what is above 1 is cut off in the "
         "video; export it at a lower level"),
        ({"loudness_lufs": None, "peak": 0.002}, "too quiet to measure its loudness, its peak is "
         "0.002 of full scale; the model gets it as it is, export it at a higher level"),
        ({"problems": ("damaged",)}, "damaged"),
        ({"peak": 3.0}, "its peak is 3 times full scale and will distort; export it again"),
        ({"num_samples": 13 * 3600 * 16_000}, "13.0 hours long"),
    ],
)  # fmt: skip
def test_faults_measured_in_the_audio_are_notes(changes, note):
    assert audio_notes(audio(**changes)) == [f"audio speech.wav: {note}"]


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"rate_hz": 192_000}, "AAC has no 192000 Hz, the video gets 96000 Hz"),
        ({"channels": 8, "layout": "7.1"}, "AAC has no layout like its 8 channels (7.1), the "
         "video gets 5.1"),
    ],
)  # fmt: skip
def test_what_the_track_cannot_carry_is_a_note(changes, note):
    assert track_notes(audio(**changes)) == [f"audio speech.wav: {note}"]


def test_a_plain_placement_has_no_notes():
    assert placement_notes(place()) == []


def test_float8_on_a_cpu_says_that_it_brings_nothing():
    (note,) = placement_notes(place(memory=replace(WHOLE, float8=True)))
    assert note.startswith("float8: a CPU has no FP8 products")
    assert note.endswith("leave it off")


def test_fused_on_a_cpu_says_that_it_brings_nothing():
    (note,) = placement_notes(place(kernel_options=KernelOptions()))
    assert note == "speed fused: its kernels need a GPU; on a CPU this is no faster than 'plain'"


def test_a_gpu_without_triton_says_why_it_is_slower(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    (note,) = placement_notes(Placement(torch.device("cuda:0"), FLOAT32))
    _fused_unsupported_reason.cache_clear()
    assert note.startswith("speed: about 1.7 times slower than on other GPUs: ")
    assert "package triton is not installed" in note


def test_decoding_on_a_device_without_the_fused_kernels_is_a_note():
    elsewhere = Placement(
        torch.device("cuda"), FLOAT32, kernel_options=KernelOptions(), vae_device=CPU
    )
    assert placement_notes(elsewhere) == [
        "decoding on cpu: the fused kernels cannot run there; it is slower"
    ]


@pytest.mark.parametrize("grid", ["rows", "columns"])
def test_a_grid_of_one_device_is_a_note(grid):
    assert placement_notes(place(vae_grid=grid)) == [
        f"VAE grid {grid}: one device decodes, so its images stay whole"
    ]
    assert placement_notes(place(vae_grid="1x1")) == placement_notes(place()) == []


SIZE_PX = (768, 448)


def division(devices, size_px=SIZE_PX, num_heads=40, num_positions=1344, **given):
    return division_notes(place(devices=devices, **given), size_px, num_heads, num_positions)


@pytest.mark.parametrize(
    ("count", "given", "notes"),
    [
        (8, {}, []),
        (8, {"num_heads": 6}, ["6 heads are divided among 8; some have none"]),
        (8, {"num_heads": 6, "ring": 2}, []),
        (3, {"num_positions": 2}, ["2 tokens of a frame are divided among 3; some have none"]),
        (4, {"size_px": (32, 32), "vae_grid": "rows"}, ["2 of 4 encode and decode; more bands of "
         "32x32 would be thinner than 16 pixels, or slower"]),
        (4, {"vae_grid": "2x1"}, []),
        (4, {"vae_devices": (0, 1)}, []),
    ],
)  # fmt: skip
def test_parts_that_are_fewer_than_devices_are_a_note(count, given, notes):
    assert division(("cpu",) * count, **given) == [f"devices: {note}" for note in notes]


LINKS = {(0, 1): "18 NVLinks", (0, 2): "PCIe (SYS)", (1, 2): "PCIe (SYS)"}


@pytest.mark.parametrize(
    ("gpus", "reach", "slow"),
    [
        ((0, 1), True, ""),
        ((0, 3), True, ""),  # not known
        ((0, 1), False, "through main memory (0-1)"),
        ((0, 1, 2), True, "over PCIe (SYS), not NVLink (0-2, 1-2)"),
        ((0, 1, 2), False, "through main memory (all pairs)"),
    ],
)
def test_slow_links_are_a_note_with_what_else_the_gpus_can_do(monkeypatch, gpus, reach, slow):
    monkeypatch.setattr(links, "known_links", lambda: LINKS)
    monkeypatch.setattr(torch.cuda, "can_device_access_peer", lambda _one, _other: reach)
    names = tuple(f"cuda:{gpu}" for gpu in gpus)
    here = Placement(torch.device(names[0]), FLOAT32, devices=names)
    numbers = ",".join(map(str, gpus))
    assert _link_notes(here) == [
        f"devices {numbers}: the exchange goes {slow}: expect little gain; a batch renders a "
        f"video on each of them (batch --devices {numbers})"
    ] * bool(slow)
    assert not _link_notes(replace(here, cluster="head:1"))


def test_notes_of_a_plan_for_several_devices_tell_of_its_bands(make_plan, checkpoint):
    plan = make_plan(size_px=(32, 32))
    several = replace(plan, placement=replace(plan.placement, devices=("cpu",) * 5))
    assert "devices: 4 of 5 encode and decode; more bands" in " ".join(device_notes(several))


def test_turns_without_audio_are_among_the_notes(make_plan):
    plan = make_plan()
    (voice,) = place_audio([plan.audio], [0], [((0.0, 0.1), (700.0, 900.0))])
    plan = replace(plan, speakers=(PlannedSpeaker(voice.info()),))
    assert [note for note in set_up_notes(plan) if note.startswith("turn 1: 700-900: the audio")]


def test_notes_of_a_whole_plan_come_from_request_audio_and_placement(make_plan, checkpoint):
    plan = make_plan(size_px=checkpoint.config.size_px)
    assert render_notes(plan) == []
    request = replace(
        plan.request, size_px=(32, 48), prompt_changes=(PromptChange(3600.0, "smile"),)
    )
    unusual = replace(
        plan,
        request=request,
        speakers=(PlannedSpeaker(replace(plan.audio, is_silent=True, peak=0.0)),),
        placement=replace(plan.placement, kernel_options=KernelOptions()),
    )
    openings = [note.partition(":")[0] for note in render_notes(unusual)]
    assert openings == [
        "size 32x48", "prompt change at 3600 s", f"audio {plan.audio.source}", "speed fused",
    ]  # fmt: skip


def test_a_soundtrack_moves_no_mouth():
    silent = audio(is_silent=True, peak=0.0)
    assert soundtrack_notes(silent) == [
        "soundtrack speech.wav: it is silent, and so will the video be"
    ]
    assert soundtrack_notes(audio(analysis_mix=AnalysisMix((1.0,), offset=0.4))) == []
    (note,) = soundtrack_notes(audio(peak=3.0))
    assert note.startswith("soundtrack speech.wav: its peak is 3 times full scale")


def test_what_nothing_else_logs_is_in_the_notes_of_a_command(make_plan):
    plan = make_plan(seconds=2.0)
    short = replace(plan, soundtrack=audio(num_samples=16_000))
    note = "soundtrack speech.wav: it ends 1.00 s before the speech; silence follows"
    assert note in set_up_notes(short)
    assert render_notes(short).count(note) == 1
