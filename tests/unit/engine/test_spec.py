"""A spec says everything, in JSON too, and nothing of it is lost in the plan."""

import json
import math
from dataclasses import asdict, fields, is_dataclass, replace

import pytest

from flashtalk_core.engine.request import PromptChange
from flashtalk_core.engine.spec import (
    ChunkSpec,
    FramesSpec,
    LoraSpec,
    ModelSpec,
    PlacementSpec,
    RenderSpec,
    SamplingSpec,
    Speaker,
)
from flashtalk_core.errors import FlashTalkError, InvalidInputError
from flashtalk_core.placement.memory_choice import MemoryChoice

pytestmark = pytest.mark.cpu

FULL = RenderSpec(
    portrait="me \udce9.png",
    speakers=(Speaker(audio="a.wav", mask="left.png"), Speaker(audio="b.wav")),
    speaker_routing="regions",
    start_s=1.5,
    duration_s=2.25,
    loudness_lufs=-20.0,
    soundtrack="mix.wav",
    prompt="She says \N{SNOWMAN}",
    prompt_changes=(PromptChange(1.5, "She nods"), PromptChange(3.0, "She smiles")),
    size_px=(64, 96),
    fit="face",
    face_detector="yunet.onnx",
    sampling=SamplingSpec(
        steps=2,
        rule="renoise",
        shift=0.1,
        seed=2**63 - 1,
        colour_strength=0.3,
        colour_area="no-mouth",
        join_frames=6,
        mouth_strength=2.0,
    ),
    chunk=ChunkSpec(num_frames=41, num_motion_frames=9),
    model=ModelSpec(
        name="~/models/x",
        vae="v",
        text_encoder="t",
        clip_vision="c",
        audio_encoder="a",
        audio_layers="l",
        loras=(LoraSpec("style.safetensors", 0.8), LoraSpec("b.safetensors")),
        light_vae="taew2_1.safetensors",
    ),
    motion_vae="shown",
    placement=PlacementSpec(
        device="cuda:1",
        devices=("cuda:1", "cuda:2"),
        vae_device="cpu",
        dtype="bfloat16",
        attention="sdpa",
        speed="fused",
        disabled=("fused_layers", "channels_last"),
        memory=MemoryChoice("offload", 12, float8=True),
        decode_latents=4,
        graph="off",
        vae_devices=(0, 2),
        vae_grid="2x1",
        exchange="xfuser",
        ring=2,
        cluster="10.0.0.1:6379",
    ),
    frames=FramesSpec(upscale="4x.pth", upscale_by=2.0),
)


def refusal(text):
    with pytest.raises(FlashTalkError) as caught:
        RenderSpec.from_json(text)
    message = str(caught.value)
    assert message.startswith("render spec")
    assert len(message) < 300
    return message


def leaves(value, where=""):
    """Yield what a spec holds, by place."""
    if is_dataclass(value):
        for each in fields(value):
            yield from leaves(getattr(value, each.name), f"{where}.{each.name}")
    else:
        yield where.removeprefix("."), value


def test_the_full_spec_leaves_nothing_at_its_default():
    usual = dict(leaves(RenderSpec()))
    assert [name for name, value in leaves(FULL) if usual[name] == value] == []


@pytest.mark.parametrize("spec", [RenderSpec(), FULL])
def test_what_is_written_is_read(spec):
    text = spec.to_json()
    found = RenderSpec.from_json(text)
    assert found == spec
    assert found.to_json() == text
    assert RenderSpec.from_json(text.encode()) == spec


def test_every_field_is_written_and_read_by_itself():
    usual, full = asdict(RenderSpec()), asdict(FULL)
    for name, value in full.items():
        found = RenderSpec.from_json(json.dumps({"version": 1, name: value}))
        assert asdict(found) == usual | {name: asdict(FULL)[name]}, name


def test_a_spec_is_plain_data():
    def plain(value):
        if is_dataclass(value):
            assert type(value).__dataclass_params__.frozen, value
            return all(plain(getattr(value, each.name)) for each in fields(value))
        if isinstance(value, tuple):
            return all(map(plain, value))
        return value is None or type(value) in (str, int, float, bool)

    assert plain(FULL)
    assert hash(FULL) == hash(RenderSpec.from_json(FULL.to_json()))


def test_what_is_left_out_has_its_default():
    assert RenderSpec.from_json('{"version": 1}') == RenderSpec()


def test_a_whole_number_where_any_is_taken_is_that_number():
    """JavaScript writes 5.0 as 5; a fingerprint differs between them."""
    text = '{"version": 1, "sampling": {"shift": 5}, "start_s": 1}'
    found = RenderSpec.from_json(text)
    assert (type(found.sampling.shift), type(found.start_s)) == (float, float)


@pytest.mark.parametrize("version", [0, 2, "1", 1.0, True, None])
def test_another_version_is_refused_with_what_is_read(version):
    message = refusal(json.dumps({"version": version}))
    assert f"of version {version!r}: this FlashTalk reads version 1; " in message


def test_a_spec_without_version_is_refused():
    assert "of version None" in refusal("{}")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            {"sped": 1},
            "render spec: sped: no such key; use portrait, speakers, speaker_routing, start_s",
        ),
        ({"sampling": {"stepz": 1}}, "render spec: sampling.stepz: no such key; use steps, rule"),
        ({"speakers": [{"voice": "a"}]}, "render spec: speakers[0].voice: no such key; use audio"),
        (
            {"placement": {"memory": {"fp8": True}}},
            "placement.memory.fp8: no such key; use mode, num_resident, float8",
        ),
        (
            {"placement": {"float8": True}},
            "placement.float8: no such key; use device, devices",
        ),
        ({"model": {"loras": [{"strength": 1}]}}, "model.loras[0].path: missing; add it"),
        ({"sampling": {"steps": "4"}}, "sampling.steps '4': use a whole number"),
        ({"sampling": {"steps": True}}, "sampling.steps True: use a whole number"),
        ({"sampling": {"rule": "magic"}}, "sampling.rule 'magic': use 'renoise' or 'euler'"),
        ({"size_px": [64]}, "size_px [64]: use a list of 2 in brackets"),
        ({"size_px": 64}, "size_px 64: use a list of 2 in brackets"),
        ({"size_px": [64, "64"]}, "size_px[1] '64': use a whole number"),
        ({"speakers": {}}, "speakers {}: use a list in brackets"),
        ({"speakers": [1]}, "speakers[0] 1: use an object in braces"),
        ({"fit": None}, "fit None: use 'cover' or 'pad' or 'face'"),
        ({"portrait": 5}, "portrait 5: use a text"),
        ({"start_s": None}, "start_s None: use a number"),
        ({"start_s": math.nan}, "start_s nan: use a number"),
        ({"placement": {"memory": {"float8": 1}}}, "memory.float8 1: use true or false"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_spec_is_refused_by_key(values, says):
    assert says in refusal(json.dumps({"version": 1} | values))


SUBJECTS = {
    "portrait": "portrait",
    "speakers": "speakers",
    "speaker_routing": "speaker_routing",
    "start_s": "sound_start",
    "duration_s": "sound_duration",
    "loudness_lufs": "sound_loudness",
    "soundtrack": "soundtrack",
    "prompt": "prompt",
    "prompt_changes": "prompt_changes",
    "size_px": "size",
    "fit": "fit",
    "face_detector": "fit",
    "sampling.steps": "steps",
    "sampling.rule": "rule",
    "sampling.shift": "shift",
    "sampling.seed": "seed",
    "sampling.colour_strength": "colour_strength",
    "sampling.colour_area": "colour_area",
    "sampling.join_frames": "join_frames",
    "sampling.mouth_strength": "mouth_strength",
    "chunk.num_frames": "chunk_frames",
    "chunk.num_motion_frames": "motion_frames",
    "model.name": "model",
    "model.vae": "vae",
    "model.text_encoder": "text",
    "model.clip_vision": "clip",
    "model.audio_encoder": "audio",
    "model.audio_layers": "audio_layers",
    "model.loras": "lora",
    "model.light_vae": "light_vae",
    "motion_vae": "motion_vae",
    "placement.device": "device",
    "placement.devices": "devices",
    "placement.vae_device": "vae_device",
    "placement.dtype": "dtype",
    "placement.attention": "attention",
    "placement.speed": "speed",
    "placement.disabled": "disabled",
    "placement.memory.mode": "memory",
    "placement.memory.num_resident": "memory",
    "placement.memory.float8": "memory",
    "placement.decode_latents": "decode_latents",
    "placement.graph": "graph",
    "placement.vae_devices": "vae_devices",
    "placement.vae_grid": "vae_grid",
    "placement.exchange": "exchange",
    "placement.ring": "ring",
    "placement.cluster": "cluster",
    "frames.upscale": "upscale",
    "frames.upscale_by": "upscale_by",
}


def subject_of(text):
    with pytest.raises(FlashTalkError) as caught:
        RenderSpec.from_json(text)
    return caught.value.subject


def test_every_field_has_a_subject_that_is_tried():
    assert {*SUBJECTS} == {name for name, _ in leaves(RenderSpec())}


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_value_of_another_type_is_about_its_setting(name):
    value = {"no": "such type"}
    for key in reversed(name.split(".")):
        value = {key: value}
    assert subject_of(json.dumps({"version": 1} | value)) == SUBJECTS[name]


@pytest.mark.parametrize(
    ("values", "subject"),
    [
        ({"speakers": [{"audio": 5}]}, "speakers"),
        ({"model": {"loras": [{"path": "a", "strength": "much"}]}}, "lora"),
        ({"prompt_changes": [{"start_s": -1, "prompt": "a"}]}, "prompt_changes"),
        ({"placement": {"memory": {"mode": "resident", "num_resident": 3}}}, "memory"),
        ({"size_px": [64, "64"]}, "size"),
        ({"sampling": {"stepz": 1}}, "sampling"),
        ({"sped": 1}, "spec"),
        ({"version": 2}, "spec"),
    ],
)
def test_what_is_inside_a_setting_is_about_the_setting(values, subject):
    assert subject_of(json.dumps({"version": 1} | values)) == subject


def test_what_is_no_spec_is_about_all_of_it():
    assert {subject_of(text) for text in ("", "[]", "{}", b"\xff")} == {"spec"}
    with pytest.raises(FlashTalkError) as caught:
        replace(FULL, start_s=math.inf).to_json()
    assert caught.value.subject == "spec"


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"version": 1, "version": 1}', b"\xff"])
def test_what_is_no_json_object_is_refused(text):
    refusal(text)


def test_values_that_exclude_each_other_are_reported_as_elsewhere():
    memory = {"mode": "resident", "num_resident": 3}
    text = json.dumps({"version": 1, "placement": {"memory": memory}})
    with pytest.raises(FlashTalkError, match=r"^memory resident:3: a number of blocks, 0 or more"):
        RenderSpec.from_json(text)


def test_a_number_that_json_cannot_say_is_refused():
    with pytest.raises(FlashTalkError, match="NaN or infinite; use finite numbers"):
        replace(FULL, start_s=math.inf).to_json()


def test_a_lora_may_carry_a_strength():
    assert LoraSpec.parse("a:b.safetensors") == LoraSpec("a:b.safetensors", 1.0)
    assert LoraSpec.parse("a:b.safetensors:0.8") == LoraSpec("a:b.safetensors", 0.8)
    assert LoraSpec.parse("b.safetensors:abc") == LoraSpec("b.safetensors:abc", 1.0)
    assert LoraSpec.parse("b.safetensors:-1") == LoraSpec("b.safetensors", -1.0)


def test_a_spec_is_a_short_line():
    long = "n" * 5000
    spec = replace(FULL, portrait=long, prompt=long, speakers=(Speaker(audio=long, mask=long),))
    for each in (
        spec,
        *spec.speakers,
        LoraSpec(long),
        ModelSpec(name=long),
        FramesSpec(upscale=long),
    ):
        assert len(repr(each)) < 300


@pytest.mark.parametrize("strength", ["abc", "", "0,8"])
def test_the_strength_of_a_lora_that_is_there_has_to_be_a_number(tmp_path, strength):
    path = tmp_path / "style.safetensors"
    path.touch()
    with pytest.raises(InvalidInputError) as caught:
        LoraSpec.parse(f"{path}:{strength}")
    assert str(caught.value) == (
        f"lora {path}: strength {strength!r}: use a number, such as 0.8, or leave the colon out"
    )
    assert caught.value.subject == "lora_strength"
    other = tmp_path / f"style.safetensors:{strength}"
    other.touch()
    assert LoraSpec.parse(str(other)) == LoraSpec(str(other))
