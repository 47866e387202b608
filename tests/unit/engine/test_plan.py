"""Plans: a fingerprint of everything that decides the image, and nothing else."""

import itertools
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image

from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.config.networks import VAEConfig
from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.engine import plan as planning
from flashtalk_core.engine.plan import PlannedSpeaker, _drawn_by, _sampled, fingerprint
from flashtalk_core.engine.request import PromptChange
from flashtalk_core.media.audio.info import AudioInfo
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.placement.memory_plan import MemoryPlan
from flashtalk_core.placement.place import Placement
from flashtalk_core.weights.lora.merge import LoraFile

pytestmark = pytest.mark.cpu

CPU = torch.device("cpu")

OTHERS = {
    "picture": {"image_seed": 1},
    "sound": {"audio_seed": 1},
    "prompt": {"prompt": "bye"},
    "change": {"prompt_changes": (PromptChange(1, "a"),)},
    "later change": {"prompt_changes": (PromptChange(2, "a"),)},
    "changed prompt": {"prompt_changes": (PromptChange(1, "b"),)},
    "context": {"context": torch.zeros(2, 64)},
    "other context": {"context": torch.ones(2, 64)},
    "tokens": {"clip_tokens": torch.zeros(1, 257, 64)},
    "size": {"size_px": (32, 48)},
    "fit": {"fit": "pad"},
    "seed": {"seed": 5},
    "steps": {"steps": 2},
    "shift": {"shift": 4.0},
    "rule": {"rule": "renoise"},
    "colour": {"colour_strength": 0.5},
    "area": {"colour_area": "no-mouth"},
    "joins": {"join_frames": 4},
    "longer joins": {"join_frames": 8},
    "mouth": {"mouth_strength": 0.5},
    "chunk": {"chunk": ChunkConfig(num_frames=41)},
    "motion": {"chunk": ChunkConfig(num_motion_frames=9)},
    "decoding": {"num_decode_latents": 2},
    "dtype": {"placement": Placement(CPU, torch.bfloat16)},
    "decoder's device": {"placement": Placement(CPU, torch.float32, torch.device("meta"))},
    "device": {"placement": Placement(torch.device("meta"), torch.float32)},
    "8-bit": {"placement": Placement(CPU, torch.float32, memory=MemoryPlan(float8=True))},
    "row_tiles": {"placement": Placement(CPU, torch.float32, memory=MemoryPlan(row_tiles=True))},
    "kernel": {"attention": "sdpa"},
    "fused": {"placement": Placement(CPU, torch.float32, kernel_options=KernelOptions())},
}


def test_every_setting_counts(make_plan):
    plans = {name: make_plan(**given) for name, given in OTHERS.items()} | {"none": make_plan()}
    found = {name: plan.fingerprint() for name, plan in plans.items()}
    same = [(a, b) for a, b in itertools.combinations(found, 2) if found[a] == found[b]]
    assert same == []


@pytest.mark.parametrize(("name", "other"), [("colour_area", "no-mouth"), ("join_frames", 4)])
def test_what_is_as_the_authors_do_leaves_older_fingerprints_as_they_were(make_plan, name, other):
    assert name not in _sampled(SamplingConfig())
    assert name not in _drawn_by(make_plan().checkpoint.config)["sampling"]
    assert _sampled(SamplingConfig(**{name: other}))[name] == other


def test_blocks_on_the_host_do_not_count(make_plan):
    place = Placement(CPU, torch.float32, memory=MemoryPlan(num_resident=2, reason="it fits"))
    assert make_plan(placement=place).fingerprint() == make_plan().fingerprint()


def test_a_lora_and_its_strength_count(make_plan, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"1")
    plan = make_plan()
    found = {plan.fingerprint()}
    for strength in (0.5, 1.0):
        checkpoint = replace(plan.checkpoint, loras=(LoraFile(path, strength),))
        found.add(replace(plan, checkpoint=checkpoint).fingerprint())
    assert len(found) == 3


@pytest.mark.parametrize(
    ("module", "distribution"),
    [
        ("fa3_fwd_interface", "fa3_fwd"),
        ("flash_attn_interface", "flash_attn_3"),
        ("flash_attn", "flash_attn"),
        ("sageattention", "sageattention"),
    ],
)
def test_versions_of_attention_packages_count(
    make_plan, monkeypatch, tmp_path, module, distribution
):
    plan = make_plan()
    planning._version.cache_clear()
    found = {plan.fingerprint()}
    (tmp_path / f"{module}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    info = tmp_path / f"{distribution}-1.dist-info"
    info.mkdir()
    for version in ("1.0", "1.1"):
        (info / "METADATA").write_text(f"Name: {distribution}\nVersion: {version}\n")
        planning._version.cache_clear()  # as in another process
        found.add(plan.fingerprint())
    planning._version.cache_clear()
    assert len(found) == 3


def test_equal_settings_give_equal_fingerprints(make_plan):
    assert make_plan().fingerprint() == make_plan().fingerprint()
    chunk = make_plan().checkpoint.config.chunk
    assert make_plan(chunk=chunk).fingerprint() == make_plan().fingerprint()


def test_the_name_of_audio_in_memory_does_not_count(make_plan):
    plan = make_plan()
    source = plan.audio.source
    other = probe_audio(AudioArray("another name", source.samples.copy(), source.rate_hz))
    assert replace(plan, speakers=(PlannedSpeaker(other),)).fingerprint() == plan.fingerprint()


def test_weights_that_change_on_disk_count(make_plan, tmp_path):
    plan = make_plan()
    vae = tmp_path / "vae.safetensors"
    vae.write_bytes(b"1")
    file = replace(plan.checkpoint.sources.vae[0], path=vae)
    sources = replace(plan.checkpoint.sources, vae=(file,))
    plan = replace(plan, checkpoint=replace(plan.checkpoint, sources=sources))
    before = plan.fingerprint()
    vae.write_bytes(b"12")
    assert plan.fingerprint() != before


def test_shapes_names_and_values_change_the_fingerprint():
    grey, tall = torch.zeros(3, 32, 48), torch.zeros(3, 48, 32)
    wide, high = Image.new("RGB", (4, 2)), Image.new("RGB", (2, 4))
    values = [
        {"a": grey}, {"a": tall}, {"a": grey + 1}, {"b": grey}, {"a": grey, "steps": 1},
        {"a": grey, "steps": 2}, {"a": wide}, {"a": high}, {"a": None}, {"a": "None"}, {},
    ]  # fmt: skip
    found = [fingerprint(**each) for each in values]
    assert len(set(found)) == len(values)


def with_autoencoder(plan, **sizes):
    config = replace(plan.checkpoint.config, vae=VAEConfig(**sizes))
    return replace(plan, checkpoint=replace(plan.checkpoint, config=config))


def test_a_model_without_a_small_decoder_counts_as_before_there_were_any(make_plan, monkeypatch):
    plan, settings = with_autoencoder(make_plan()), {}
    found = plan.fingerprint()
    monkeypatch.setattr(planning, "fingerprint", lambda **given: settings.update(given) or "")
    plan.fingerprint()
    older = asdict(VAEConfig())
    for name in ("light_widths", "light_blocks", "light_patch"):
        del older[name]
    assert found == fingerprint(**settings | {"model": settings["model"] | {"vae": older}})


def test_all_of_a_small_decoder_counts(make_plan):
    others = [{}, {"light_widths": (4, 4, 4, 8)}, {"light_blocks": 2}, {"light_patch": 2}]
    light = {"light_widths": (4, 4, 4, 4)}
    plans = [make_plan(), *(with_autoencoder(make_plan(), **light | each) for each in others)]
    assert len({plan.fingerprint() for plan in plans}) == len(plans)


def test_the_order_of_names_and_the_memory_layout_do_not_count():
    grey = torch.arange(12.0).reshape(3, 4)
    assert fingerprint(a=1, b=grey) == fingerprint(b=grey.T.contiguous().T, a=1)


def test_the_portrait_is_fitted_to_the_video(make_plan):
    fitted = make_plan(size_px=(32, 48)).fitted_image()
    assert (fitted.shape, fitted.dtype) == ((3, 32, 48), torch.float32)
    assert -1 <= fitted.min() < fitted.max() <= 1
    assert np.isfinite(fitted.numpy()).all()


@pytest.fixture
def on_cuda(make_plan, monkeypatch):
    """A plan for a GPU that this machine need not have."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "a GPU")
    return make_plan(placement=Placement(torch.device("cuda"), torch.float32))


def by_threads(plan, monkeypatch):
    found = set()
    for count in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
        found.add(plan.fingerprint())
    return len(found)


def test_cpu_threads_change_the_fingerprint_on_a_cpu(make_plan, monkeypatch):
    assert by_threads(make_plan(), monkeypatch) == 3


def test_cpu_threads_change_the_fingerprint_where_the_decoder_is_on_the_cpu(make_plan, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "a GPU")
    place = Placement(torch.device("cuda"), torch.float32, vae_device=CPU)
    assert by_threads(make_plan(placement=place), monkeypatch) == 3


def test_cpu_threads_do_not_change_the_fingerprint_on_a_gpu(on_cuda, monkeypatch):
    assert by_threads(on_cuda, monkeypatch) == 1


def test_what_a_cpu_can_do_counts(make_plan, monkeypatch):
    before = make_plan().fingerprint()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another")
    assert make_plan().fingerprint() != before


def test_the_matmul_precision_changes_the_fingerprint(make_plan):
    before, usual = make_plan().fingerprint(), torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert make_plan().fingerprint() != before
    finally:
        torch.set_float32_matmul_precision(usual)


def test_the_kind_of_gpu_and_its_libraries_count(on_cuda, monkeypatch):
    found = [on_cuda.fingerprint()]
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 1)
    found.append(on_cuda.fingerprint())
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "another GPU")
    found.append(on_cuda.fingerprint())
    assert len(set(found)) == 3


def test_a_switch_that_pytorch_does_not_tell_stops_nothing(make_plan, monkeypatch):
    def refuse():
        raise RuntimeError("mix of the legacy and new APIs")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuse)
    assert make_plan().fingerprint()


def test_a_render_of_audio_that_cannot_be_identified_is_not_repeatable(make_plan, growing_audio):
    plan = make_plan()
    assert plan.is_repeatable
    growing = AudioInfo.growing(growing_audio(np.zeros((1, 1600), np.float32), 16_000, 640))
    assert not replace(plan, speakers=(PlannedSpeaker(growing),)).is_repeatable
