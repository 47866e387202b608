"""A light autoencoder in the place of a model's own: frames, motion frames, and who makes them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from flashtalk_core.config.light_vae import LightVAEConfig
from flashtalk_core.config.networks import VAEConfig
from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.engine.build import build_avatar
from flashtalk_core.engine.plan import working_bytes
from flashtalk_core.engine.resolve import Inputs, LocalHost, _sampling, resolve
from flashtalk_core.engine.session import run_session
from flashtalk_core.engine.spec import ModelSpec, RenderSpec, SamplingSpec
from flashtalk_core.errors import FlashTalkError, InvalidInputError
from flashtalk_core.media.audio.dialogue.analysis import open_analysis
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.models.vae.light_vae import LightVAE
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.placement.memory_sizes import model_sizes
from flashtalk_core.placement.provider import FixedNetworks
from flashtalk_core.placement.residency import CachedNetworks
from flashtalk_core.runtime.job import pack_plan, read_job, unpack_plan

pytestmark = pytest.mark.cpu

TINY = Path(__file__).parents[3] / "flashtalk_core" / "assets" / "tiny" / "vae.safetensors"
WIDTHS = (4, 4, 4, 4)
LIGHT = {
    "TAE": LightVAEConfig(
        vae=VAEConfig(light_widths=WIDTHS, light_blocks=1), encoder_width=4, encoder_blocks=1
    ),
    "LightVAE": LightVAEConfig(vae=VAEConfig(dim=4, num_res_blocks=1)),
}
PLAIN = SamplingConfig(steps=1)


class Watched(FixedNetworks):
    """Networks that note which of them was used."""

    def __init__(self, *networks):
        super().__init__(*networks)
        self.used = []

    def acquire(self, kind):
        self.used.append(kind)
        return super().acquire(kind)


@pytest.fixture(params=LIGHT)
def light(request, toy):
    torch.manual_seed(1)
    return LightVAE(LIGHT[request.param]).eval()


def run(toy, light, motion_vae, state=None):
    """Return frames, the state after them, the latents they are of and the networks used."""
    networks, kept = Watched(toy.dit, toy.vae, light), []
    hooks = [
        each.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0].clone()))
        for each in (toy.vae.decoder, toy.dit)
    ]
    model = replace(toy.model, networks=networks, motion_vae=motion_vae)
    frames, after = replace(toy, model=model).run(state, PLAIN)
    for hook in hooks:
        hook.remove()
    return frames, after, kept, networks.used


def test_full_makes_the_motion_frames_of_the_model_s_own(toy, light):
    own, expected, _, _ = run(toy, light, None)
    shown, state, _, _ = run(toy, light, "full")
    assert torch.equal(state.motion_frames, expected.motion_frames)
    assert shown.shape == own.shape
    assert not torch.allclose(shown, own, atol=1e-2)
    _later, state, _, _ = run(toy, light, "full", state)
    _, expected, _, _ = run(toy, light, None, expected)
    assert torch.equal(state.motion_frames, expected.motion_frames)


@pytest.mark.parametrize("motion_vae", ["shown", "light"])
def test_shown_frames_become_motion_frames(toy, light, motion_vae):
    shown, state, _, used = run(toy, light, motion_vae)
    assert torch.equal(state.motion_frames[0], shown[:, -5:])
    assert VideoVAE not in used
    full, _, _, _ = run(toy, light, "full")
    assert torch.equal(full, shown)


@pytest.mark.parametrize(("motion_vae", "encodes"), [("shown", "own"), ("light", "light")])
def test_who_encodes_motion_frames(toy, light, motion_vae, encodes):
    _, state, _, _ = run(toy, light, motion_vae)
    _, _, kept, used = run(toy, light, motion_vae, state)
    with torch.no_grad():
        coder = toy.vae if encodes == "own" else light.coder
        expected = coder.encode(state.motion_frames)
    motion = kept[0][:, :16, :2] if kept[0].shape[1] > 16 else kept[0][:, :, :2]
    torch.testing.assert_close(motion, expected, atol=1e-6, rtol=1e-6)
    assert (VideoVAE in used) == (encodes == "own")


def spec_of(vae=TINY, motion_vae="full", **sampling):
    return RenderSpec(
        size_px=(32, 48),
        prompt="hello",
        sampling=SamplingSpec(steps=1, seed=3, **sampling),
        model=ModelSpec(light_vae=str(vae)),
        motion_vae=motion_vae,
    )


def plan_of(spec):
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((1, 32_000)).astype(np.float32) * 0.1
    image = Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8))
    inputs = Inputs(image=image, audio_inputs=(AudioArray("noise", noise, 16_000),))
    return resolve(spec, LocalHost(), inputs)


def render(plan):
    networks = CachedNetworks(plan.checkpoint, plan.placement)
    with open_analysis(plan.voices, 16_000) as samples:
        source = build_avatar(plan, samples, networks)
        return torch.cat(list(run_session(source, plan.audio)))


@pytest.mark.parametrize("motion_vae", ["full", "shown"])
def test_the_bundled_decoder_as_a_file_makes_the_same_video(tmp_path, motion_vae):
    state = {name: value for name, value in load_file(TINY).items() if name.startswith("decoder.")}
    save_file(state, tmp_path / "taew2_1.safetensors")
    expected = render(plan_of(spec_of("none")))
    assert expected.shape == (50, 32, 48, 3)
    found = render(plan_of(spec_of(tmp_path / "taew2_1.safetensors", motion_vae)))
    assert torch.equal(found, expected)


def test_fingerprints_change_with_a_light_autoencoder_only():
    plain, full, shown = (
        plan_of(each) for each in (spec_of("none"), spec_of(), spec_of(motion_vae="shown"))
    )
    marks = {each.fingerprint() for each in (plain, full, shown)}
    assert len(marks) == 3
    assert replace(plain, motion_vae="shown").fingerprint() == plain.fingerprint()


def test_memory_is_counted():
    plain, light = plan_of(spec_of("none")), plan_of(spec_of())
    assert working_bytes(LightVAE, light) > 0
    sizes = model_sizes(plain.checkpoint.config, (32, 48), plain.chunk, torch.float32)
    network = LightVAE(light.checkpoint.light_vae.config)
    weights = sum(each.nbytes for each in network.parameters())
    config = light.checkpoint.light_vae.config
    assert sizes.with_light_vae(config).others - sizes.others == weights


def test_processes_that_render_get_it():
    plan = plan_of(spec_of(motion_vae="shown"))
    text, blobs = pack_plan(plan)
    blobs = [bytearray(blob) for blob in blobs]
    found = unpack_plan(read_job(text), blobs, torch.device("cpu"))
    assert found.motion_vae == "shown"
    assert found.checkpoint.light_vae.path == TINY


@pytest.mark.parametrize(
    ("vae", "motion_vae", "subject", "said"),
    [
        ("none", "shown", "motion_vae", "no light autoencoder is given"),
        (TINY, "light", "motion_vae", "holds a decoder alone"),
        ("gone.safetensors", "full", "light_vae", "no such file"),
        (" ", "full", "light_vae", "no name"),
        (Path(__file__), "full", "light_vae", "test_light_vae.py"),
    ],
)
def test_what_cannot_be_used_is_refused_before_weights_load(vae, motion_vae, subject, said):
    with pytest.raises(FlashTalkError) as caught:
        plan_of(spec_of(vae, motion_vae))
    assert caught.value.subject == subject
    assert said in str(caught.value)


def test_joins_are_not_faded_from_frames_that_were_not_shown():
    with pytest.raises(InvalidInputError, match="join frames 4: by motion frames 'full'") as caught:
        plan_of(spec_of(join_frames=4))
    assert caught.value.subject == "motion_vae"
    for spec in (spec_of("none", join_frames=4), spec_of(motion_vae="shown", join_frames=4)):
        assert plan_of(spec).request.sampling.join_frames == 4


@pytest.mark.parametrize(("motion_vae", "expected"), [("full", 0), ("shown", 4)])
def test_a_model_s_own_fading_goes_where_it_is_not_possible(motion_vae, expected):
    found = _sampling(spec_of(motion_vae=motion_vae), SamplingConfig(join_frames=4))
    assert (found.join_frames, found.seed) == (expected, 3)


def test_a_spec_keeps_it():
    spec = spec_of(motion_vae="light")
    assert RenderSpec.from_json(spec.to_json()) == spec
    with pytest.raises(InvalidInputError, match="motion_vae"):
        RenderSpec.from_json('{"version": 1, "motion_vae": "half"}')
