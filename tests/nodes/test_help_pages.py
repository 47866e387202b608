"""Help pages of the nodes, as the page asks for them: one in English, one for each language."""

import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from tests.unit.weights.light_files import tae

from .native_parts import native_parts, refusals

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "js" / "docs"
LANGUAGES = ("en", "zh")
INPUTS, OUTPUTS = ("Inputs", "Input", "输入"), ("Outputs", "Output", "输出")
FAULTS = ("When it fails", "报错怎么办")
"""Headings, English and Chinese."""


def pages_of(name):
    """Return where the page asks first; it looks elsewhere only after an error in its console."""
    return {language: PAGES / name / f"{language}.md" for language in LANGUAGES}


def points(text, headings):
    """Return the terms of the list below one of ``headings``: what stands before the colon."""
    for section in text.split("\n## ")[1:]:
        heading, _, body = section.partition("\n")
        if heading in headings:
            lines = [line for line in body.splitlines() if line.startswith("- ")]
            return [re.match("(?:`[^`]*`|[^`:\uff1a])*", line[2:])[0] for line in lines]
    raise AssertionError(f"no heading {headings[0]!r}")


def code_in(terms):
    return [name for term in terms for name in re.findall("`([^`]+)`", term)]


def input_ids(schema):
    """Return ids of all inputs, those of choices dotted, in the order of the page."""
    ids = []
    for each in schema.inputs:
        options = [option for option in getattr(each, "options", []) if hasattr(option, "inputs")]
        inner = [f"{each.id}.{sub.id}" for option in options for sub in option.inputs]
        ids += [each.id, *inner]
    return ids


@pytest.fixture
def schemas(pack):
    return {name: node.GET_SCHEMA() for name, node in pack.nodes.items()}


def test_every_node_has_a_page_in_both_languages_and_nothing_else_has(schemas):
    wanted = {path for name in schemas for path in pages_of(name).values()}
    assert {path for path in PAGES.rglob("*") if path.is_file()} == wanted


@pytest.mark.parametrize("path", sorted(PAGES.rglob("*.md")), ids=lambda path: path.parent.name)
def test_pages_fit_the_narrow_panel(path):
    """It cuts off what is too wide to wrap, tables above all."""
    text = path.read_text(encoding="utf-8")
    assert "|" not in re.sub("`[^`]*`", "", text)
    assert max(map(len, re.findall(r"`([^`\s]+)`", text)), default=0) <= 40


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_name_all_inputs_and_outputs_in_order(schemas, language):
    for name, schema in schemas.items():
        text = pages_of(name)[language].read_text(encoding="utf-8")
        assert code_in(points(text, INPUTS)) == input_ids(schema), name
        outputs = [each.display_name for each in schema.outputs]
        assert code_in(points(text, OUTPUTS)) == outputs, name


def test_chinese_pages_use_the_names_on_the_nodes(schemas):
    locale = ROOT / "locales" / "zh" / "nodeDefs.json"
    texts = json.loads(locale.read_text(encoding="utf-8"))
    for name in schemas:
        page = pages_of(name)["zh"].read_text(encoding="utf-8")
        terms = points(page, INPUTS) + points(page, OUTPUTS)
        entries = [*texts[name]["inputs"].values(), *texts[name]["outputs"].values()]
        missing = [e["name"] for e in entries if not any(e["name"] in term for term in terms)]
        assert not missing, name


def test_chinese_pages_mention_other_nodes_by_their_chinese_names():
    locale = ROOT / "locales" / "zh" / "nodeDefs.json"
    known = {node["display_name"] for node in json.loads(locale.read_text("utf-8")).values()}
    for path in PAGES.rglob("zh.md"):
        # In messages, which are English, names are between backticks.
        prose = re.sub("`[^`]*`", "", path.read_text(encoding="utf-8"))
        assert set(re.findall("“(FlashTalk [^”]+)”", prose)) <= known, path


def errors_of(pack, make, model, rendered):
    """Return a message for each error that the pages mention."""
    video = pack["comfy_api.latest"].InputImpl.VideoFromFile
    encoded = [[torch.zeros(1, 5, 8), {}]]
    custom = {"size": "custom", "size.width": 450, "size.height": 768}
    refused = {
        "ModelLoader": [{"model": "auto"}, {"device": "gpu:1"}, {"attention": "sage"}],
        "AudioEncode": [
            {"audio": make.audio(batch=2)},
            {"audio": make.audio(), "start": 99.0},
            {"audio": {"waveform": torch.full((1, 1, 9), torch.nan), "sample_rate": 16_000}},
        ],
        "Reference": [
            {"image": make.portrait(batch=4)},
            {"prompt_changes": "She smiles"},
            {"prompt_changes": "9: She smiles\n5: She looks serious"},
            {"prompt_changes": "5: She smiles", "conditioning": encoded},
            {"fit": "face"},
            custom,
        ],
        "ChunkSampler": [
            {"model": pack.run("ModelLoader", text_encoder="none").args[0]},
            {"model": pack.run("ModelLoader", clip_vision="none").args[0]},
            {"reference": pack.reference(conditioning=encoded)},
            {"motion_frames": 29, "chunk_frames": 29},
            {"chunk_frames": 34},
        ],
        "ParallelDecode": [{"device": "gpu:1"}, {"grid": "2x2"}, {"devices": "0,1"}],
        "StreamPreview": [{"filename_prefix": "../outside"}],
        "FramesToImages": [{"video": video(io.BytesIO())}, {"start": 99.0}],
    }
    whole = {"model": model, "speech": pack.speech(), "reference": pack.reference()}
    rest = {
        "Reference": {"image": make.portrait()},
        "ChunkSampler": whole,
        "ParallelDecode": {"chunks": pack.run("ChunkSampler", **whole).args[0]},
        "StreamPreview": {"frames": pack.frames(model)},
        "FramesToImages": {"video": video(str(rendered.path))},
    }
    found = [
        pack.error(name, **rest.get(name, {}) | given)
        for name, cases in refused.items()
        for given in cases
    ]
    return [
        *found,
        *errors_of_batches(pack, make, model),
        *errors_of_loras(pack, model),
        *errors_of_light_vaes(pack, model),
        *errors_of_stages(pack, model),
        *errors_of_sessions(pack, make, model),
        pack["flashtalk_core.media.image.faces.framing"].NO_FACE,
        *errors_of_native_models(pack),
        *errors_of_two_speakers(pack, make, model),
        error_of_size(pack),
        error_of_a_copy(pack),
    ]


def errors_of_two_speakers(pack, make, model):
    """Return what Two Speakers says without a voice, and the sampler of masks."""
    voices = {"speech": pack.speech(), "speech_2": pack.speech()}
    reference = pack.reference()
    width, height = reference.image.size
    half, corner = torch.zeros(2, 1, height, width)
    half[:, :, : width // 2], corner[:, :2, -2:] = 1, 1
    found = [pack.error("TwoSpeakers", speech=pack.speech())]
    masks = ((half, half), (torch.ones(1, 64, 64), half), (half, corner))
    shared = {"speech": pack.speech()}
    for given in (
        *(voices | {"mask_1": one, "mask_2": other, "start_2": 0.1} for one, other in masks),
        shared | {"turns": "1: 0-0.1, 2: 700-900"},
        shared | {"turns": "1: 0-0.1, 2: 0.1-0.2", "start_2": 1.0},
    ):
        speech = pack.run("TwoSpeakers", **given).args[0]
        found.append(pack.error("ChunkSampler", model=model, speech=speech, reference=reference))
    return found


def errors_of_loras(pack, model):
    """Return what LoRA says of a file of another model, and of another kind."""
    folder = Path(pack["folder_paths"].models_dir) / "loras"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"lora_unet_mid_block_1.alpha": torch.ones(())}, folder / "other.safetensors")
    names = ("lora_A.weight", "lora_B.weight", "dora_scale")
    tensors = {f"blocks.0.self_attn.q.{name}": torch.ones(1, 1) for name in names}
    save_file(tensors, folder / "dora.safetensors")
    names = ("other.safetensors", "dora.safetensors")
    return [pack.error("LoRA", model=model, lora=name) for name in names]


def errors_of_light_vaes(pack, model):
    """Return what Parallel Decode says of files that decode nothing here."""
    folder = Path(pack["folder_paths"].models_dir) / "vae_approx"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"layer": torch.ones(1)}, folder / "taew2_1.pth")
    save_file(tae((4, 4, 4, 4), 4, z_dim=48), folder / "taew2_2.safetensors")
    save_file(tae((4, 4, 4, 4), 0), folder / "decoder.safetensors")
    names = ("taew2_1.pth", "taew2_2.safetensors", "decoder.safetensors")
    chosen = {"chunks": pack.frames(model), "motion_vae": "light"}
    found = [pack.error("ParallelDecode", light_vae=name, **chosen) for name in names]
    faded = {"chunks": pack.frames(model, join_frames=4), "light_vae": names[-1]}
    return [*found, pack.error("ParallelDecode", **faded)]


def errors_of_stages(pack, model):
    """Return what Frame Stage says of models of other kinds, and of frames that are too large."""
    frames = pack.frames(model)
    larger = SimpleNamespace(rate_factor=1, size_px=lambda _: (12288, 7168), identity="larger")
    staged = pack["nodes.graph.render_plan"].staged_with
    both = SimpleNamespace(rate_factor=2)
    found = []
    for stages in ([larger], [larger, both]):
        with pytest.raises(pack["flashtalk_core.errors"].FlashTalkError) as caught:
            staged(frames, stages)
        found.append(str(caught.value))
    other = {name: object() for name in ("upscale_model", "interp_model")}
    refused = (pack.error("FrameStage", frames=frames, **{name: other[name]}) for name in other)
    return [*found, *refused, pack.error("FrameStage", frames=frames, scale=2.0)]


def errors_of_batches(pack, make, model):
    """Return what Batch says of a manifest and of lists that are none."""
    folder = Path(pack["folder_paths"].get_input_directory())
    folder.mkdir(exist_ok=True)
    (folder / "wrong.csv").write_text("audio,promt\na.wav,b\n")
    (folder / "empty.csv").write_text("image,audio\na.png,b.wav\nc.png,d.wav\n")
    lists = {"image": [make.portrait()] * 2, "audio": [make.audio()] * 3}
    return [
        pack.error("Batch", model=model, lists=tuple(lists), **lists),
        pack.error("Batch", model=model, manifest="wrong.csv"),
        pack.error("Batch", model=model, manifest="empty.csv"),
    ]


def errors_of_sessions(pack, make, model):
    """Return what Live says before a session begins."""
    whole = {"model": model, "reference": pack.reference()}
    changing = pack.reference(prompt_changes="5: She smiles")
    settings = pack["nodes.graph.session_settings"].SessionSettings
    values = {"source": "speech", "idle": "bank", "max_minutes": 1.0, "idle_minutes": 1.0}
    strict = settings.read({**values, "look_ahead": 0, "allow_slow": False})
    with pytest.raises(pack["flashtalk_core.errors"].FlashTalkError) as caught:
        strict.check_speed(1.94)
    return [
        str(caught.value),
        pack.error("Live", **whole | {"reference": changing}),
        pack.error("Live", **whole, opening=make.audio(61.0, 8_000)),
        pack.error("Live", **whole, vad=True),
    ]


def errors_of_native_models(pack):
    """Return what Model from Native and LoRA say of native models."""
    parts = native_parts(pack)
    errors = [pack.error("ModelFromNative", **parts | given) for given, *_ in refusals(pack, parts)]
    found = pack.run("ModelFromNative", **parts).args[0]
    return [*errors, pack.error("LoRA", model=found, lora="other.safetensors")]


def error_of_a_copy(pack):
    """Return what Example says of a pack that was copied without its files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack["nodes.example"], "EXAMPLE", ROOT / "missing")
        return pack.error("Example")


def error_of_size(pack):
    """Return what Frames to Images says of a part that is too large for any test."""
    with pytest.raises(pack["flashtalk_core.errors"].FlashTalkError) as caught:
        pack["nodes.graph.video_part"].check_memory(9000, (768, 448), 8.0)
    return str(caught.value)


def quoted_errors(text):
    """Return the messages a page explains."""
    return [match[1] for term in points(text, FAULTS) if (match := re.match("`([^`]+)`", term))]


def pattern_of(quoted):
    """Return what a message must match; ``...`` and numbers stand for any."""
    pattern = re.escape(quoted).replace(r"\.\.\.", ".*")
    return re.sub(r"\d+(\\\.\d+)?", r"[\\d.]+", pattern)


def test_messages_on_the_pages_are_those_of_the_nodes(pack, make, model, rendered, monkeypatch):
    for missing in ("sageattention", "cv2", "silero_vad"):
        monkeypatch.setitem(sys.modules, missing, None)
    messages = "\n".join(errors_of(pack, make, model, rendered))
    for path in PAGES.rglob("*.md"):
        quoted = quoted_errors(path.read_text(encoding="utf-8"))
        assert quoted, path
        for each in quoted:
            assert re.search(pattern_of(each), messages), f"{path}: nothing says {each!r}"
