"""Files of networks are read ahead in the order of their use, once."""

import pytest

from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.encoders.clip_vision import ClipVision
from flashtalk_core.models.encoders.text import TextEncoder
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.vae.light_vae import LightVAE
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.placement.ahead.reading import NetworksAhead
from flashtalk_core.weights.load import open_avatar

pytestmark = pytest.mark.cpu

FILES = {
    TextEncoder: "text_encoder.safetensors",
    ClipVision: "clip_vision.safetensors",
    VideoVAE: "vae.safetensors",
    AvatarDiT: "diffusion_pytorch_model.safetensors",
    AudioEncoder: "audio_encoder.safetensors",
}


@pytest.fixture(scope="module")
def checkpoint():
    return open_avatar("tiny")


def names(paths):
    return [path.name for path in paths]


def test_each_network_has_its_files(checkpoint):
    for kind, name in FILES.items():
        assert names(checkpoint.files_of(kind)) == [name]
    assert checkpoint.files_of(LightVAE) == ()


def test_all_files_are_read_from_the_first_network_on(checkpoint):
    ahead = NetworksAhead()
    assert names(ahead.next_files(checkpoint, TextEncoder)) == list(FILES.values())
    for kind in FILES:
        assert ahead.next_files(checkpoint, kind) == []


def test_what_was_passed_over_or_is_there_is_not_read(checkpoint):
    ahead = NetworksAhead()
    found = ahead.next_files(checkpoint, ClipVision, resident=(AvatarDiT,))
    assert names(found) == [FILES[ClipVision], FILES[VideoVAE], FILES[AudioEncoder]]
    assert names(ahead.next_files(checkpoint, TextEncoder)) == [
        FILES[TextEncoder],
        FILES[AvatarDiT],
    ]
