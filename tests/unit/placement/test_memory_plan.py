"""What stays on a GPU of some size, and the reason that is given for it."""

import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.parallel.bands import choose_grid
from flashtalk_core.placement.block_sizes import PackedBlocks, stay_packed_on_cpu
from flashtalk_core.placement.division import Division
from flashtalk_core.placement.memory_choice import (
    PROCESS_BYTES,
    SYSTEM_BYTES,
    DeviceMemory,
    choose_memory,
    device_memory,
    plan_memory,
)
from flashtalk_core.placement.memory_plan import MODES, WHOLE, MemoryChoice, MemoryPlan
from flashtalk_core.placement.memory_sizes import ModelSizes, model_sizes
from flashtalk_core.quantization import fp8
from flashtalk_core.quantization.packed.blocks import Q8_0
from flashtalk_core.quantization.packed.scaled import FP8_E4M3
from flashtalk_core.quantization.packed.superblocks import Q4_K

pytestmark = pytest.mark.cpu

GB = 1e9
NUM_BLOCKS = 40


@pytest.fixture(scope="module")
def sizes():
    """The full-size model at 768 x 448 in bfloat16."""
    config = AvatarConfig()
    return model_sizes(config, (768, 448), config.chunk, torch.bfloat16)


def choose(sizes, free_gb, mode="auto", has_float8=True, total_gb=None, float8=False):
    """Choose for a card of which all but 1.5 GB are free, unless its size is given."""
    total_gb = free_gb + 1.5 if total_gb is None else total_gb
    memory = DeviceMemory(round(free_gb * GB), round(total_gb * GB))
    choice = MemoryChoice.parse(mode, float8=float8)
    reason = None if has_float8 else "float8: too old"
    return choose_memory(choice, sizes, memory, fp8_unsupported=reason)


def test_weights_are_counted_as_published(sizes):
    plain = sum(sizes.blocks[False]) * NUM_BLOCKS
    assert plain == pytest.approx(2 * 18.57e9, rel=0.01)
    session, _, step = sizes.blocks[True]
    assert step * NUM_BLOCKS == pytest.approx(16.2e9, rel=0.01)
    assert session == sizes.blocks[False][0]  # not quantised


@pytest.mark.parametrize(
    ("free_gb", "float8", "resident"),
    [
        (78.5, False, None),
        (46.5, False, None),
        (38.0, False, NUM_BLOCKS),
        (30.5, True, NUM_BLOCKS),
        (24.0, True, NUM_BLOCKS),
    ],
)
def test_auto_takes_the_first_form_that_fits(sizes, free_gb, float8, resident):
    plan = choose(sizes, free_gb)
    assert (plan.float8, plan.num_resident, plan.row_tiles) == (float8, resident, False)


def test_a_stage_takes_the_place_of_blocks(sizes):
    """Its networks stay, and it works on frames while they are decoded."""
    staged = sizes.with_stage(round(0.1 * GB), 5 * GB)
    fewer, plain = choose(staged, 22.5), choose(sizes, 22.5)
    assert fewer.num_resident < plain.num_resident
    assert staged.peak_bytes(plain) > 22.5 * GB >= staged.peak_bytes(fewer)
    weights = sizes.with_stage(round(0.1 * GB), 0)
    assert weights.peak_bytes(WHOLE) - sizes.peak_bytes(WHOLE) >= 0.1 * GB


@pytest.mark.parametrize("free_gb", [22.5, 14.5, 10.5, 8.5, 6.7])
def test_auto_keeps_as_many_8_bit_blocks_as_fit(sizes, free_gb):
    plan = choose(sizes, free_gb)
    assert plan.float8
    assert 0 <= plan.num_resident < NUM_BLOCKS
    one_more = MemoryPlan(float8=True, num_resident=plan.num_resident + 1, row_tiles=plan.row_tiles)
    assert sizes.peak_bytes(plan) <= free_gb * GB < sizes.peak_bytes(one_more)
    assert plan.row_tiles == (free_gb < 7)  # the last resort


def test_auto_without_8_bit_multiplication_offloads_as_it_is(sizes):
    plan = choose(sizes, 22.5, has_float8=False)
    assert not plan.float8
    assert 10 <= plan.num_resident < NUM_BLOCKS


@pytest.mark.parametrize("free_gb", [140, 46.5, 30.5, 22.5, 14.5, 10.5, 6.5])
@pytest.mark.parametrize("has_float8", [True, False])
def test_no_plan_takes_more_than_is_free(sizes, free_gb, has_float8):
    if free_gb == 6.5 and not has_float8:
        with pytest.raises(InvalidInputError):
            choose(sizes, free_gb, has_float8=has_float8)
        return
    plan = choose(sizes, free_gb, has_float8=has_float8)
    assert plan.peak_bytes == sizes.peak_bytes(plan) <= free_gb * GB


def test_the_reason_is_one_line_with_what_is_kept_needed_and_free(sizes):
    plan = choose(sizes, 10.5)
    pattern = (
        rf"{plan.num_resident} of 40 blocks in FP8, the others on the host: "
        r"needs about 10\.\d of 10\.5 GB; "
        r"FP8 because a card of 12\.0 GB is too small for all blocks in bfloat16"
    )
    assert re.fullmatch(pattern, plan.reason)
    reason = choose(sizes, 78.5).reason
    assert reason.startswith("all of the model in bfloat16: needs about 45.6 of 78.5 GB; ")
    assert reason.endswith("; bfloat16 because a card of 80.0 GB has room for all blocks in it")


def test_the_reason_for_a_small_model_is_in_megabytes():
    none = {False: 0, True: 0}
    small = ModelSizes(torch.float32, 2, dict.fromkeys(none, (0, 0, 2 * 10**6)), 10**7, 0, none)
    choice, unsupported = MemoryChoice(), "float8: too old"
    for memory, needed in (
        (DeviceMemory(round(10.5 * GB), round(12 * GB)), "14.6 MB of 10.5 GB"),
        (DeviceMemory(10**8, 10**8), "14.6 of 100.0 MB"),
        (DeviceMemory.unlimited(), "14.6 MB"),
    ):
        plan = choose_memory(choice, small, memory, fp8_unsupported=unsupported)
        assert plan.reason == f"all of the model in float32: needs about {needed}"


@pytest.mark.parametrize(("total_gb", "float8"), [(80, False), (48, False), (34, True), (24, True)])
def test_free_memory_decides_what_stays_and_never_the_number_format(sizes, total_gb, float8):
    free = [gb / 2 for gb in range(18, 2 * total_gb - 2)]
    plans = [choose(sizes, gb, total_gb=total_gb) for gb in free]
    assert {plan.float8 for plan in plans} == {float8}
    kept = [NUM_BLOCKS + (p.num_resident is None) if p.num_resident in (None, NUM_BLOCKS)
            else p.num_resident for p in plans]  # fmt: skip
    assert kept == sorted(kept)
    assert len(set(kept)) > 10, "what stays follows what is free"


def test_latents_a_call_do_not_change_the_image(sizes):
    config = AvatarConfig()
    eight = model_sizes(config, (768, 448), config.chunk, torch.bfloat16, 8)
    for total_gb in (80, 48, 40, 37, 36, 24):
        found = [choose(each, total_gb - 1.5) for each in (sizes, eight)]
        assert found[0].float8 == found[1].float8, total_gb


@pytest.mark.parametrize(
    ("mode", "float8"), [("offload", False), ("float8", False), ("auto", True)]
)
def test_a_format_that_was_asked_for_needs_no_reason(sizes, mode, float8):
    assert "because" not in choose(sizes, 22.5, mode, float8=float8).reason


def test_a_float32_that_was_asked_for_stays():
    config = AvatarConfig()
    wide = model_sizes(config, (768, 448), config.chunk, torch.float32)
    assert not choose(wide, 46.5).float8
    assert choose(wide, 46.5, float8=True).float8
    assert choose(wide, 46.5, "float8").float8


def test_a_card_without_8_bit_multiplication_has_no_choice_of_format(sizes):
    assert "because" not in choose(sizes, 22.5, has_float8=False).reason


@pytest.mark.parametrize("free_gb", [140, 10])
def test_explicit_choices_are_kept(sizes, free_gb):
    assert choose(sizes, free_gb, "resident").num_resident is None
    plan = choose(sizes, free_gb, "offload")
    assert not plan.float8
    assert plan.num_resident <= NUM_BLOCKS
    assert choose(sizes, free_gb, "float8").float8
    assert choose(sizes, free_gb, "float8-offload:3").num_resident == 3
    assert choose(sizes, 140, "offload:40").num_resident == NUM_BLOCKS


@pytest.mark.parametrize(
    ("mode", "resident"),
    [("auto", NUM_BLOCKS), ("offload", NUM_BLOCKS), ("offload:5", 5), ("resident", None)],
)
def test_8_bit_floats_that_are_wanted_come_in_every_mode(sizes, mode, resident):
    plan = choose(sizes, 140, mode, float8=True)
    assert (plan.float8, plan.num_resident) == (True, resident)
    assert "in FP8" in plan.reason
    assert plan.peak_bytes < choose(sizes, 140, mode.replace("auto", "offload")).peak_bytes


@pytest.mark.parametrize("mode", ["offload:41", "float8-offload:99"])
def test_more_blocks_than_the_model_has_are_refused(sizes, mode):
    says = rf"^memory {mode}: the model has 40 blocks; use 40 or fewer, or 'resident'"
    with pytest.raises(InvalidInputError, match=says) as caught:
        choose(sizes, 140, mode)
    assert caught.value.subject == "memory"


def test_more_blocks_than_fit_are_refused_with_what_they_need(sizes):
    with pytest.raises(InvalidInputError, match=r"^memory offload:30: .* GB are free; use fewer"):
        choose(sizes, 20, "offload:30")


def test_too_little_for_anything_is_refused(sizes):
    with pytest.raises(InvalidInputError, match=r"^memory auto: with no block .* smaller size"):
        choose(sizes, 4)


@pytest.mark.parametrize("mode", ["float8", "float8-offload:2"])
def test_8_bit_floats_need_a_device_that_has_them(sizes, mode):
    with pytest.raises(InvalidInputError, match=rf"^memory {mode}: float8: too old; use 'off"):
        choose(sizes, 24, mode, has_float8=False)


def test_8_bit_floats_are_refused_with_what_the_device_lacks(sizes):
    with pytest.raises(InvalidInputError, match=r"^memory float8: float8 on mps: it runs on NVID"):
        plan_memory(MemoryChoice.parse("float8"), lambda: sizes, torch.device("mps"))


@pytest.mark.parametrize(("total_gb", "blocks"), [(8, 0), (12, 4), (24, 32)])
def test_cards_without_fp8_products_keep_blocks_in_fp8_too(sizes, total_gb, blocks):
    memory = DeviceMemory(round((total_gb - 1.5) * GB), total_gb * 10**9)
    stored = replace(sizes, stores_fp8=True)
    plan = choose_memory(MemoryChoice(), stored, memory, fp8_unsupported=None)
    multiplied = choose_memory(MemoryChoice(), sizes, memory, fp8_unsupported=None)
    assert plan.float8
    assert blocks <= plan.num_resident <= multiplied.num_resident
    assert "in FP8, multiplied in bfloat16, the others on the host" in plan.reason
    assert stored.peak_bytes(plan) >= sizes.peak_bytes(plan)


def test_a_file_in_fp8_is_not_rounded_again_where_fp8_is_only_kept(sizes):
    packed = PackedBlocks((sizes.blocks[True],) * NUM_BLOCKS, 10**9, is_fp8=True)
    memory = DeviceMemory(round(22.5 * GB), 24 * 10**9)
    for stores_fp8, float8 in ((False, True), (True, False)):
        counted = replace(sizes, packed=packed, stores_fp8=stores_fp8)
        plan = choose_memory(MemoryChoice(), counted, memory, fp8_unsupported=None)
        assert (plan.float8, plan.packed) == (float8, not float8)


def test_plans_know_the_memory_of_apples_and_intels_gpus(sizes, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 48 * 10**9)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 10**9)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    monkeypatch.setattr(torch.xpu, "mem_get_info", lambda _device: (11 * 10**9, 16 * 10**9))
    monkeypatch.setattr(torch.xpu, "memory_reserved", lambda _device: 3 * 10**9)
    monkeypatch.setattr(torch.xpu, "memory_allocated", lambda _device: 10**9)
    assert device_memory(torch.device("mps")) == DeviceMemory(47 * 10**9, 48 * 10**9)
    assert device_memory(torch.device("xpu")) == DeviceMemory(13 * 10**9, 16 * 10**9)
    assert device_memory(torch.device("xpu"), 10**9) == DeviceMemory(10**9, 16 * 10**9)
    assert device_memory(torch.device("cpu")) is None
    plan = plan_memory(MemoryChoice(), lambda: sizes, torch.device("xpu"))
    assert 0 < plan.num_resident < NUM_BLOCKS
    assert plan_memory(MemoryChoice(), lambda: sizes, torch.device("mps")).num_resident is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "all",
        "auto:3",
        "resident:1",
        "float8:2",
        "offload:",
        "offload:x",
        "offload:-1",
        "offload:" + 5000 * "9",
    ],
)
def test_a_mode_that_is_none_is_refused(text):
    with pytest.raises(InvalidInputError, match=r"^memory "):
        MemoryChoice.parse(text)


def test_memory_of_other_devices_is_taken_to_be_enough(sizes):
    def refuse():
        pytest.fail("counted")

    cpu = torch.device("cpu")
    assert plan_memory(MemoryChoice("auto"), refuse, cpu) == WHOLE
    wanted = MemoryChoice.parse("auto", float8=True)
    assert plan_memory(wanted, refuse, cpu) == replace(WHOLE, float8=True)
    plan = plan_memory(MemoryChoice.parse("float8"), lambda: sizes, cpu)
    assert (plan.float8, plan.num_resident) == (True, NUM_BLOCKS)
    assert str(sys.maxsize)[:4] not in plan.reason


def test_every_spelling_of_8_bit_floats_sets_the_one_field():
    assert MemoryChoice.parse("float8") == MemoryChoice("offload", float8=True)
    assert MemoryChoice.parse("float8-offload") == MemoryChoice("offload", float8=True)
    assert MemoryChoice.parse("float8-offload:3") == MemoryChoice("offload", 3, float8=True)
    assert MemoryChoice.parse("offload:3", float8=True) == MemoryChoice("offload", 3, float8=True)
    assert MemoryChoice.parse("auto", float8=True) == MemoryChoice(float8=True)
    assert MemoryChoice.parse("auto") == MemoryChoice(float8=None)


@pytest.mark.parametrize(
    "text", ["auto", "resident", "offload", "offload:3", "float8", "float8-offload:3"]
)
def test_a_choice_is_written_as_it_is_read(text):
    assert str(MemoryChoice.parse(text)) == text


@pytest.mark.parametrize(
    ("mode", "float8", "shown"),
    [
        ("auto", True, "auto, FP8"),
        ("resident", True, "resident, FP8"),
        ("offload:3", True, "float8-offload:3"),
        ("resident", False, "resident"),
    ],
)
def test_a_choice_shows_fp8_in_every_mode(mode, float8, shown):
    assert str(MemoryChoice.parse(mode, float8=float8)) == shown
    assert str(MemoryChoice(float8=False)) == "auto, no FP8"


def test_a_mode_with_8_bit_floats_in_it_is_a_spelling_and_no_mode():
    with pytest.raises(InvalidInputError, match=r"^memory 'float8': use one of auto, resident, of"):
        MemoryChoice("float8")


def test_a_small_card_can_be_set_to_keep_the_wide_dtype(sizes):
    memory = DeviceMemory(round(22.5 * GB), round(24 * GB))
    plan = choose_memory(MemoryChoice(float8=False), sizes, memory, fp8_unsupported=None)
    assert not plan.float8
    assert "because" not in plan.reason


def test_every_mode_has_a_plan(sizes):
    for mode in MODES:
        assert choose(sizes, 140, mode).reason


@pytest.mark.parametrize(("size_px", "step"), [((256, 160), True), ((768, 448), False)])
def test_graphs_take_memory_where_there_is_room_and_never_change_the_format(size_px, step):
    config = AvatarConfig()
    plain = model_sizes(config, size_px, config.chunk, torch.bfloat16)
    recorded = model_sizes(config, size_px, config.chunk, torch.bfloat16, graph="auto")
    audio = 40 * 2 * 9 * 32 * 5120 * 2
    assert (recorded.recordings > audio) == step, "large steps are not recorded, the encoder is"
    assert 100e6 < recorded.recordings < 1.2e9
    assert plain.recordings == 0
    plan = choose(recorded, 78.5)
    assert plan.graph == "auto"
    assert plan.peak_bytes > choose(plain, 78.5).peak_bytes
    for gb in (78.5, 46.5, 38.0, 30.5, 22.5, 10.5):
        found, expected = choose(recorded, gb), choose(plain, gb)
        same = {"peak_bytes": 0, "reason": ""}
        assert replace(found, graph="off", **same) == replace(expected, **same)
        assert found.peak_bytes <= gb * GB
    # Just too little for both: the model stays whole, its steps are launched one by one.
    gb = choose(plain, 78.5).peak_bytes / GB + 0.01
    found = choose(recorded, gb, total_gb=80)
    assert (found.num_resident, found.graph) == (None, "off")


def test_offloaded_weights_are_never_recorded():
    config = AvatarConfig()
    sizes = model_sizes(config, (256, 160), config.chunk, torch.bfloat16, graph="on")
    for mode in ("offload", "float8", "offload:12"):
        assert choose(sizes, 78.5, mode).graph == "off"
    assert choose(sizes, 78.5, "resident").graph == "on"


def test_devices_divide_the_work_and_each_has_all_weights(sizes):
    config, size_px = AvatarConfig(), (768, 448)
    two = Division(2, choose_grid("auto", size_px, 2))
    divided = model_sizes(config, size_px, config.chunk, torch.bfloat16, division=two)
    assert (divided.blocks, divided.others) == (sizes.blocks, sizes.others)
    assert divided.step < sizes.step
    assert divided.decode[False] < sizes.decode[False]
    assert divided.peak_bytes(WHOLE) > 0.9 * sizes.peak_bytes(WHOLE)


FIRST, SECOND, THIRD = (torch.device("cuda", index) for index in range(3))


@pytest.fixture
def cards(monkeypatch):
    """Let this machine have GPUs of some names, memory in GB and compute capabilities."""

    def describe(*found):
        known = [
            SimpleNamespace(name=name, total_memory=round(total * GB)) for name, total, _ in found
        ]
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda each: known[each.index])
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda each: known[each.index].name)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda each: found[each.index][2])

    def no_trial(product, device):
        assert device == FIRST, "a trial takes memory of a GPU that this process does not use"

    monkeypatch.setattr(fp8, "_product_error", no_trial)
    return describe


H200, L4, T4 = ("H200", 80, (9, 0)), ("L4", 24, (8, 9)), ("T4", 16, (7, 5))


@pytest.mark.parametrize(
    ("found", "float8"), [((H200, H200, H200), False), ((H200, H200, L4), True)]
)
def test_the_smallest_card_decides_for_all_and_is_named(sizes, cards, found, float8):
    cards(*found)
    free = round(78.5 * GB)
    plan = plan_memory(MemoryChoice(), lambda: sizes, FIRST, free, [SECOND, THIRD])
    assert plan.float8 == float8
    usable = min(free, round(found[2][1] * GB) - SYSTEM_BYTES) - PROCESS_BYTES
    assert plan.peak_bytes <= usable
    assert f"of {usable / GB:.1f} GB" in plan.reason
    assert f"a card of {found[2][1]}.0 GB" in plan.reason
    said = "; planned for all as for GPU 2 (L4) with 24.0 GB, the smallest"
    assert plan.reason.endswith(said) == float8
    assert "planned" not in plan.reason.removesuffix(said)


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("auto", "memory auto on GPU 1 (small): with no block on the device, about "),
        ("offload:40", "memory offload:40 on GPU 1 (small): that needs about "),
    ],
)
def test_a_card_without_room_is_named_with_the_bytes(sizes, cards, mode, says):
    cards(H200, ("small", 6, (9, 0)))
    with pytest.raises(InvalidInputError) as caught:
        plan_memory(MemoryChoice.parse(mode), lambda: sizes, FIRST, round(78.5 * GB), [SECOND])
    assert str(caught.value).startswith(says)
    assert "3.5 GB are free; " in str(caught.value)


def test_a_first_card_that_others_use_is_the_one_without_room(sizes, cards):
    cards(H200, H200)
    with pytest.raises(InvalidInputError, match=r"on GPU 0 \(H200\): .* leave that GPU out$"):
        plan_memory(MemoryChoice(), lambda: sizes, FIRST, 2 * GB, [SECOND])


def test_every_card_must_multiply_fp8_and_only_the_first_tries_it(sizes, cards):
    cards(H200, T4)
    choice = MemoryChoice.parse("float8")
    assert plan_memory(choice, lambda: sizes, FIRST, round(78.5 * GB)).float8
    with pytest.raises(InvalidInputError, match=r"^memory float8: float8 on T4: it needs compute"):
        plan_memory(choice, lambda: sizes, FIRST, round(78.5 * GB), [SECOND])


LINEAR = [
    *(f"self_attn.{name}" for name in "qkvo"), *(f"cross_attn.{name}" for name in "qkvo"),
    "cross_attn.k_img", "cross_attn.v_img", "ffn.0", "ffn.2", "audio_cross_attn.q_linear",
    "audio_cross_attn.kv_linear", "audio_cross_attn.proj",
]  # fmt: skip


@pytest.fixture(scope="module")
def packed():
    """Sizes of the full-size model from files of one packing."""

    def counted(packing):
        config = AvatarConfig()
        names = [f"blocks.{n}.{layer}.weight" for n in range(NUM_BLOCKS) for layer in LINEAR]
        return model_sizes(
            config, (768, 448), config.chunk, torch.bfloat16, packings=dict.fromkeys(names, packing)
        )

    return {packing.name: counted(packing) for packing in (Q4_K, Q8_0, FP8_E4M3)}


def test_packed_blocks_are_counted_in_the_bits_that_they_have(sizes, packed):
    dense = sum(sizes.blocks[False])
    for name, bits in (("Q4_K", 4.5), ("Q8_0", 8.5), ("fp8_e4m3fn", 8.01)):
        assert sum(packed[name].packed.blocks[0]) / dense == pytest.approx(bits / 16, rel=0.01)


@pytest.mark.parametrize("has_float8", [True, False])
@pytest.mark.parametrize(
    ("name", "free_gb", "is_packed", "resident"),
    [
        ("Q4_K", 78.5, False, None),
        ("Q4_K", 38.0, False, NUM_BLOCKS),
        ("Q4_K", 22.5, True, None),
        ("Q4_K", 14.5, True, 34),
        ("Q4_K", 10.5, True, 15),
        ("Q8_0", 30.5, True, None),
        ("Q8_0", 22.5, True, 37),
        ("Q8_0", 10.5, True, 7),
    ],
)
def test_blocks_stay_packed_where_unpacked_ones_do_not_fit(
    packed, name, free_gb, is_packed, resident, has_float8
):
    plan = choose(packed[name], free_gb, has_float8=has_float8)
    assert (plan.packed, plan.float8, plan.row_tiles) == (is_packed, False, False)
    assert plan.num_resident == resident
    assert packed[name].peak_bytes(plan) <= free_gb * GB
    assert ("in the file's own form" in plan.reason) == is_packed


def test_fp8_files_become_fp8_where_it_is_multiplied_and_stay_packed_elsewhere(packed):
    assert choose(packed["fp8_e4m3fn"], 22.5).float8
    plan = choose(packed["fp8_e4m3fn"], 22.5, has_float8=False)
    assert plan.packed
    assert choose(packed["Q4_K"], 22.5, float8=True).float8


@pytest.mark.parametrize("mode", ["resident", "offload", "offload:20"])
def test_other_modes_keep_blocks_packed_only_where_they_have_to(packed, mode):
    assert not choose(packed["Q4_K"], 78.5, mode).packed
    assert choose(packed["Q4_K"], 14.5, mode).packed


def test_layers_of_large_models_stay_packed_on_a_cpu():
    packings = {"blocks.0.ffn.0.weight": Q8_0}
    assert stay_packed_on_cpu(AvatarConfig().dit, packings)
    assert not stay_packed_on_cpu(AvatarConfig().dit, {})
    assert not stay_packed_on_cpu(replace(AvatarConfig().dit, dim=640, ffn_dim=1024), packings)

    def refuse():
        raise AssertionError

    plan = plan_memory(MemoryChoice(), refuse, torch.device("cpu"), stay_packed=True)
    assert plan == replace(WHOLE, packed=True)
    wanted = replace(MemoryChoice(), float8=True)
    plan = plan_memory(wanted, refuse, torch.device("cpu"), stay_packed=True)
    assert plan == replace(WHOLE, float8=True)
