"""Every field of a spec reaches the plan, and what is quick to check is checked first."""

import json
import shutil
import sys
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flashtalk_core.acceleration import attention_kernels
from flashtalk_core.cli.rendering.render_options import EXAMPLE
from flashtalk_core.engine import resolve as resolving
from flashtalk_core.engine.request import PromptChange
from flashtalk_core.engine.resolve import (
    Inputs,
    LocalHost,
    find_backend,
    open_model,
    resolve,
)
from flashtalk_core.engine.speakers import planning as speaker_planning
from flashtalk_core.engine.spec import (
    FramesSpec,
    LoraSpec,
    ModelSpec,
    PlacementSpec,
    RenderSpec,
    Speaker,
)
from flashtalk_core.errors import FlashTalkError, InvalidInputError
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.media.image.faces.detection import FaceBox
from flashtalk_core.models.attention import sdpa
from flashtalk_core.placement.memory_choice import MemoryChoice
from flashtalk_core.weights.discovery.layout import find_model_files, resolve_model
from flashtalk_core.weights.load import AvatarCheckpoint

pytestmark = pytest.mark.cpu


class Machine(LocalHost):
    """This machine, with a second device called ``other``."""

    def find_device(self, name):
        return torch.device("meta") if name == "other" else super().find_device(name)


HOST = Machine()
BASE = RenderSpec(
    portrait=str(EXAMPLE / "portrait.png"),
    speakers=(Speaker(audio=str(EXAMPLE / "speech.wav")),),
    duration_s=0.5,
    size_px=(32, 64),
    placement=PlacementSpec(device="cpu"),
)
FUSED = {"placement.speed": "fused"}
TINY_VAE = str(resolve_model("tiny") / "vae.safetensors")

# By field: another value, and what else has to be set for it to have an effect.
OTHERS = {
    "portrait": ("{folder}/other.png", {}),
    "speakers.audio": ("{folder}/other.wav", {}),
    "speakers.offset_s": (0.1, {}),
    "start_s": (0.25, {}),
    "duration_s": (0.75, {}),
    "loudness_lufs": (-20.0, {}),
    "soundtrack": ("{folder}/other.wav", {}),
    "prompt": ("She smiles", {}),
    "prompt_changes.start_s": (2.0, {}),
    "prompt_changes.prompt": ("She nods", {}),
    "size_px": ((64, 64), {}),
    "fit": ("pad", {}),
    "sampling.steps": (2, {}),
    "sampling.rule": ("renoise", {}),
    "sampling.shift": (2.0, {}),
    "sampling.seed": (5, {}),
    "sampling.colour_strength": (0.5, {}),
    "sampling.colour_area": ("no-mouth", {}),
    "sampling.join_frames": (4, {}),
    "sampling.mouth_strength": (0.5, {}),
    "chunk.num_frames": (41, {}),
    "chunk.num_motion_frames": (9, {}),
    "model.name": ("{folder}/model", {}),
    "model.loras.path": ("{folder}/other.safetensors", {}),
    "model.loras.strength": (0.5, {}),
    "model.light_vae": (TINY_VAE, {}),
    "motion_vae": ("shown", {"model.light_vae": TINY_VAE}),
    "placement.device": ("other", {}),
    "placement.devices": (("cpu", "cpu"), {"placement.device": "auto"}),
    "placement.vae_device": ("other", {}),
    "placement.dtype": ("bfloat16", {}),
    "placement.attention": ("sdpa", {}),
    "placement.speed": ("fused", {}),
    "placement.disabled": (("fused_blocks",), FUSED),
    "placement.memory.mode": ("offload", {}),
    "placement.memory.num_resident": (1, {"placement.memory.mode": "offload"}),
    "placement.memory.float8": (True, {}),
    "placement.decode_latents": (5, {}),
    "placement.vae_devices": ((0,), {}),
    "placement.vae_grid": ("rows", {}),
    "placement.ring": (2, {"placement.device": "auto", "placement.devices": ("cpu", "cpu")}),
}
SAME_PICTURE = {
    "placement.memory.mode",
    "placement.memory.num_resident",
    "placement.vae_devices",
    "placement.vae_grid",
    "soundtrack",
}
"""Where weights are kept, how one device is shared, and what is heard does not change the frames,
so it is in the plan and no fingerprint."""
REFUSED = {
    "speakers.mask": ("left.png", "speaker mask 'left.png': a mask separates two speakers"),
    "speakers.turns": (((0.0, 1.0),), "speaker 1: 1 turn(s) with one speaker"),
    "speaker_routing": ("regions", "speaker routing 'regions': it tells two speakers apart"),
    "face_detector": ("yunet.onnx", "face detector 'yunet.onnx': it is for fit 'face'"),
    "model.vae": ("v", "vae 'v': a part is chosen by itself in ComfyUI only"),
    "model.text_encoder": ("none", "text_encoder 'none': a part is chosen by itself"),
    "model.clip_vision": ("none", "clip_vision 'none': a part is chosen by itself"),
    "model.audio_encoder": ("a", "audio_encoder 'a': a part is chosen by itself"),
    "model.audio_layers": ("gone", "audio layers gone: no such file; choose another"),
    "placement.exchange": ("xfuser", "exchange 'xfuser': one device has nothing to exchange"),
    "placement.cluster": ("head", "cluster 'head': use host:port of its head"),
    "placement.graph": ("on", "graph 'on' on cpu: CUDA graphs are for GPUs"),
    "frames.upscale": ("gone.pth", "upscaling model gone.pth: no such file; check the path"),
    "frames.upscale_by": (2.0, "upscaling by 2.0: no upscaling model is given; name one"),
}
"""What the command line's host cannot do yet, or has no names for."""


def names_of(kind, where=""):
    """Yield the fields of a spec, those of its parts by a dot."""
    examples = {
        "speakers": Speaker(),
        "model.loras": LoraSpec("a"),
        "prompt_changes": PromptChange(1.0, "a"),
    }
    for each in fields(kind):
        name = where + each.name
        value = examples.get(name, getattr(kind, each.name))
        if is_dataclass(value):
            yield from names_of(value, f"{name}.")
        else:
            yield name


def changed(spec, name, value):
    """Return ``spec`` with the field ``name``, of the first one where there are several."""
    head, _, rest = name.partition(".")
    old = getattr(spec, head)
    if rest and isinstance(old, tuple):
        value = (changed(old[0], rest, value),)
    elif rest:
        value = changed(old, rest, value)
    return replace(spec, **{head: value})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of other names than those of the base."""
    folder = tmp_path_factory.mktemp("files")
    Image.open(EXAMPLE / "portrait.png").rotate(180).save(folder / "other.png")
    shutil.copyfile(EXAMPLE / "speech.wav", folder / "other.wav")
    shutil.copytree(resolve_model("tiny"), folder / "model", copy_function=shutil.copyfile)
    for name in ("style", "other"):
        (folder / f"{name}.safetensors").touch()
    return folder


@pytest.fixture
def no_loras_are_read(monkeypatch):
    """Take any file for a LoRA: its tensors are no matter here."""
    real = resolving.open_checkpoint

    def open_checkpoint(files, attention, loras):
        return replace(real(files, attention), loras=tuple(loras))

    monkeypatch.setattr(resolving, "open_checkpoint", open_checkpoint)


def base_for(name, folder):
    """Return a spec in which the field ``name`` has an effect."""
    spec = BASE
    if name.startswith("model.loras"):
        model = ModelSpec(loras=(LoraSpec(str(folder / "style.safetensors")),))
        spec = replace(spec, model=model)
    if name.startswith("prompt_changes"):
        spec = replace(spec, prompt_changes=(PromptChange(1.0, "She sings"),))
    for other, value in OTHERS[name][1].items():
        spec = changed(spec, other, value)
    return spec


def test_every_field_is_tried():
    assert {*OTHERS, *REFUSED} == set(names_of(BASE))


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.usefixtures("no_loras_are_read")
def test_every_field_reaches_the_plan(name, folder):
    spec = base_for(name, folder)
    value = OTHERS[name][0]
    value = value.format(folder=folder) if isinstance(value, str) else value
    other = changed(spec, name, value)
    assert RenderSpec.from_json(other.to_json()) == other
    before, after = (resolve(each, HOST) for each in (spec, other))
    if name in SAME_PICTURE:
        assert (before.placement, before.track) != (after.placement, after.track)
        assert before.fingerprint() == after.fingerprint()
    else:
        assert before.fingerprint() != after.fingerprint()


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_effect_here_is_refused(name):
    value, says = REFUSED[name]
    with pytest.raises(FlashTalkError) as caught:
        resolve(changed(BASE, name, value), HOST)
    assert str(caught.value).startswith(says)


# By field: values that cannot be used, and what their error is about.
WRONG = [
    ("portrait", None, "portrait"),
    ("portrait", "", "portrait"),
    ("portrait", "gone.png", "portrait"),
    ("portrait", __file__, "portrait"),
    ("speakers", (), "speakers"),
    ("speakers.audio", None, "speakers"),
    ("speakers.audio", "", "speakers"),
    ("speakers.audio", "gone.wav", "speakers"),
    ("speakers.audio", __file__, "speakers"),
    ("speakers.mask", "left.png", "speakers"),
    ("speakers.offset_s", -1.0, "speakers"),
    ("speakers.turns", ((0.0, 1.0),), "speakers"),
    ("speaker_routing", "magic", "speaker_routing"),
    ("start_s", -1.0, "sound_start"),
    ("start_s", 999.0, "sound_start"),
    ("duration_s", 0.0, "sound_duration"),
    ("loudness_lufs", 5.0, "sound_loudness"),
    ("soundtrack", "gone.wav", "soundtrack"),
    ("prompt", "\ud800", "prompt"),
    ("prompt_changes", (PromptChange(2.0, "a"), PromptChange(1.0, "b")), "prompt_changes"),
    ("prompt_changes.start_s", -1.0, "prompt_changes"),
    ("prompt_changes.prompt", "\ud800", "prompt_changes"),
    ("size_px", (33, 64), "size"),
    ("fit", "stretch", "fit"),
    ("face_detector", "yunet.onnx", "fit"),
    ("sampling.steps", 0, "steps"),
    ("sampling.rule", "guess", "rule"),
    ("sampling.shift", 0.0, "shift"),
    ("sampling.seed", -1, "seed"),
    ("sampling.colour_strength", 2.0, "colour_strength"),
    ("sampling.colour_area", "mouth", "colour_area"),
    ("sampling.join_frames", 26, "join_frames"),
    ("sampling.mouth_strength", 9.0, "mouth_strength"),
    ("chunk.num_frames", 34, "chunk_frames"),
    ("chunk.num_motion_frames", 4, "motion_frames"),
    ("model.name", "", "model"),
    ("model.name", "gone", "model"),
    ("model.name", __file__, "model"),
    ("model.vae", "v", "vae"),
    ("model.text_encoder", "t", "text"),
    ("model.clip_vision", "c", "clip"),
    ("model.audio_encoder", "a", "audio"),
    ("model.audio_layers", "gone", "audio_layers"),
    ("model.audio_layers", "", "audio_layers"),
    ("model.light_vae", "", "light_vae"),
    ("model.light_vae", "gone", "light_vae"),
    ("motion_vae", "light", "motion_vae"),
    ("motion_vae", "half", "motion_vae"),
    ("model.loras.path", "", "lora"),
    ("model.loras.path", "gone.safetensors", "lora"),
    ("model.loras.strength", 99.0, "lora_strength"),
    ("placement.device", "nowhere", "device"),
    ("placement.devices", ("cpu", "mps"), "devices"),
    ("placement.vae_device", "nowhere", "vae_device"),
    ("placement.dtype", "int4", "dtype"),
    ("placement.attention", "none", "attention"),
    ("placement.speed", "fast", "speed"),
    ("placement.disabled", ("magic",), "disabled"),
    ("placement.memory.mode", "full", "memory"),
    ("placement.memory.num_resident", -1, "memory"),
    ("placement.decode_latents", 0, "decode_latents"),
    ("placement.graph", "on", "graph"),
    ("placement.vae_devices", (1,), "vae_devices"),
    ("placement.vae_grid", "2x0", "vae_grid"),
    ("placement.vae_grid", "2x1", "vae_grid"),
    ("placement.exchange", "smoke", "exchange"),
    ("placement.ring", 3, "ring"),
    ("placement.cluster", "10.0.0.1", "cluster"),
    ("frames.upscale", "", "upscale"),
    ("frames.upscale_by", 2.0, "upscale_by"),
]
ALWAYS_RIGHT = {"placement.memory.float8"}
"""Fields of which a CPU can use every value."""


def test_every_field_is_tried_with_a_wrong_value():
    tried = {name for name, _, _ in WRONG} - {"speakers", "prompt_changes"}
    assert tried | ALWAYS_RIGHT == set(names_of(BASE))


@pytest.mark.parametrize(("name", "value", "subject"), WRONG)
def test_an_error_is_about_the_setting_that_is_wrong(name, value, subject, folder):
    spec = base_for(name, folder) if name in OTHERS else BASE
    with pytest.raises(FlashTalkError) as caught:
        resolve(changed(spec, name, value), LocalHost())
    assert caught.value.subject == subject


@pytest.mark.parametrize("part", ["vae", "text", "clip", "audio"])
def test_a_part_that_a_model_lacks_is_what_the_error_is_about(part, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(resolve_model("tiny"), model, copy_function=shutil.copyfile)
    getattr(find_model_files(model), part).unlink()
    with pytest.raises(FlashTalkError, match="not found") as caught:
        resolve(replace(BASE, model=ModelSpec(name=str(model))), HOST)
    assert caught.value.subject == part


@pytest.mark.parametrize("values", [{"size_px": [33, 33]}, {"sampling": {"steps": 0}}])
def test_a_wrong_setting_in_the_files_of_a_model_is_about_the_model(values, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(resolve_model("tiny"), model, copy_function=shutil.copyfile)
    settings = json.loads((model / "flashtalk.json").read_text(encoding="utf-8"))
    (model / "flashtalk.json").write_text(json.dumps(settings | values), encoding="utf-8")
    spec = replace(BASE, size_px=None, model=ModelSpec(name=str(model)))
    with pytest.raises(FlashTalkError) as caught:
        resolve(spec, HOST)
    assert caught.value.subject == "model"


@pytest.mark.parametrize(
    ("name", "value", "subject"),
    [
        ("start_s", 0.25, "sound_start"),
        ("duration_s", 0.75, "sound_duration"),
        ("duration_s", None, "sound_duration"),
        ("loudness_lufs", -20.0, "sound_loudness"),
    ],
)
def test_audio_that_was_measured_otherwise_than_the_spec_says_is_refused(name, value, subject):
    measured = probe_audio(EXAMPLE / "speech.wav", duration_s=BASE.duration_s)
    inputs = Inputs(audio_inputs=(measured,))
    assert resolve(BASE, HOST, inputs).audio == measured
    with pytest.raises(FlashTalkError, match=r"was measured .*; measure it again") as caught:
        resolve(changed(BASE, name, value), HOST, inputs)
    assert caught.value.subject == subject


def test_audio_that_ends_before_the_duration_is_what_was_asked_for():
    samples = np.ones((1, 8_000), np.float32) * 0.1
    measured = probe_audio(AudioArray("short", samples, 16_000), duration_s=2.0)
    spec = replace(BASE, duration_s=2.0)
    assert resolve(spec, HOST, Inputs(audio_inputs=(measured,))).audio == measured


@pytest.mark.parametrize("count", [0, 3])
def test_one_or_two_talk_in_a_render(count):
    spec = replace(BASE, speakers=(Speaker(audio="a.wav"),) * count)
    with pytest.raises(FlashTalkError, match=rf"^speakers {count}: one or two talk in a render"):
        resolve(spec, HOST)


TWO = tuple(Speaker(audio=str(EXAMPLE / "speech.wav"), mask=mask) for mask in ("left", "right"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([{"mask": None}, {}], r"^speaker 1: no mask says where they are; use 'left'"),
        ([{}, {}], r"^audio .+: both speakers have it, so both would say the same"),
        ([{}, {"mask": "200,0,200,512"}], r"^speaker masks: they overlap in \d+ of 262144 pixels"),
        ([{"mask": "1,1,2,2"}, {}], r"^speaker 1's mask: .+ covers none of 8 cells of 16 pixels"),
        ([{"turns": ((0.0, 0.2),)}, {}], r"^speaker starts 0.1 0: both speakers take turns"),
        ([{"turns": ((1.0, 2.0), (0.0, 1.0))}, {}], r"^speaker 1 has a turn from 0 to 1 s after"),
    ],
)
def test_two_speakers_that_do_not_go_together(changes, message):
    apart = [{}, {}] if "have it" in message else [{"offset_s": 0.1}, {}]
    speakers = [
        replace(each, **(late | change))
        for each, late, change in zip(TWO, apart, changes, strict=True)
    ]
    with pytest.raises(FlashTalkError, match=message) as caught:
        resolve(replace(BASE, speakers=tuple(speakers)), HOST)
    assert caught.value.subject == "speakers"


def test_all_that_two_speakers_are_is_in_the_fingerprint():
    """And in the message to a worker; the sound of the video is that of both."""

    def plan(first=None, second=None, **changes):
        speakers = (replace(TWO[0], **first or {}), replace(TWO[1], **second or {"offset_s": 0.2}))
        spec = replace(BASE, speakers=speakers, **changes)
        return resolve(RenderSpec.from_json(spec.to_json()), HOST)

    base = plan()
    assert (base.routing, base.audio.duration_s) == ("regions", pytest.approx(0.7, abs=1e-4))
    assert base.fingerprint() == plan().fingerprint()
    others = [
        plan({"mask": "0,0,200,512"}),
        plan({"turns": ((0.0, 0.3),)}, {"turns": ((0.3, 0.5),)}),
        plan({"mask": "right"}, {"mask": "left", "offset_s": 0.2}),
        plan(second={"offset_s": 0.25}),
        plan(speaker_routing="rotary"),
        resolve(BASE, HOST),
    ]
    assert len({each.fingerprint() for each in (base, *others)}) == 1 + len(others)


def test_a_message_gives_the_plan_that_its_sender_had():
    plans = [resolve(each, HOST) for each in (BASE, RenderSpec.from_json(BASE.to_json()))]
    assert plans[0].fingerprint() == plans[1].fingerprint()
    assert asdict(plans[0].placement) == asdict(plans[1].placement)


@pytest.mark.parametrize("name", ["portrait", "speakers.audio"])
def test_what_is_nowhere_is_reported(name):
    with pytest.raises(FlashTalkError, match=r"none is given; name|no audio is given; name"):
        resolve(changed(BASE, name, None), HOST)


def test_8_bit_floats_have_one_answer_in_every_mode():
    for choice in (MemoryChoice(float8=True), MemoryChoice("resident", float8=True),
                   MemoryChoice("offload", float8=True)):  # fmt: skip
        plan = resolve(changed(BASE, "placement.memory", choice), HOST)
        assert plan.placement.memory.float8
    assert not resolve(BASE, HOST).placement.memory.float8


class TwoGpus(LocalHost):
    """GPUs that are not tried out."""

    def find_device(self, name):
        return torch.device(name)


@pytest.fixture
def two_gpus(monkeypatch):
    """GPUs of two generations, in a machine whose PyTorch has NCCL."""
    generations = [(9, 0), (7, 5)]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: generations[device.index]
    )
    monkeypatch.setattr(torch.cuda.nccl, "version", lambda: (2, 28, 9))
    return PlacementSpec(devices=("cuda:0", "cuda:1"), speed="plain")


def test_gpus_of_two_generations_run_what_both_can(two_gpus):
    backend = find_backend(two_gpus, TwoGpus())
    assert (backend.device, backend.others) == (torch.device("cuda:0"), (torch.device("cuda:1"),))
    model = open_model(HOST.find_files(ModelSpec()), (), backend, two_gpus, TwoGpus())
    assert model.dtype == torch.float16


def test_an_attention_that_one_of_two_gpus_lacks_is_refused(two_gpus, monkeypatch):
    monkeypatch.setattr(attention_kernels, "is_installed", lambda _kernel: True)
    monkeypatch.setattr(attention_kernels.AttentionKernel, "load", lambda _kernel: sdpa)
    wanted = replace(two_gpus, attention="flash-attn")
    with pytest.raises(FlashTalkError, match=r"'flash-attn': it does not run on cuda:1; use"):
        find_backend(wanted, TwoGpus())
    assert find_backend(replace(wanted, devices=("cuda:0",)), TwoGpus()).attention is sdpa


def test_several_gpus_need_nccl(two_gpus, monkeypatch):
    def lacks():
        raise AttributeError("no NCCL")

    monkeypatch.setattr(torch.cuda.nccl, "version", lacks)
    with pytest.raises(FlashTalkError, match=r"^devices cuda:0, cuda:1: .* built without NCCL"):
        find_backend(two_gpus, TwoGpus())


class FewerGpus(LocalHost):
    """A host that computes what it does itself on a CPU, whatever it is called."""

    def find_device(self, name):
        return torch.device("cpu")


def test_a_cluster_may_have_more_gpus_than_this_host(monkeypatch):
    monkeypatch.setattr(resolving, "check_cluster", lambda _address: None)  # Ray is not installed
    devices = tuple(f"cuda:{index}" for index in range(4))
    wanted = PlacementSpec(devices=devices, cluster="10.0.0.1:6379", memory=MemoryChoice("offload"))
    place = resolve(replace(BASE, placement=wanted), FewerGpus()).placement
    assert (place.devices, place.local_devices) == (devices, ())
    assert replace(place, cluster="").local_devices == devices


@pytest.fixture(scope="module")
def opened():
    """The bundled model, opened before."""
    backend = find_backend(BASE.placement, HOST)
    return open_model(HOST.find_files(ModelSpec()), (), backend, BASE.placement, HOST)


def test_what_is_in_memory_goes_next_to_the_spec(opened, monkeypatch):
    def refuse(*_args, **_kwargs):
        pytest.fail("looked for")

    for name in ("open_image", "open_checkpoint", "choose_attention", "find_model_files"):
        monkeypatch.setattr(resolving, name, refuse)
    rng = np.random.default_rng(0)
    audio = AudioArray("noise", rng.standard_normal((1, 8000)).astype(np.float32) * 0.1, 16_000)
    image = Image.new("RGB", (64, 64), (9, 9, 9))
    dit = opened.checkpoint.config.dit
    context = torch.zeros(4, dit.text_dim)
    spec = RenderSpec(start_s=0.1, size_px=(32, 32))
    inputs = Inputs(image=image, audio_inputs=(audio,), context=context, model=opened)
    plan = resolve(spec, HOST, inputs)
    assert plan.request.image is image
    assert plan.request.context is context
    assert plan.audio == probe_audio(audio, 0.1)
    assert plan.checkpoint is opened.checkpoint
    measured = replace(inputs, audio_inputs=(plan.audio,))
    monkeypatch.setattr(speaker_planning, "probe_audio", refuse)
    assert resolve(spec, HOST, measured).fingerprint() == plan.fingerprint()
    assert "model" in repr(inputs)
    assert len(repr(inputs)) < 100


@pytest.mark.parametrize(
    ("placement", "expected", "older"),
    [
        (PlacementSpec(device="cpu"), 3, 1),
        (PlacementSpec(device="cpu", decode_latents=1), 1, None),
        (PlacementSpec(device="cpu", decode_latents=3), 3, None),
        (PlacementSpec(device="cpu", speed="fused"), 2, None),
    ],
)
def test_a_small_decoder_on_a_cpu_decodes_three_latents_at_once(placement, expected, older):
    plan = resolve(replace(BASE, placement=placement), HOST)
    assert (plan.request.num_decode_latents, plan.older_decode_latents) == (expected, older)
    before = plan.as_begun_before()
    assert (None if before is None else before.request.num_decode_latents) == older


def test_a_plan_as_begun_before_has_the_fingerprint_it_had():
    named = replace(BASE, placement=replace(BASE.placement, decode_latents=1))
    plan = resolve(BASE, HOST)
    assert plan.as_begun_before().fingerprint() == resolve(named, HOST).fingerprint()
    assert plan.fingerprint() != resolve(named, HOST).fingerprint()


def test_what_was_encoded_elsewhere_has_to_fit(opened):
    inputs = Inputs(context=torch.zeros(4, 3), model=opened)
    with pytest.raises(FlashTalkError, match=r"^encoded prompt of 4 tokens, 3 wide"):
        resolve(BASE, HOST, inputs)


# One error of each kind in the order of cost: values, names, settings of the model, files, headers.
FAULTS = {
    "size_px": ((1, 1), "size 1x1"),
    "sampling.steps": (0, "steps 0"),
    "chunk.num_frames": (34, "chunk frames 34"),
    "prompt": ("\ud83d", "prompt: '\\ud83d'"),
    "placement.decode_latents": (0, "latent frames decoded at once 0"),
    "placement.disabled": (("magic",), "kernel option 'magic'"),
    "fit": ("stretch", "image fit 'stretch'"),
    "start_s": (-1.0, "audio start -1.0 s"),
    "duration_s": (0.0, "audio duration 0.0 s"),
    "loudness_lufs": (5.0, "audio loudness 5.0 LUFS"),
    "placement.speed": ("warp", "speed 'warp'"),
    "placement.graph": ("sometimes", "graph 'sometimes': use one of auto, on, off"),
    "speakers": ((Speaker(audio="gone.wav"),) * 3, "speakers 3"),
    "model.loras": ((LoraSpec("gone.safetensors"),), "lora gone.safetensors: no such file"),
    "placement.device": ("abacus", "device 'abacus'"),
    "placement.attention": ("magic", "attention 'magic'"),
    "model.name": ("gone", "model 'gone': no such folder"),
    "chunk.num_motion_frames": (33, "motion frames 33"),
    "portrait": ("gone.png", "image gone.png: no such file"),
    "speakers.audio": ("gone.wav", "audio gone.wav: no such file"),
}


@pytest.mark.parametrize("index", range(len(FAULTS)))
def test_of_several_faults_the_cheapest_to_find_is_reported(index):
    spec = BASE
    for name in list(FAULTS)[index:][::-1]:
        spec = changed(spec, name, FAULTS[name][0])
    with pytest.raises(FlashTalkError) as caught:
        resolve(spec, HOST)
    assert str(caught.value).startswith(list(FAULTS.values())[index][1])


@pytest.mark.usefixtures("no_weights")
def test_more_resident_blocks_than_the_model_has_are_refused_before_weights_are_read():
    spec = changed(BASE, "placement.memory", MemoryChoice("offload", 99))
    with pytest.raises(FlashTalkError, match=r"^memory offload:99: the model has \d+ blocks; use"):
        resolve(spec, HOST)


@pytest.fixture
def no_weights(monkeypatch):
    """Fail where weights are read."""
    monkeypatch.setattr(
        AvatarCheckpoint, "load", lambda *_args, **_kwargs: pytest.fail("weights were read")
    )


@pytest.mark.usefixtures("no_weights")
def test_headers_of_weights_come_last_and_no_weights_are_read(monkeypatch):
    order = []

    class Recorded(LocalHost):
        def __getattribute__(self, name):
            order.append(name)
            return super().__getattribute__(name)

    def note(name):
        module = speaker_planning if name == "probe_audio" else resolving
        real = getattr(module, name)

        def call(*args, **kwargs):
            order.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, call)

    for name in ("choose_attention", "choose_kernel_options", "open_image", "probe_audio",
                 "open_checkpoint", "plan_memory"):  # fmt: skip
        note(name)
    lora = LoraSpec(str(Path(__file__)))
    with pytest.raises(FlashTalkError, match=r"test_resolve\.py"):
        resolve(replace(BASE, model=ModelSpec(loras=(lora,))), Recorded())
    assert order == ["find_lora", "find_device", "choose_attention", "choose_kernel_options",
                     "find_files", "open_image", "probe_audio", "open_checkpoint"]  # fmt: skip
    order.clear()
    resolve(BASE, Recorded())
    assert order[-3:] == ["find_dtype", "free_bytes", "plan_memory"]


def _with_face_masks(detector=None):
    speakers = [replace(BASE.speakers[0], mask="face", offset_s=at) for at in (0.0, 0.1)]
    return replace(BASE, speakers=tuple(speakers), face_detector=detector)


def test_faces_as_masks_are_found_by_the_detector_that_was_named(tmp_path):
    pytest.importorskip("cv2")
    detector = tmp_path / "yunet.onnx"
    detector.write_bytes(b"no network")
    with pytest.raises(InvalidInputError, match=r"yunet\.onnx: OpenCV .* cannot use it") as caught:
        resolve(_with_face_masks(str(detector)), HOST)
    assert caught.value.subject == "speakers"


def test_faces_as_masks_without_opencv_are_no_matter_of_a_crop(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    says = r"^speaker mask 'face': package .* is not installed; .*, or use 'left', 'right', boxes"
    with pytest.raises(InvalidInputError, match=says):
        resolve(_with_face_masks(), HOST)


def test_a_face_crop_is_the_video_of_the_part_that_it_chose():
    face = FaceBox(110, 113, 290, 290)
    spec = replace(BASE, fit="face", size_px=(64, 32))
    plan = resolve(spec, HOST, Inputs(faces=(face,)))
    request = plan.request
    assert request.fit == "cover"
    assert request.face.face == face
    part = request.face.image.crop(request.face.frame)
    by_hand = resolve(replace(spec, fit="cover"), HOST, Inputs(image=part))
    assert plan.fingerprint() == by_hand.fingerprint()


def test_an_image_without_a_face_is_named(tmp_path):
    pytest.importorskip("cv2")
    path = tmp_path / "grey.png"
    Image.new("L", (64, 64), 128).save(path)
    with pytest.raises(InvalidInputError) as caught:
        resolve(replace(BASE, portrait=str(path), fit="face"), HOST)
    assert str(caught.value).startswith(f"image {path}: face crop: no face found that looks into")


def test_a_damaged_upscaler_is_told_whatever_is_installed(tmp_path):
    path = tmp_path / "4x.pth"
    path.write_bytes(b"")
    with pytest.raises(InvalidInputError, match=r"upscaling model .*4x\.pth: damaged, cut short"):
        resolve(replace(BASE, frames=FramesSpec(upscale=str(path))), HOST)
