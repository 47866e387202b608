"""Chunk Sampler and Parallel Decode: settings become a plan that is checked at once."""

import pytest
import torch

pytestmark = pytest.mark.cpu


@pytest.fixture
def parts(pack, model):
    return {"model": model, "speech": pack.speech(), "reference": pack.reference()}


@pytest.fixture
def chunks(pack, parts):
    return pack.run("ChunkSampler", **parts).args[0]


def test_defaults_are_as_trained(pack, chunks, model):
    trained, request = model.checkpoint.config, chunks.plan.request
    assert chunks.plan.chunk == trained.chunk
    assert request.sampling.rule == trained.sampling.rule
    assert request.sampling.steps == trained.sampling.steps
    assert request.sampling.shift == trained.sampling.shift


def test_every_setting_reaches_the_plan(pack, parts):
    given = {"seed": 2**63 - 1, "steps": 7, "rule": "renoise", "shift": 2.5}
    given |= {"motion_frames": 9, "colour_strength": 0.25, "chunk_frames": 41}
    given |= {"colour_area": "no-mouth", "join_frames": 6}
    plan = pack.run("ChunkSampler", **parts, **given).args[0].plan
    sampling, chunk = plan.request.sampling, plan.chunk
    found = {name: getattr(sampling, name) for name in given if hasattr(sampling, name)}
    found |= {"motion_frames": chunk.num_motion_frames, "chunk_frames": chunk.num_frames}
    assert found == given


def test_workflows_without_the_later_inputs_take_the_model_s_own(pack, parts, model):
    values = {"seed": 0, "steps": 4, "rule": "euler", "shift": 5.0, "motion_frames": 5}
    values |= {"colour_strength": 1.0, "chunk_frames": 33}
    node, trained = pack.nodes["FlashTalk_ChunkSampler"], model.checkpoint.config.sampling
    older = node.execute(**parts, **values).args[0]
    same = pack.run("ChunkSampler", **parts, **values).args[0]
    for found in (older, same):
        assert found.spec.sampling.colour_area is None
        assert found.spec.sampling.join_frames is None
        assert found.plan.request.sampling.join_frames == trained.join_frames
    off = pack.run("ChunkSampler", **parts, **values, join_frames=0).args[0]
    assert off.spec.sampling.join_frames == 0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"steps": 0}, "'steps': steps 0: use 1 to 100"),
        ({"seed": -1}, "'seed': seed -1: use a whole number from 0 to 2**63 - 1"),
        ({"seed": 2**63}, "'seed': seed 9223372036854775808: use a whole number from 0 to"),
        ({"shift": 0.0}, "'shift': shift 0.0: use a number above 0, up to 100"),
        ({"colour_strength": 1.5}, "'colour_strength': colour strength 1.5: use 0 (off) to 1"),
        ({"colour_area": "hair"}, "'colour_area': colour area 'hair': use 'frame' or 'no-mouth'"),
        ({"join_frames": 26}, "'join_frames': join frames 26: use 0 (off) to 25"),
        (
            {"motion_frames": 4},
            "'motion_frames': motion frames 4: need 1, 5, 9 ... and fewer "
            "than the 33 frames of a chunk; use 29 or less",
        ),
        (
            {"motion_frames": 33},
            "'motion_frames': motion frames 33: need 1, 5, 9 ... and fewer "
            "than the 33 frames of a chunk; use 29 or less",
        ),
        ({"chunk_frames": 34}, "'chunk_frames': chunk frames 34: need 4n+1 and at least 5"),
        ({"chunk_frames": 201}, "'chunk_frames': chunk frames 201: the audio of a chunk must lie"),
    ],
)
def test_a_value_out_of_range_names_its_input(pack, parts, given, says):
    """Ranges of widgets bind what is typed, not what comes over a connection."""
    values = {"seed": 0, "steps": 4, "rule": "euler", "shift": 5.0, "motion_frames": 5}
    values |= {"colour_strength": 1.0, "chunk_frames": 33}
    with pytest.raises(ValueError, match=r"need|use") as caught:
        pack.nodes["FlashTalk_ChunkSampler"].execute(**parts, **values | given)
    assert str(caught.value).startswith(f"FlashTalk Chunk Sampler, input {says}")


def test_every_number_a_widget_allows_is_accepted_at_its_ends(pack, parts):
    for each in pack.nodes["FlashTalk_ChunkSampler"].GET_SCHEMA().inputs:
        # Motion frames end where the chunk does.
        others = {"chunk_frames": 33, "motion_frames": 1} if each.id == "chunk_frames" else {}
        for value in (getattr(each, "min", None), getattr(each, "max", None)):
            if value is not None:
                pack.run("ChunkSampler", **parts, **others | {each.id: value})


def test_decoding_is_described(pack, chunks):
    found = pack.run("ParallelDecode", chunks=chunks, device="cpu", latents_per_call=8).args[0]
    assert found.plan.request.num_decode_latents == 8
    assert found.plan.placement.vae_device == torch.device("cpu")
    assert chunks.plan.request.num_decode_latents == 3


@pytest.mark.parametrize(("speed", "device", "expected"), [
    ("plain", "with the model", 3), ("fused", "with the model", 2), ("fused", "cpu", 2),
])  # fmt: skip
def test_latents_that_are_not_set_are_as_many_as_render_takes(pack, parts, speed, device, expected):
    model = pack.run("ModelLoader", device="cpu", speed=speed).args[0]
    chunks = pack.run("ChunkSampler", **parts | {"model": model}).args[0]
    found = pack.run("ParallelDecode", chunks=chunks, device=device).args[0]
    assert found.plan.request.num_decode_latents == expected


@pytest.mark.parametrize("speed", ["plain", "fused"])
def test_leaving_out_parallel_decode_equals_its_defaults(pack, parts, speed):
    model = pack.run("ModelLoader", device="cpu", speed=speed).args[0]
    chunks = pack.run("ChunkSampler", **parts | {"model": model}).args[0]
    decoded = pack.run("ParallelDecode", chunks=chunks).args[0]
    assert decoded == chunks
    assert decoded.plan.fingerprint() == chunks.plan.fingerprint()


def test_parallel_decode_can_be_bypassed(pack):
    """The page bypasses a node by joining its first output with an input of the same type."""
    decode = pack.nodes["FlashTalk_ParallelDecode"].GET_SCHEMA()
    sampler = pack.nodes["FlashTalk_ChunkSampler"].GET_SCHEMA()
    preview = pack.nodes["FlashTalk_StreamPreview"].GET_SCHEMA()
    types = {decode.inputs[0].io_type, decode.outputs[0].io_type}
    assert types == {sampler.outputs[0].io_type} == {preview.inputs[0].io_type}


def test_decoding_several_latents_at_once_gives_the_same_frames(pack, model, monkeypatch):
    writer = pack["flashtalk_core.media.video.writer"].Mp4Writer
    write, written = writer.write, []
    monkeypatch.setattr(
        writer, "write", lambda self, frames: (written.append(frames), write(self, frames))
    )
    frames = pack.frames(model, chunk_frames=17)
    more = pack.run("ParallelDecode", chunks=frames, latents_per_call=1).args[0]
    videos = []
    for each in (frames, more):
        pack.preview(each)
        videos.append(torch.cat(written)[:8].int())
        written.clear()
    one, several = videos
    assert (one - several).abs().max() < 3.5


def test_a_gpu_that_is_not_there_is_refused_for_decoding(pack, chunks):
    message = pack.error("ParallelDecode", chunks=chunks, device="gpu:1")
    assert message.startswith("FlashTalk Parallel Decode, input 'device': device gpu:1: ")


def test_bands_are_described(pack, chunks):
    found = pack.run("ParallelDecode", chunks=chunks, grid="rows", devices=" 0 ").args[0]
    for place in (found.plan.placement, found.spec.placement):
        assert (place.vae_grid, place.vae_devices) == ("rows", (0,))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"grid": "2x2"},
            "'grid': VAE grid 2x2: its 4 bands need as many devices, and there are 1",
        ),
        ({"devices": "0,1"}, "'devices': VAE devices 0, 1: the render runs on 1 device(s)"),
        ({"devices": "gpu:0"}, "'devices': devices 'gpu:0': use numbers from 0 with commas"),
        ({"devices": "0,"}, "'devices': devices '0,': use numbers from 0 with commas"),
    ],
)
def test_bands_that_no_device_decodes_are_refused(pack, chunks, given, says):
    message = pack.error("ParallelDecode", chunks=chunks, **given)
    assert message.startswith(f"FlashTalk Parallel Decode, input {says}")


def test_fewer_latents_than_none_are_refused(pack, chunks):
    decode = pack.nodes["FlashTalk_ParallelDecode"]
    with pytest.raises(ValueError, match="use 1 or more") as caught:
        decode.execute(chunks, "with the model", -1, "auto")
    assert str(caught.value).startswith("FlashTalk Parallel Decode, input 'latents_per_call': ")
