"""Networks under ComfyUI's model management: read once, evicted, freed with their model."""

import gc
import weakref
from dataclasses import replace

import pytest

pytestmark = pytest.mark.cpu


@pytest.fixture
def own_model(pack):
    """A tiny model of this test alone."""
    return pack.run("ModelLoader").args[0]


@pytest.fixture
def management(pack):
    """ComfyUI's model management, with no model of other tests on the device."""
    found = pack["comfy.model_management"]
    found.unload_all_models()
    yield found
    found.unload_all_models()


@pytest.fixture
def no_events(pack):
    return pack["flashtalk_core.engine.events"].NO_EVENTS


def on_device(management):
    """Return the classes of networks ComfyUI holds to be loaded."""
    held = (entry() for entry in management.current_loaded_models)
    return {type(each.model).__name__: each for each in held if each is not None}


def test_a_render_leaves_to_comfyui_what_the_next_one_needs(pack, own_model, management):
    pack.preview(pack.frames(own_model))
    held = on_device(management)
    # The text encoder and the vision tower run once, and would double the memory.
    assert set(held) == {"AvatarDiT", "VideoVAE", "AudioEncoder"}
    assert all(each.loaded_size() == each.model_size() > 0 for each in held.values())


def test_free_forgets_networks_and_the_next_render_reads_them_again(pack, own_model, management):
    first = pack.preview(pack.frames(own_model), keep_gb=0.0)
    patchers = on_device(management)
    management.unload_all_models()
    assert {each.loaded_size() for each in patchers.values()} == {0}
    tensors = [each for patcher in patchers.values() for each in patcher.model.parameters()]
    assert all(each.is_meta for each in tensors), "they take no memory"
    second = pack.preview(pack.frames(own_model), keep_gb=0.0)
    assert set(on_device(management)) == set(patchers)
    assert not set(on_device(management).values()) & set(patchers.values())
    assert first.read_bytes() == second.read_bytes()


def test_no_network_of_every_chunk_is_evicted_for_another_one(
    pack, own_model, management, monkeypatch
):
    monkeypatch.setattr(management, "DISABLE_SMART_MEMORY", True)
    read, load = [], type(own_model.checkpoint).load

    def noted(checkpoint, kind, *args, **kwargs):
        read.append(kind.__name__)
        return load(checkpoint, kind, *args, **kwargs)

    monkeypatch.setattr(type(own_model.checkpoint), "load", noted)
    pack.preview(pack.frames(own_model), keep_gb=0.0)
    assert len(read) == len(set(read)) == 5, read  # in two chunks


def test_a_network_is_never_taken_off_in_part(pack, own_model, management):
    pack.preview(pack.frames(own_model))
    patcher = on_device(management)["AvatarDiT"]
    assert patcher.partially_unload(patcher.offload_device, 1) == 0
    assert patcher.loaded_size() == patcher.model_size()
    assert patcher.partially_load(patcher.load_device, 1e9) == 0


def test_networks_live_as_long_as_their_model_is_in_the_graph(pack, management):
    model = pack.run("ModelLoader").args[0]
    pack.preview(pack.frames(model))
    networks = [weakref.ref(each.model) for each in on_device(management).values()]
    gc.collect()
    assert len(networks) == 3
    assert all(network() is not None for network in networks)
    del model  # ComfyUI drops a loader's output when another model is chosen
    gc.collect()
    assert [network() for network in networks] == [None] * 3


def test_two_models_in_turn_do_not_mix(pack, own_model, management):
    other = pack.run("ModelLoader", dtype="bfloat16").args[0]
    videos = [
        pack.preview(pack.frames(model, pack.speech(0.1)), keep_gb=0.0).read_bytes()
        for model in (own_model, other, own_model)
    ]
    assert videos[0] == videos[2] != videos[1]


def test_a_prompt_that_was_encoded_is_not_encoded_for_a_new_seed(pack, own_model, management):
    pack.preview(pack.frames(own_model, pack.speech(0.1)))
    checkpoint = type(own_model.checkpoint)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "load", lambda *_, **__: pytest.fail("a network was read"))
        pack.preview(pack.frames(own_model, pack.speech(0.1), seed=5))
        reference = pack.reference(prompt="another one")
        another = pack.frames(own_model, pack.speech(0.1), reference)
        with pytest.raises(pytest.fail.Exception):
            pack.preview(another)


def test_memory_for_activations_is_requested_in_addition_to_the_weights(
    pack, own_model, management
):
    management.asked_bytes.clear()
    pack.preview(pack.frames(own_model))
    small = max(management.asked_bytes)
    management.asked_bytes.clear()
    reference = pack.reference(size="custom", **{"size.width": 64, "size.height": 64})
    pack.preview(pack.frames(own_model, reference=reference))
    assert max(management.asked_bytes) == 4 * small > 0


def test_comfyui_counts_what_an_offloaded_transformer_keeps_on_the_device(pack, management):
    model = pack.run("ModelLoader", memory="offload").args[0]
    whole = pack.run("ModelLoader").args[0]
    videos, sizes = [], []
    for each in (whole, model):
        management.unload_all_models()
        videos.append(pack.preview(pack.frames(each, pack.speech(0.1)), keep_gb=0.0).read_bytes())
        patcher = on_device(management)["AvatarDiT"]
        assert patcher.loaded_size() == patcher.model_size()
        sizes.append(patcher.model_size())
    assert videos[0] == videos[1]
    assert sizes[1] < 0.8 * sizes[0]


def test_more_free_memory_reads_no_weights_again_and_less_does(pack, own_model, no_events):
    placement_of = pack["flashtalk_core.placement.place"].Placement
    plan_of = pack["flashtalk_core.placement.memory_plan"].MemoryPlan
    kind = pack["flashtalk_core.models.transformer.model"].AvatarDiT
    read = []
    for num_resident in (1, 2, None, 1, 0, None):
        placement = placement_of(
            own_model.opened.device,
            own_model.opened.dtype,
            memory=plan_of(num_resident=num_resident),
        )
        read.append(own_model.networks.patcher(kind, placement, no_events).model)
    assert all(network is read[0] for network in read[:4])
    assert read[4] is read[5] is not read[0]


def test_blocks_that_were_read_for_less_memory_are_reported_as_they_are(
    pack, own_model, no_events, caplog
):
    caplog.set_level("INFO")
    plan_of = pack["flashtalk_core.placement.memory_plan"].MemoryPlan
    frames = pack.frames(own_model, pack.speech(0.1))

    def placed(num_resident, reason):
        memory = plan_of(num_resident=num_resident, reason=reason)
        return replace(frames.plan.placement, memory=memory)

    few, all_of_them = placed(2, "2 of 6 blocks in float32"), placed(None, "all of the model")
    networks, kind = own_model.networks, pack["flashtalk_core.models.transformer.model"].AvatarDiT
    assert networks.memory_reason(few) == "2 of 6 blocks in float32"
    networks.patcher(kind, few, no_events)
    pack.preview(replace(frames, plan=replace(frames.plan, placement=all_of_them)), keep_gb=0.0)
    assert (
        "memory: 2 of 6 blocks, as they were read while less of it was free; now there is room "
        "for all of the model"
    ) in caplog.messages
    assert networks.memory_reason(few) == "2 of 6 blocks in float32"
    assert networks.memory_reason(placed(1, "1 of 6 blocks")) == "1 of 6 blocks"


def test_an_offloaded_transformer_that_was_evicted_comes_back(pack, management):
    model = pack.run("ModelLoader", memory="offload").args[0]
    first = pack.preview(pack.frames(model, pack.speech(0.1)), keep_gb=0.0).read_bytes()
    patcher = on_device(management)["AvatarDiT"]
    management.unload_all_models()
    assert patcher.loaded_size() == 0
    assert pack.preview(pack.frames(model, pack.speech(0.1)), keep_gb=0.0).read_bytes() == first
    assert on_device(management)["AvatarDiT"] is patcher


def test_recordings_follow_the_plan_of_each_render_and_go_with_an_eviction(
    pack, own_model, no_events, monkeypatch
):
    module, modes, released = pack["nodes.host.networks"], [], []
    monkeypatch.setattr(module, "set_graph", lambda _network, graph, _device: modes.append(graph))
    monkeypatch.setattr(module, "release_graphs", released.append)
    placement_of = pack["flashtalk_core.placement.residency"].Placement
    plan_of = pack["flashtalk_core.placement.memory_plan"].MemoryPlan
    kind = pack["flashtalk_core.models.transformer.model"].AvatarDiT
    patchers = []
    for graph in ("off", "auto", "auto", "off"):
        opened = own_model.opened
        placement = placement_of(opened.device, opened.dtype, memory=plan_of(graph=graph))
        patchers.append(own_model.networks.patcher(kind, placement, no_events))
    assert modes == ["auto", "off"], "only where it changes"
    assert len(set(map(id, patchers))) == 1, "no weights are read again"
    patchers[0].detach()
    assert released == [patchers[0].model]
