"""What Model from Native takes and refuses; what ComfyUI does with it is in `tests/comfyui`."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from .native_parts import native_parts, patcher_of, refusals

TEMPLATE = Path(__file__).parents[2] / "workflows" / "api" / "8_native_model.json"

pytestmark = pytest.mark.cpu


@pytest.fixture
def parts(pack, kept_models):
    if "native" not in kept_models:
        kept_models["native"] = native_parts(pack)
    found = dict(kept_models["native"])
    return found | {"model": patcher_of(pack, found["model"].model)}


@pytest.fixture
def described(pack, parts):
    return pack.run("ModelFromNative", **parts).args[0]


def encoded(pack):
    """Return a portrait whose prompt and image were encoded elsewhere."""
    conditioning = [[torch.zeros(1, 7, 64), {}]]
    output = SimpleNamespace(penultimate_hidden_states=torch.zeros(1, 257, 64))
    return pack.reference(conditioning=conditioning, clip_vision_output=output)


def test_sizes_are_those_of_the_parts(pack, described, model):
    found, own = described.checkpoint.config, model.checkpoint.config
    assert (found.dit, found.audio) == (own.dit, own.audio)
    assert found.vae.latent_std == pytest.approx(own.vae.latent_std)
    assert repr(described) == "FlashTalk model ComfyUI's MODEL: run by ComfyUI on cpu"


def test_the_vae_is_read_from_the_part(pack, described, parts):
    load = described.checkpoint.load
    vae = load(pack["flashtalk_core.models.vae.model"].VideoVAE, torch.device("cpu"), torch.float32)
    assert torch.equal(vae.conv1.weight, parts["vae"].first_stage_model.conv1.weight)


def test_a_render_of_it_can_be_planned(pack, described):
    render = pack.frames(described, reference=encoded(pack))
    assert render.plan.is_repeatable
    assert render.plan.placement.memory.num_resident is None


def test_a_lora_makes_another_render_and_unknown_patches_make_one_that_is_not_kept(pack, parts):
    patcher = parts["model"]

    def plan():
        model = pack.run("ModelFromNative", **parts).args[0]
        return pack.frames(model, reference=encoded(pack)).plan

    plain = plan().fingerprint()
    assert plan().fingerprint() == plain
    patcher.patches = {"diffusion_model.blocks.0.ffn.0.weight": [(0.5, torch.ones(3), 1.0)]}
    lora = plan().fingerprint()
    patcher.patches = {"diffusion_model.blocks.0.ffn.0.weight": [(0.7, torch.ones(3), 1.0)]}
    assert len({plain, lora, plan().fingerprint()}) == 3
    patcher.model_options["transformer_options"]["optimized_attention_override"] = print
    unknown = plan()
    assert not unknown.is_repeatable
    (note,) = pack["flashtalk_core.engine.notes"].model_notes(unknown.checkpoint)
    assert note.startswith("MODEL with optimized_attention_override: whether")


def template_notes(pack, parts, **settings):
    """Return the notes of a render with the template's files, LoRA and sampler, and those."""
    prompt = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    nodes = {node["class_type"]: node["inputs"] for node in prompt.values()}
    parts["model"].cached_patcher_init = (print, (nodes["UNETLoader"]["unet_name"], {}))
    parts["model"].patches = {"diffusion_model.blocks.0.ffn.0.weight": [(1.0, torch.ones(3), 1.0)]}
    sampler = nodes["FlashTalk_ChunkSampler"]
    given = {name: value for name, value in sampler.items() if not isinstance(value, list)}
    described = pack.run("ModelFromNative", **parts).args[0]
    inputs = {"model": described, "speech": pack.speech(), "reference": encoded(pack)}
    plan = pack.run("ChunkSampler", **inputs, **given | settings).args[0].plan
    notes = pack["flashtalk_core.engine.notes"].render_notes(plan)
    return plan, [note for note in notes if not note.startswith("size ")]


def test_the_template_is_not_told_of_a_training_that_no_loader_tells(pack, parts):
    plan, notes = template_notes(pack, parts)
    assert (plan.chunk.num_frames, plan.request.sampling.rule) == (81, "euler")
    assert not any("trained with" in note or "rule" in note for note in notes), notes
    plan, notes = template_notes(pack, parts, rule="the model's own")
    assert plan.request.sampling.rule == "renoise"
    (note,) = [note for note in notes if note.startswith("rule renoise: ")]
    assert note.endswith("InfiniteTalk's need rule 'euler'")


def test_a_patch_whose_loader_tells_its_file_is_known_by_it(pack, parts):
    patch = parts["model_patch"] = patcher_of(pack, parts["model_patch"].model)
    patch.cached_patcher_init = (print, ("patches/wan2.1_infiniteTalk_single_fp16.safetensors",))
    plan, notes = template_notes(pack, parts, rule="the model's own")
    assert plan.request.sampling.rule == "euler"
    assert not any("trained with" in note or "InfiniteTalk without" in note for note in notes), (
        notes
    )
    _plan, notes = template_notes(pack, parts, chunk_frames=33, motion_frames=5)
    assert any(note.endswith("was trained with 81 and 9") for note in notes)
    parts["model"].patches = {}
    bare = pack.run("ModelFromNative", **parts).args[0].checkpoint
    (note,) = pack["flashtalk_core.engine.notes"].model_notes(bare)
    assert note.startswith("InfiniteTalk without a LoRA: ")


def test_matrices_that_a_loader_keeps_packed_count_by_what_they_compute(pack, parts, monkeypatch):
    layer = parts["model"].model.diffusion_model.blocks[0].ffn[0]
    plain = pack.run("ModelFromNative", **parts).args[0].checkpoint
    packed = nn.Parameter(torch.zeros(384, 99, dtype=torch.uint8), requires_grad=False)
    monkeypatch.setitem(layer._parameters, "weight", packed)
    found = pack.run("ModelFromNative", **parts).args[0].checkpoint
    assert found.config == plain.config
    assert found.sources.identity != plain.sources.identity
    assert not found.sources.unidentified


def test_other_parts_are_refused_by_name_and_with_a_remedy(pack, parts):
    for given, name, says in refusals(pack, parts):
        message = pack.error("ModelFromNative", **parts | given)
        assert message.startswith(f"FlashTalk Model from Native, input '{name}': {says}"), message
        assert "; " in message


def test_nodes_that_need_the_own_transformer_refuse_it(pack, described):
    folder = Path(pack["folder_paths"].models_dir) / "loras"
    folder.mkdir(parents=True)
    (folder / "a.safetensors").touch()
    lora = pack.error("LoRA", model=described, lora="a.safetensors")
    assert "LoRA a.safetensors on a native model" in lora
    assert "LoraLoaderModelOnly" in lora
    live = pack.error("Live", model=described, reference=encoded(pack))
    batch = pack.error("Batch", model=described, manifest="any.csv")
    for message in (live, batch):
        assert "native model: " in message
        assert "use FlashTalk Model Loader" in message
    bare = {"model": described, "speech": pack.speech(), "reference": pack.reference()}
    assert "connect it to CLIP Text Encode" in pack.error("ChunkSampler", **bare)
