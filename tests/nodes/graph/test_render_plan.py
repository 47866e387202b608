"""The graph and the command line say the same things in the same spec, and get the same plan."""

import wave
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.cpu

RATE_HZ = 16_000
SAMPLER = {
    "seed": 5, "steps": 2, "rule": "renoise", "shift": 3.0, "colour_strength": 0.5,
    "chunk_frames": 33, "motion_frames": 5, "colour_area": "no-mouth", "join_frames": 6,
}  # fmt: skip
OPTIONS = (
    *("--seed", "5", "--steps", "2", "--rule", "renoise", "--shift", "3"),
    *("--colour-strength", "0.5", "--mouth-strength", "2", "--start", "0.25", "--duration", "0.5"),
    *("--prompt", "She sings", "--prompt-at", "1.5", "She nods", "--size", "32x64"),
    *("--fit", "pad", "--device", "cpu", "--dtype", "bfloat16"),
    *("--colour-area", "no-mouth", "--join-frames", "6"),
)


def of_command_line(pack, *options):
    """Return spec and plan of ``render`` with ``options``."""
    parser = pack["flashtalk_core.cli.program"].build_parser(
        pack["flashtalk_core.cli.main"].PROGRAM
    )
    args = parser.parse_args(["render", *map(str, options)])
    render = pack["flashtalk_core.cli.rendering.command"]
    return render.read_spec(args), render.make_plan(args)[1]


@pytest.fixture
def files(tmp_path):
    """A portrait and a second of noise, as files and as ComfyUI hands them over."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (48, 40, 3), np.uint8)
    samples = (rng.standard_normal(RATE_HZ) * 3000).astype("<i2")
    Image.fromarray(pixels).save(tmp_path / "me.png")
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())
    image = torch.from_numpy(pixels.astype(np.float32) / 255)[None]
    waveform = torch.from_numpy(samples.astype(np.float32) / 2**15)[None, None]
    return tmp_path, image, {"waveform": waveform, "sample_rate": RATE_HZ}


def of_graph(pack, image, audio, **loader):
    model = pack.run("ModelLoader", device="cpu", dtype="bfloat16", **loader).args[0]
    given = {"mouth_strength": 2.0, "start": 0.25, "duration": 0.5}
    speech = pack.run("AudioEncode", audio=audio, **given).args[0]
    size = {"size": "custom", "size.width": 64, "size.height": 32}
    texts = {"prompt": "She sings", "prompt_changes": "1.5: She nods", "fit": "pad"}
    reference = pack.run("Reference", image=image, **texts, **size).args[0]
    chunks = pack.run("ChunkSampler", model=model, speech=speech, reference=reference, **SAMPLER)
    return pack.run("ParallelDecode", chunks=chunks.args[0]).args[0]


@pytest.mark.parametrize(
    ("loader", "options"),
    [
        ({}, ()),
        ({"speed": "fused"}, ("--speed", "fused")),
        ({"attention": "sdpa"}, ("--attention", "sdpa")),
        ({"float8": True}, ("--float8",)),
        ({"memory": "float8"}, ("--memory", "float8")),
        ({"memory": "offload"}, ("--memory", "offload")),
    ],
)
def test_the_same_settings_are_the_same_plan(pack, files, loader, options):
    folder, image, audio = files
    render = of_graph(pack, image, audio, **loader)
    paths = ("--image", folder / "me.png", "--audio", folder / "a.wav", "-o", folder / "a.mp4")
    spec, plan = of_command_line(pack, *paths, *OPTIONS, *options)
    handed_over = {"portrait": None, "speakers": render.spec.speakers, "chunk": render.spec.chunk}
    assert replace(spec, **handed_over) == render.spec
    assert plan.placement == render.plan.placement
    assert plan.request == render.plan.request
    assert plan.audio.num_samples == render.plan.audio.num_samples
    # A file and an array have different identities.
    heard = replace(plan, speakers=render.plan.speakers)
    assert heard.fingerprint() == render.plan.fingerprint()


def test_a_spec_of_the_graph_is_a_message(pack, files):
    _, image, audio = files
    render = of_graph(pack, image, audio)
    spec = pack["flashtalk_core.engine.spec"].RenderSpec.from_json(render.spec.to_json())
    assert spec == render.spec
    host = pack["nodes.host.render_host"].ComfyHost()
    resolve = pack["flashtalk_core.engine.resolve"].resolve
    # Another process has no opened model: the names in the spec are enough.
    found = resolve(spec, host, replace(render.inputs, model=None))
    assert found.fingerprint() == render.plan.fingerprint()


def test_decoding_elsewhere_is_in_the_spec(pack, files):
    _, image, audio = files
    render = of_graph(pack, image, audio)
    found = pack.run("ParallelDecode", chunks=render, device="cpu", latents_per_call=3).args[0]
    placement = found.spec.placement
    assert (placement.vae_device, placement.decode_latents) == ("cpu", 3)
    assert found.plan.request.num_decode_latents == 3
