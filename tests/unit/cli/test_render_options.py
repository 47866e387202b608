"""Options of ``render`` that need no render."""

import argparse
import re
from dataclasses import replace

import pytest
import torch

from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.acceleration.support import choose_kernel_options
from flashtalk_core.cli.main import PROGRAM, main
from flashtalk_core.cli.program import build_parser
from flashtalk_core.cli.rendering.command import open_engine
from flashtalk_core.cli.rendering.device_options import add_device_options, limits_of, parse_limit
from flashtalk_core.cli.rendering.jobs import Jobs
from flashtalk_core.cli.rendering.kernel_options import add_kernel_options, read_disabled
from flashtalk_core.cli.rendering.render_options import (
    EXAMPLE,
    parse_size,
    read_sampling,
    read_spec,
)
from flashtalk_core.config.phase_limits import read_limits
from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.engine.events import NO_EVENTS, EventHandlers
from flashtalk_core.engine.request import PromptChange
from flashtalk_core.engine.spec import (
    LoraSpec,
    ModelSpec,
    PlacementSpec,
    RenderSpec,
    SamplingSpec,
    Speaker,
)
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.models.encoders.clip_vision import ClipVision
from flashtalk_core.models.encoders.text import TextEncoder
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.placement.memory_choice import MemoryChoice
from flashtalk_core.runtime.limits import Limits
from tests.unit.runtime.conftest import make_plan

pytestmark = pytest.mark.cpu

UNSET = dict.fromkeys(
    ("steps", "rule", "shift", "seed", "colour_strength", "colour_area", "join_frames",
     "mouth_strength")
)  # fmt: skip


def test_size_is_height_by_width():
    assert parse_size("768x448") == (768, 448)
    assert parse_size("64X32") == (64, 32)


@pytest.mark.parametrize("text", ["", "x", "64", "64x", "x64", "64x64x64", "axb", "6.4x64"])
def test_what_is_no_size(text):
    with pytest.raises(argparse.ArgumentTypeError, match="768x448"):
        parse_size(text)


def test_sampling_keeps_what_the_model_says_unless_set():
    model = SamplingConfig(steps=7, rule="euler", seed=3, mouth_strength=1.5)
    assert read_sampling(argparse.Namespace(**UNSET)).over(model) == model
    given = argparse.Namespace(**UNSET | {"steps": 2, "seed": 0, "mouth_strength": 0.0})
    chosen = read_sampling(given).over(model)
    assert (chosen.steps, chosen.seed, chosen.mouth_strength) == (2, 0, 0.0)
    assert chosen.rule == "euler"


def test_the_example_is_in_the_package():
    assert {path.name for path in EXAMPLE.iterdir()} >= {"portrait.png", "speech.wav"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--memory", "all"], "memory 'all': use one of auto, resident, float8, offload"),
        (["--memory", "offload:many"], "memory 'offload:many': no number of blocks"),
        (["--lora", "gone.safetensors:0.5"], "lora gone.safetensors: no such file"),
        (["--lora", "gone.safetensors:99"], "lora strength 99.0: use -10 to 10"),
    ],
)
def test_memory_and_loras_are_checked_before_anything_is_read(options, says, tmp_path, capsys):
    assert main(["render", "-o", str(tmp_path / "a.mp4"), *options]) == 2
    assert says in capsys.readouterr().err


def read_paths(*options):
    parser = argparse.ArgumentParser()
    add_kernel_options(parser)
    args = parser.parse_args(options)
    return choose_kernel_options(args.speed, torch.device("cpu")).without(read_disabled(args))


def test_a_cpu_runs_eagerly_unless_asked_otherwise():
    assert read_paths() == KernelOptions.eager()
    assert read_paths("--speed", "fused") == KernelOptions()


def test_each_kernel_option_has_a_switch_that_turns_it_off():
    fused = ("--speed", "fused")
    assert not read_paths(*fused, "--no-fused-blocks").fused_blocks
    assert not read_paths(*fused, "--no-fused-layers").fused_layers
    left = read_paths(*fused, "--no-channels-last")
    assert not left.channels_last
    assert not left.fused_layers, "these need channels last"


def read(*options):
    args = build_parser(PROGRAM).parse_args(["render", "-o", "a.mp4", *options])
    return read_spec(args)


def test_every_option_is_in_the_spec():
    found = read(
        *("--image", "me.png", "--audio", "a.wav", "--start", "1.5", "--duration", "2"),
        *("--model", "folder", "--lora", "a:b.safetensors:0.8", "--lora", "c.safetensors"),
        *("--size", "64x96", "--fit", "pad", "--prompt", "She sings"),
        *("--prompt-at", "2", "She nods", "--prompt-at", "3.5", "She smiles"),
        *("--steps", "2", "--rule", "renoise", "--shift", "3", "--seed", "5"),
        *("--colour-strength", "0.5", "--colour-area", "no-mouth", "--mouth-strength", "2"),
        *("--join-frames", "6"),
        *("--device", "cpu", "--dtype", "bfloat16", "--attention", "sdpa", "--speed", "fused"),
        *("--no-fused-layers", "--memory", "offload:3", "--float8", "--decode-latents", "4"),
        *("--graph", "off", "--devices", "0,2", "--vae-grid", "2x1", "--vae-devices", "0, 1"),
        *("--exchange", "xfuser", "--ring", "2", "--ray", "10.0.0.1:6379"),
    )
    assert found == RenderSpec(
        portrait="me.png",
        speakers=(Speaker(audio="a.wav"),),
        start_s=1.5,
        duration_s=2.0,
        prompt="She sings",
        prompt_changes=(PromptChange(2.0, "She nods"), PromptChange(3.5, "She smiles")),
        size_px=(64, 96),
        fit="pad",
        sampling=SamplingSpec(
            steps=2,
            rule="renoise",
            shift=3.0,
            seed=5,
            colour_strength=0.5,
            colour_area="no-mouth",
            join_frames=6,
            mouth_strength=2.0,
        ),
        model=ModelSpec(
            name="folder", loras=(LoraSpec("a:b.safetensors", 0.8), LoraSpec("c.safetensors"))
        ),
        placement=PlacementSpec(
            device="cpu",
            devices=("cuda:0", "cuda:2"),
            dtype="bfloat16",
            attention="sdpa",
            speed="fused",
            disabled=("fused_layers",),
            memory=MemoryChoice("offload", 3, float8=True),
            decode_latents=4,
            graph="off",
            vae_devices=(0, 1),
            vae_grid="2x1",
            exchange="xfuser",
            ring=2,
            cluster="10.0.0.1:6379",
        ),
    )


@pytest.mark.parametrize(
    ("text", "mask", "audio"),
    [
        ("left:b.wav", "left", "b.wav"),
        ("1,2,3,4:a:b.wav", "1,2,3,4", "a:b.wav"),
        (r"C:\m.png:D:\b.wav", r"C:\m.png", r"D:\b.wav"),
        ("masks/m.png", "masks/m.png", "a.wav"),
        ("LEFT:B.wav", "left", "B.wav"),
        ("Face", "face", "a.wav"),
    ],
)
def test_a_speaker_is_a_place_and_audio(text, mask, audio):
    options = ("--audio", "a.wav", "--speaker", text, "--speaker", "right")
    found = read(*options, "--speaker-start", "1.5", "--turns", "2: 3-4, 1: 0-3")
    assert found.speakers == (
        Speaker(audio=audio, mask=mask, offset_s=1.5, turns=((0.0, 3.0),)),
        Speaker(audio="a.wav", mask="right", turns=((3.0, 4.0),)),
    )


def test_a_mask_may_have_a_colon_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("m", "m:2.png"):
        (tmp_path / name).touch()
    texts = ("m:2.png:b:c.wav", "m:2.png", "m:b.wav", "left:2.png")
    for text, found in zip(
        texts,
        (("m:2.png", "b:c.wav"), ("m:2.png", "a.wav"), ("m", "b.wav"), ("left", "2.png")),
        strict=True,
    ):
        first = read("--audio", "a.wav", "--speaker", text, "--speaker", "right").speakers[0]
        assert (first.mask, first.audio) == found


def test_a_box_may_not_begin_outside_of_the_image(tmp_path, capsys):
    words = ["--speaker", "-1,0,20,20:a.wav", "--speaker", "right:b.wav"]
    assert main(["render", "-o", str(tmp_path / "a.mp4"), *words]) == 2
    assert "error: speaker 1's box -1,0,20,20: it has to be within" in capsys.readouterr().err


def test_starts_may_be_given_one_by_one():
    options = ("--speaker", "left:a.wav", "--speaker", "right:b.wav", "--speaker-start", "0.5")
    found = read(*options, "--speaker-start", "1")
    assert [each.offset_s for each in found.speakers] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--speaker", ":b.wav"), "speaker ':b.wav': write where they are, and their audio"),
        (("--speaker", "left:"), "speaker 'left:': write where they are"),
        (("--speaker-start", "1", "2"), "speaker starts 1 2: 1 speaker(s); give one start"),
        (("--turns", "1: 0-1"), "turns '1: 0-1': they need two speakers"),
    ],
)
def test_what_is_no_speaker(options, says):
    with pytest.raises(InvalidInputError, match=f"^{re.escape(says)}"):
        read(*options)


def test_audio_that_nobody_speaks_is_checked_and_said_to_be_unused(tmp_path, capsys):
    speakers = [f"--speaker={place}:none.wav" for place in ("left", "right")]
    words = ["render", "-o", str(tmp_path / "a.mp4"), *speakers, "--audio"]
    assert main([*words, "gone.wav"]) == 2
    assert "error: audio gone.wav: no such file" in capsys.readouterr().err
    assert main([*words, str(EXAMPLE / "speech.wav")]) == 2
    said = capsys.readouterr().err
    assert "speech.wav: not used; each speaker has audio of their own" in said
    assert "audio none.wav: no such file" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--vae-grid", "2x"), "VAE grid '2x': use 'auto', 'rows', 'columns', or the numbers"),
        (("--vae-grid", "2x1"), "VAE grid 2x1: its 2 bands need as many devices, and there are 1;"),
        (("--vae-devices", "a"), "devices 'a': use numbers from 0 with commas between, such as"),
        (("--vae-devices", "1"), "VAE devices 1: the render runs on 1 device(s), counted from 0;"),
    ],
)
def test_how_several_devices_divide_is_checked_before_weights(options, says, tmp_path, capsys):
    assert main(["render", "-o", str(tmp_path / "a.mp4"), "--duration", "0.5", *options]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("text", ["load", "load=", "load=0", "load=nan", "load=inf", "draw=5"])
def test_what_is_no_limit(text):
    with pytest.raises(argparse.ArgumentTypeError, match="use start, load, step, stop and"):
        parse_limit(text)


def test_limits_of_phases_reach_the_fleet():
    parser = argparse.ArgumentParser()
    add_device_options(parser)
    text = "--limit load=1800 --limit stop=2.5 --step-limit 90"
    limits = Limits(**limits_of(parser.parse_args(text.split())))
    assert (limits.load_s, limits.stop_s, limits.step_s, limits.start_s) == (1800, 2.5, 90, 120)
    assert Limits(**limits_of(parser.parse_args([]))) == Limits()
    assert Limits(**read_limits(" load = 1800, stop=2.5,step=90,")) == limits
    assert read_limits(" ") == {}
    with pytest.raises(InvalidInputError, match="load is there twice; name it once"):
        read_limits("load=1, load=2")


def test_a_render_that_goes_on_takes_limits_too(monkeypatch):
    given = []
    jobs = Jobs(lambda _plan, _events, limits: given.append(limits))
    monkeypatch.setattr(
        "flashtalk_core.cli.rendering.jobs.run_resume",
        lambda _args, open_engine: open_engine(None, None) or 0,
    )
    program = replace(PROGRAM, commands=(jobs,))
    text = "jobs resume out.mp4 --limit load=1800 --step-limit 90"
    args = build_parser(program).parse_args(text.split())
    assert args.run(args) == 0
    assert given == [{"load_s": 1800.0, "step_s": 90.0}]


def test_limits_that_hold_for_nothing_are_said(caplog):
    with open_engine(make_plan(()), NO_EVENTS, {"load_s": 1800.0, "step_s": 90.0}):
        pass
    assert "--limit load=1800 --step-limit 90: not used, one device renders" in caplog.text


def test_one_device_encodes_a_prompt_and_an_image_once_as_several_do():
    plan, read = make_plan(()), set()
    with open_engine(plan, EventHandlers(loading=read.add)) as engine:
        with engine.open(plan, None, NO_EVENTS):
            assert {TextEncoder, ClipVision} < read
        read.clear()
        with engine.open(plan, None, NO_EVENTS):
            # Others may still come, from the thread that loads ahead.
            assert read.isdisjoint({TextEncoder, ClipVision, VideoVAE})


@pytest.mark.parametrize("command", ["render", "batch"])
def test_a_list_of_devices_that_is_none_is_told_how_it_is_written(command, tmp_path, capsys):
    name = ["-o", str(tmp_path / "x.mp4")] if command == "render" else [str(tmp_path / "rows.csv")]
    assert main([command, *name, "--devices", "0-3"]) == 2
    assert "devices '0-3': '0-3' is no device; use numbers of GPUs" in capsys.readouterr().err


def test_without_options_all_is_the_models_own_and_the_example():
    files = {"portrait": str(EXAMPLE / "portrait.png")}
    files["speakers"] = (Speaker(audio=str(EXAMPLE / "speech.wav")),)
    assert read() == RenderSpec(**files)


@pytest.mark.parametrize(
    ("options", "memory"),
    [
        ((), MemoryChoice(float8=None)),
        (("--float8",), MemoryChoice(float8=True)),
        (("--memory", "float8"), MemoryChoice("offload", float8=True)),
        (("--memory", "float8-offload:2"), MemoryChoice("offload", 2, float8=True)),
        (("--memory", "offload:2", "--float8"), MemoryChoice("offload", 2, float8=True)),
        (("--memory", "resident", "--float8"), MemoryChoice("resident", float8=True)),
    ],
)
def test_every_spelling_of_8_bit_floats_sets_the_one_field(options, memory):
    assert read(*options).placement.memory == memory
