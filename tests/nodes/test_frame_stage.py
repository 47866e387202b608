"""Frame Stage: ComfyUI's upscaling and interpolation models between frames and encoder."""

from types import SimpleNamespace

import av
import pytest
import torch

from flashtalk_core.media.video.reading.measure import measure_video

pytestmark = pytest.mark.cpu


class Larger(torch.nn.Module):
    """Upscales as a nearest neighbour does, times a weight."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, planes):
        return torch.nn.functional.interpolate(planes * self.weight, scale_factor=4)


class Middle(torch.nn.Module):
    """Has the methods of ComfyUI's interpolation models, and needs sides in multiples of 64."""

    pad_align = 64

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((1,), 0.5))

    def get_dtype(self):
        return torch.float32

    def memory_used_forward(self, shape, dtype):
        return shape[1] * shape[2] * dtype.itemsize

    def extract_features(self, image):
        assert image.shape[-2:] == (64, 64)
        return image * self.weight

    def forward(self, first, second, *, timestep, cache):
        assert timestep.unique().tolist() == [0.5]
        return cache["img0"] + cache["img1"]


@pytest.fixture
def upscale_model(pack):
    """What Load Upscale Model gives."""
    model = Larger()
    patcher = pack["nodes.host.networks"].WholeModelPatcher(
        model, torch.device("cpu"), torch.device("cpu")
    )

    class Descriptor(SimpleNamespace):
        def __call__(self, planes):
            return self.model(planes).clamp(0, 1)

    return Descriptor(model=model, patcher=patcher, scale=4, input_channels=3, output_channels=3)


@pytest.fixture
def interp_model(pack):
    """What Load Frame Interpolation Model gives."""
    cpu = torch.device("cpu")
    return pack["nodes.host.networks"].WholeModelPatcher(Middle(), cpu, cpu)


def stage(pack, frames, **given):
    return pack.run("FrameStage", frames=frames, **given).args[0]


def size_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.height, stream.width


def test_frames_become_larger_and_more(pack, model, upscale_model, interp_model):
    frames = stage(
        pack, pack.frames(model), upscale_model=upscale_model, interp_model=interp_model, scale=2.0
    )
    assert "twice the frames then upscale x 2" in str(frames)
    hidden = {"unique_id": "7"}
    path = pack.preview(frames, hidden=hidden, prefix="%width%x%height%")
    measured = measure_video(path, frame_rate_hz=50)
    assert (measured.num_frames, measured.is_exact, measured.num_samples) == (16, True, 5_120)
    assert size_of(path) == (64, 64)
    # The bar and the page count what is generated; both models are held beside the networks.
    last = pack["server"].PromptServer.instance.messages[-1][1]
    assert (last["frames"], last["num_frames"], last["frame_rate_hz"]) == (8, 8, 25)
    loaded = [each() for each in pack["comfy.model_management"].current_loaded_models]
    assert {interp_model, upscale_model.patcher} < set(loaded)


def test_without_models_frames_stay_as_they_are(pack, model):
    frames = pack.frames(model)
    assert stage(pack, frames).plan.video_fingerprint() == frames.plan.video_fingerprint()


def test_a_scale_without_an_upscaling_model_is_refused(pack, model, interp_model):
    for given in ({}, {"interp_model": interp_model}):
        message = pack.error("FrameStage", frames=pack.frames(model), scale=2.0, **given)
        assert message == (
            "FlashTalk Frame Stage, input 'scale': upscaling by 2.0: no upscaling model is given; "
            "connect one, or set 0"
        )


def test_stages_in_a_row_and_parallel_decode_behind_them(pack, model, upscale_model, interp_model):
    once = stage(pack, pack.frames(model), upscale_model=upscale_model, scale=1.0)
    twice = stage(pack, once, upscale_model=upscale_model)
    behind = pack.run("ParallelDecode", chunks=twice, latents_per_call=2).args[0]
    assert behind.plan.format.size_px == (128, 128)
    message = pack.error("FrameStage", frames=once, interp_model=interp_model)
    assert message.startswith(
        "FlashTalk Frame Stage, input 'interp_model': frame interpolation after another frame stage"
    )


def test_other_weights_are_another_render(pack, model, upscale_model):
    frames = pack.frames(model)
    before = stage(pack, frames, upscale_model=upscale_model).plan
    message = pack.error("FrameStage", frames=frames, upscale_model=upscale_model, scale=0.1)
    assert message.startswith("FlashTalk Frame Stage, input 'scale': upscaling by 0.1: use 0.25")
    with torch.no_grad():
        upscale_model.model.weight[0] = 0.5
    after = stage(pack, frames, upscale_model=upscale_model).plan
    assert before.fingerprint() == after.fingerprint()
    assert before.video_fingerprint() != after.video_fingerprint()


def test_a_second_sound_is_heard_and_the_first_one_spoken(pack, make, model):
    speech = pack.speech(soundtrack=make.audio(0.2, 44_100, 2))
    assert str(speech).endswith("with a soundtrack")
    frames = pack.frames(model, speech)
    path = pack.preview(frames)
    measured = measure_video(path)
    assert (measured.num_frames, measured.num_samples, measured.rate_hz) == (8, 14_112, 44_100)
    assert frames.plan.fingerprint() == pack.frames(model).plan.fingerprint()
    batch = make.audio(batch=2)
    message = pack.error("AudioEncode", audio=make.audio(), soundtrack=batch)
    assert message.startswith("FlashTalk Audio Encode, input 'soundtrack': audio batch of 2")
