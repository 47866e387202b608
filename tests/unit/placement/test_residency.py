"""Where networks are while they work, and while they do not."""

import gc
import weakref

import pytest
import torch

from flashtalk_core.acceleration.fused_block import FusedExecution
from flashtalk_core.acceleration.fused_vae import FusedRunner
from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.engine.events import EventHandlers
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.encoders.clip_vision import ClipVision
from flashtalk_core.models.encoders.text import TextEncoder, encode_prompt
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.models.vae.row_tiles import RowTileRunner
from flashtalk_core.placement.load import load_network
from flashtalk_core.placement.memory_plan import MemoryPlan
from flashtalk_core.placement.place import Placement
from flashtalk_core.placement.provider import FixedNetworks
from flashtalk_core.placement.residency import CachedNetworks
from flashtalk_core.quantization.blocks import convert_blocks
from flashtalk_core.quantization.fp8 import FP8, Float8Linear

pytestmark = pytest.mark.cpu

CPU, META = torch.device("cpu"), torch.device("meta")


def test_everything_runs_in_one_place_unless_the_autoencoder_has_its_own():
    together, apart = Placement(CPU, torch.float32), Placement(CPU, torch.float32, META)
    assert {together.device_of(kind) for kind in (AvatarDiT, VideoVAE, ClipVision)} == {CPU}
    assert apart.device_of(VideoVAE) == META
    assert {apart.device_of(kind) for kind in (AvatarDiT, AudioEncoder, ClipVision)} == {CPU}


def test_a_network_is_read_when_it_is_first_used_and_once(checkpoint):
    networks = CachedNetworks(checkpoint, Placement(CPU, torch.float32))
    with networks.acquire(ClipVision) as first:
        assert isinstance(first, ClipVision)
        assert not first.training
    with networks.acquire(ClipVision) as second:
        assert second is first


def test_a_network_that_was_freed_is_gone_and_comes_back(checkpoint):
    networks = CachedNetworks(checkpoint, Placement(CPU, torch.float32))
    networks.release(ClipVision)  # nothing there yet
    with networks.acquire(ClipVision) as network:
        weights = next(network.parameters()).clone()
    gone = weakref.ref(network)
    del network
    networks.release(ClipVision)
    gc.collect()
    assert gone() is None
    with networks.acquire(ClipVision) as network:
        assert torch.equal(next(network.parameters()), weights)


def test_the_autoencoder_comes_in_the_number_format_that_was_asked_for(checkpoint):
    networks = CachedNetworks(checkpoint, Placement(CPU, torch.bfloat16))
    with networks.acquire(VideoVAE) as vae:
        assert next(vae.parameters()).dtype == torch.bfloat16


def test_networks_of_the_caller_are_never_freed(toy):
    networks = FixedNetworks(toy.dit, toy.vae)
    networks.release(AvatarDiT)
    with networks.acquire(AvatarDiT) as dit, networks.acquire(VideoVAE) as vae:
        assert (dit, vae) == (toy.dit, toy.vae)


def in_part(num_resident, **given):
    memory = MemoryPlan(num_resident=num_resident, **given)
    return Placement(CPU, torch.float32, memory=memory)


@torch.no_grad()
def test_a_text_encoder_in_parts_says_what_the_whole_one_says(checkpoint):
    found = []
    for placement in (Placement(CPU, torch.float32), in_part(1)):
        networks = CachedNetworks(checkpoint, placement)
        with networks.acquire(TextEncoder) as encoder:
            for _ in range(2):
                found.append(encode_prompt(encoder, checkpoint.tokenizer, "a person talks"))
    assert all(torch.equal(each, found[0]) for each in found)
    assert is_offloaded(checkpoint, TextEncoder, 1)


def is_offloaded(checkpoint, kind, num_resident):
    return load_network(checkpoint, in_part(num_resident), kind).offload is not None


def test_a_host_may_load_and_run_networks_in_parts_in_inference_mode(checkpoint):
    networks = CachedNetworks(checkpoint, in_part(1))
    with torch.inference_mode(), networks.acquire(TextEncoder) as encoder:
        found = [encode_prompt(encoder, checkpoint.tokenizer, "a") for _ in range(2)]
    assert torch.equal(*found)
    with networks.acquire(AvatarDiT) as dit:
        assert not any(each.is_inference() for each in dit.parameters())


@pytest.mark.parametrize("kind", [TextEncoder, AvatarDiT])
def test_a_network_in_parts_that_was_freed_is_gone_at_once(checkpoint, kind):
    networks = CachedNetworks(checkpoint, in_part(1))
    with networks.acquire(kind) as network:
        assert is_offloaded(checkpoint, kind, 1)
    gone = weakref.ref(network)
    del network
    networks.release(kind)
    assert gone() is None


def test_weights_in_parts_are_those_in_the_file(checkpoint):
    whole = checkpoint.load(AvatarDiT, CPU, torch.float32).state_dict()
    with CachedNetworks(checkpoint, in_part(2)).acquire(AvatarDiT) as dit:
        assert dit.state_dict().keys() == whole.keys()
        assert all(torch.equal(value, whole[name]) for name, value in dit.state_dict().items())


def test_encoders_are_whole_where_all_blocks_stay(checkpoint):
    assert not is_offloaded(checkpoint, TextEncoder, checkpoint.config.dit.num_layers)


def test_only_the_autoencoder_runs_in_row_tiles(checkpoint):
    networks = CachedNetworks(
        checkpoint, Placement(CPU, torch.float32, memory=MemoryPlan(row_tiles=True))
    )
    with networks.acquire(VideoVAE) as vae:
        assert isinstance(vae.runner, RowTileRunner)


def test_networks_run_as_placed_from_the_first_use_on(checkpoint):
    networks = CachedNetworks(
        checkpoint, Placement(CPU, torch.float32, kernel_options=KernelOptions())
    )
    with networks.acquire(AvatarDiT) as dit, networks.acquire(VideoVAE) as vae:
        found = [dit.runner.execution, vae.runner]
        assert isinstance(found[0], FusedExecution)
        assert isinstance(found[1], FusedRunner)
    with networks.acquire(AvatarDiT) as dit, networks.acquire(VideoVAE) as vae:
        assert [dit.runner.execution, vae.runner] == found, "built once"


def test_no_two_blocks_are_ever_in_the_wide_format_where_8_bit_ones_are_wanted(checkpoint):
    found, wide = [], []

    def look(_kind):
        if not found:  # made last, and without values so far
            dits = [each for each in gc.get_objects() if type(each) is AvatarDiT]
            found.extend(each for each in dits if next(each.parameters()).is_meta)
        layers = [block.ffn[0] for block in found[0].blocks]
        read = [each for each in layers if not each.weight.is_meta]
        wide.append(sum(not isinstance(each, Float8Linear) for each in read))

    place = Placement(CPU, torch.float32, memory=MemoryPlan(float8=True))
    dit = load_network(checkpoint, place, AvatarDiT, events=EventHandlers(loading=look)).network
    assert max(wide) == 1
    assert found[0] is dit
    assert all(isinstance(block.ffn[0], Float8Linear) for block in dit.blocks)
    whole = checkpoint.load(AvatarDiT, CPU, torch.float32)
    convert_blocks(whole, FP8, CPU)
    expected = whole.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in dit.state_dict().items())


def test_an_autoencoder_on_a_device_of_another_type_runs_eagerly():
    apart = Placement(META, torch.float32, CPU, KernelOptions())
    assert apart.kernel_options_of(VideoVAE) == KernelOptions.eager()
    assert apart.kernel_options_of(AvatarDiT) == KernelOptions()
