"""Golden numbers of two speakers through the plan and the denoiser that a render has."""

import pytest
import torch
from PIL import Image

from flashtalk_core.cli.rendering.render_options import EXAMPLE
from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.engine.chunk import SpeakerPlaces, TransformerDenoiser
from flashtalk_core.engine.events import NO_EVENTS
from flashtalk_core.engine.reference import EncodedPortrait
from flashtalk_core.engine.resolve import Inputs, LocalHost, resolve
from flashtalk_core.engine.spec import PlacementSpec, RenderSpec, Speaker
from flashtalk_core.parity.bounds import Placement, compare
from flashtalk_core.parity.golden import read_golden
from flashtalk_core.parity.networks import build_dit
from flashtalk_core.placement.provider import FixedNetworks

pytestmark = pytest.mark.cpu

PLACE = Placement(torch.device("cpu"), torch.float32)
BOXES = ("0,16,64,176", "64,16,64,176")
"""The golden classes, in a portrait of twice the size."""


@pytest.fixture
def golden(request):
    return read_golden(request.config.rootpath / "tests" / "golden", "dit_two_speakers")


@pytest.fixture
def dit(request, golden):
    folder = request.config.rootpath / "tests" / "golden"
    return build_dit(golden if golden.weights else read_golden(folder, "dit"), PLACE)


@pytest.fixture
def plan(golden):
    height, width = golden["in.ref_target_masks"].shape[-2:]
    speech = str(EXAMPLE / "speech.wav")
    spec = RenderSpec(
        speakers=tuple(
            Speaker(audio=speech, mask=box, offset_s=index / 10) for index, box in enumerate(BOXES)
        ),
        speaker_routing="rotary",
        duration_s=0.5,
        size_px=(height, width),
        placement=PlacementSpec(device="cpu"),
    )
    portrait = Image.new("RGB", (2 * width, 2 * height))
    return resolve(spec, LocalHost(), Inputs(image=portrait))


def test_boxes_become_the_golden_classes(plan, golden):
    assert torch.equal(plan.speaker_masks(), golden["in.ref_target_masks"])


@torch.no_grad()
def test_the_steps_of_a_render_hear_two_speakers_as_the_golden_velocity_does(plan, golden, dit):
    """Noise and earlier steps are not recorded: every step starts from the golden latent."""
    found = {}
    latent = golden["in.latent"][None]
    dit.register_forward_pre_hook(lambda _, given: (latent, *given[1:]))
    dit.register_forward_hook(lambda _, given, out: found.update({float(given[1]): out}))
    speakers = SpeakerPlaces(plan.speaker_masks(), plan.routing)
    denoiser = TransformerDenoiser(FixedNetworks(dit), speakers=speakers)
    motion = latent[:, :, :1]
    portrait = EncodedPortrait(golden["in.condition"], golden["in.clip"], motion, colour=None)
    denoiser.denoise(
        denoiser.project(portrait, golden["in.text"]),
        golden["in.audio"],
        motion,
        SamplingConfig(steps=4, shift=5.0),
        lambda shape, device, dtype: torch.zeros(shape, dtype=dtype),
        NO_EVENTS,
    )
    velocity = found[float(golden["in.timestep"])]
    result = compare(
        "dit_two_speakers", "velocity", velocity, golden["out.velocity"], PLACE.module_bound
    )
    assert result.passed, result
