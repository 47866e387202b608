"""The loader takes tensors of any source: files, and models that are in memory already."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from flashtalk_core.errors import WeightsError
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.encoders.clip_vision import ClipVision
from flashtalk_core.models.encoders.text import TextEncoder
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.weights.discovery.files import open_files
from flashtalk_core.weights.discovery.layout import find_model_files, resolve_model
from flashtalk_core.weights.load import check_sources, open_avatar
from flashtalk_core.weights.model_sources import Settings
from tests.memory_source import MemorySource

pytestmark = pytest.mark.cpu

CPU = torch.device("cpu")
KINDS = (AvatarDiT, VideoVAE, TextEncoder, ClipVision, AudioEncoder)


def in_memory(source):
    with source.reading() as read:
        tensors = {name: read(name).clone() for name in source.infos}
    return MemorySource(source.name, tensors)


@pytest.fixture(scope="module")
def files():
    return open_files(find_model_files(resolve_model("tiny")))


@pytest.fixture(scope="module")
def memory(files):
    parts = ("dit", "vae", "text", "clip", "audio")
    return replace(files, **{part: tuple(map(in_memory, getattr(files, part))) for part in parts})


def test_a_model_in_memory_is_the_one_in_files(memory):
    expected = open_avatar("tiny")
    found = check_sources(memory)
    assert found.config == expected.config
    load = partial(dict, device=CPU, dtype=torch.bfloat16)
    for kind in KINDS:
        values = expected.load(kind, **load()).state_dict()
        others = found.load(kind, **load()).state_dict()
        assert values.keys() == others.keys()
        assert all(value.equal(others[name]) for name, value in values.items())


def test_one_part_of_another_source_takes_the_place_of_a_file(files, memory):
    found = check_sources(replace(files, vae=memory.vae))
    assert found.load(VideoVAE, CPU, torch.float32).config == found.config.vae
    assert found.sources.identity != files.identity


def test_loading_copies_what_is_in_memory(memory):
    vae = check_sources(memory).load(VideoVAE, CPU, torch.float16)
    held = {tensor.data_ptr() for tensor in memory.vae[0].tensors.values()}
    assert held.isdisjoint(value.data_ptr() for value in vae.parameters())


def test_text_encoder_and_clip_may_be_left_out(memory):
    found = check_sources(replace(memory, text=(), clip=()))
    assert (found.tokenizer, found.text_plan, found.clip_plan) == (None, None, None)


def test_a_setting_that_does_not_fit_is_reported_with_its_source(memory):
    settings = Settings("my settings", {"vae": {"dim": "wide"}})
    with pytest.raises(WeightsError, match=r"^my settings: vae"):
        check_sources(replace(memory, settings=settings))


def test_a_missing_tensor_is_reported_with_the_source(memory):
    tensors = dict(memory.vae[0].tensors)
    del tensors["conv1.bias"]
    with pytest.raises(WeightsError, match=r"^vae in memory: 1 of .*\(conv1\.bias\) are missing"):
        check_sources(replace(memory, vae=(MemorySource("vae", tensors),)))


def test_sources_of_the_same_files_have_the_identity_of_the_files(files):
    assert files.identity == find_model_files(resolve_model("tiny")).identity
