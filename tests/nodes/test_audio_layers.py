"""InfiniteTalk's audio layers in the Model Loader: found, chosen, or missing."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.weights.discovery.infinite_talk import defaults_of

pytestmark = pytest.mark.cpu

WORKFLOWS = Path(__file__).parents[2] / "workflows" / "api"
BASE = "wan2.1_i2v_480p_14B_fp16.safetensors"
LAYERS = "wan2.1_infiniteTalk_single_fp16.safetensors"
AUTO = dict.fromkeys(("vae", "text_encoder", "clip_vision", "audio_encoder"), "auto")


@pytest.fixture
def models(pack, tmp_path):
    """The tiny model in two halves, in ComfyUI's folders."""
    tiny = pack["nodes.host.model_files"]
    files = tiny.find_model_files(tiny.resolve_model("tiny"))
    home = tmp_path / "models"
    for kind in ("diffusion_models", "model_patches", "vae", "text_encoders", "clip_vision"):
        (home / kind).mkdir(parents=True)
    tensors = load_file(files.dit[0])
    layers = {name: value for name, value in tensors.items() if "audio" in name or "norm_x" in name}
    base = {name: value for name, value in tensors.items() if name not in layers}
    save_file(base, home / "diffusion_models" / BASE)
    save_file(layers, home / "model_patches" / LAYERS)
    settings = json.loads((files.root / "flashtalk.json").read_text())
    for key in ("chunk", "sampling", "name"):
        del settings[key]
    (home / "diffusion_models" / "flashtalk.json").write_text(json.dumps(settings))
    places = {
        "vae/wan_2.1_vae.safetensors": files.vae,
        "text_encoders/umt5-xxl-enc-bf16.safetensors": files.text,
        "text_encoders/spiece.model": files.tokenizer,
        "clip_vision/clip_vision_h.safetensors": files.clip,
        "wav2vec2/wav2vec2-chinese-base_fp16.safetensors": files.audio,
    }
    for name, source in places.items():
        (home / name).parent.mkdir(exist_ok=True)
        shutil.copy(source, home / name)
    return home


def used(found):
    return [source.name for source in found.checkpoint.sources.dit]


@pytest.mark.parametrize("model", ["auto", BASE])
@pytest.mark.parametrize("layers", ["auto", LAYERS])
def test_a_transformer_without_any_gets_them(pack, models, model, layers):
    found = pack.run("ModelLoader", model=model, audio_layers=layers).args[0]
    assert used(found) == [BASE, LAYERS]
    assert found.checkpoint.config.name == "InfiniteTalk"
    assert found.spec.audio_layers == layers


def test_the_bundled_model_has_its_own(pack, models):
    assert len(used(pack.run("ModelLoader").args[0])) == 1


def test_the_menu_lists_patches_and_files_of_that_name(pack, models):
    (models / "model_patches" / "other.safetensors").touch()
    (models / "diffusion_models" / "Wan2_1-InfiniteTalk-Single_fp8_KJ.safetensors").touch()
    inputs = pack.nodes["FlashTalk_ModelLoader"].GET_SCHEMA().inputs
    assert next(each.options for each in inputs if each.id == "audio_layers") == [
        "auto",
        "none",
        "Wan2_1-InfiniteTalk-Single_fp8_KJ.safetensors",
        "other.safetensors",
        LAYERS,
    ]


def test_what_is_missing_is_said_before_the_run_at_its_input(pack, models):
    validate = pack.nodes["FlashTalk_ModelLoader"].validate_inputs
    assert validate(**AUTO, model=BASE) is True  # saved before there was such an input
    assert validate(**AUTO, model=BASE, audio_layers="auto") is True
    assert validate(**AUTO, model=BASE, audio_layers="") is True
    text = str(validate(**AUTO, model=BASE, audio_layers="none"))
    assert text.startswith("input 'model': ")
    assert "without audio layers, which cannot follow speech" in text
    text = str(validate(**AUTO, model=BASE, audio_layers="gone.safetensors"))
    gone = models / "model_patches" / "gone.safetensors"
    assert text == (
        f"input 'audio_layers': audio layers {gone}: no such file; choose another or put it back"
    )


def test_a_render_says_how_it_was_trained_and_what_it_needs(pack, models):
    given = {"model": pack.run("ModelLoader", model="auto").args[0]}
    given |= {"speech": pack.speech(), "reference": pack.reference()}
    notes = [
        "; ".join(pack["flashtalk_core.engine.notes"].render_notes(chunks.args[0].plan))
        for chunks in (
            pack.run("ChunkSampler", **given),
            pack.run("ChunkSampler", **given, chunk_frames=81, motion_frames=9),
        )
    ]
    assert "InfiniteTalk was trained with 81 and 9" in notes[0]
    assert "was trained with" not in notes[1]
    assert all("shift 5: InfiniteTalk's own is 3" in each for each in notes)
    assert all("InfiniteTalk without a LoRA: " in each for each in notes)


def test_the_template_has_the_numbers_of_this_model(pack, models, make):
    """What its widgets say is what the model's own settings are, so that nothing warns."""
    prompt = json.loads((WORKFLOWS / "2b_infinitetalk.json").read_text(encoding="utf-8"))
    (sampler,) = (
        node["inputs"] for node in prompt.values() if node["class_type"] == "FlashTalk_ChunkSampler"
    )
    model = pack.run("ModelLoader", model=BASE, audio_layers=LAYERS).args[0]
    given = {name: value for name, value in sampler.items() if not isinstance(value, list)}
    parts = {"model": model, "speech": pack.speech(), "reference": pack.reference()}
    plan = pack.run("ChunkSampler", **parts, **given).args[0].plan
    config = model.checkpoint.config
    assert plan.chunk == config.chunk
    assert (plan.chunk.num_frames, plan.chunk.num_motion_frames) == (81, 9)
    assert asdict(plan.request.sampling) == asdict(config.sampling) | {"seed": given["seed"]}


@pytest.mark.parametrize("name", ["ChunkSampler", "Live"])
def test_tooltips_name_the_length_of_chunk_that_each_model_was_trained_with(pack, name):
    inputs = pack.nodes[f"FlashTalk_{name}"].GET_SCHEMA().inputs
    (tooltip,) = (each.tooltip for each in inputs if each.id == "chunk_frames")
    other = defaults_of([LAYERS])["chunk"]["num_frames"]
    wanted = f"as trained: {ChunkConfig().num_frames} (FlashTalk) or {other} (InfiniteTalk)"
    assert wanted in tooltip


def test_a_live_session_has_the_motion_frames_of_its_model(pack, models, make):
    plans = pack["nodes.graph.session_plan"]
    values = {"seed": 0, "steps": 4, "shift": 3.0, "colour_strength": 1.0, "chunk_frames": 81}
    reference = pack.reference()

    def chunk_of(model):
        settings = plans.sampler_settings(reference, values)
        describe = pack["nodes.graph.render_plan"].describe_render
        return describe(model, plans.unknown_speech(), reference, settings).plan.chunk

    model = pack.run("ModelLoader", model=BASE, audio_layers=LAYERS).args[0]
    assert chunk_of(model) == model.checkpoint.config.chunk
    assert chunk_of(pack.run("ModelLoader").args[0]).num_motion_frames == 5
    message = pack.error("Live", model=model, reference=reference, chunk_frames=9)
    assert message.startswith("FlashTalk Live, input 'chunk_frames': motion frames 9: need 1, 5, 9")
