"""A transformer divided among ranks computes what it computes on one device."""

import pytest
import torch

from flashtalk_core.acceleration.attention_kernels import KERNELS
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.models.attention import sdpa
from flashtalk_core.models.transformer.layout import WHOLE
from flashtalk_core.models.transformer.runner import run_eager
from flashtalk_core.parallel.groups import ONE_RANK, sequence_groups
from flashtalk_core.parallel.sequence import exchanged_bytes, spread_transformer
from tests.unit.parallel.thread_ranks import run_ranks
from tests.unit.parallel.toy_transformer import (
    CONFIG,
    EXECUTIONS,
    ODD,
    TINY,
    EverywhereFloat8Attention,
    contexts,
    denoised,
    draw,
    make_transformer,
    on_rank,
    velocity,
)

pytestmark = pytest.mark.ranks

MAX_ERROR = 1e-5
RULES = ("renoise", "euler")
WAYS = [
    (1, 1), (2, 1), (1, 2), (3, 1), (1, 3), (4, 1), (2, 2), (1, 4), (5, 1), (7, 1), (6, 1),
    (3, 2), (2, 3), (8, 1), (4, 2), (2, 4), (1, 8),
]  # fmt: skip
"""Degrees of Ulysses and Ring; there are 6 heads."""
FEW_WAYS = [(2, 1), (1, 2), (2, 2), (8, 1)]
REGION_WAYS = [(2, 1), (1, 2), (3, 1), (1, 3), (4, 1), (2, 2), (1, 4)]


def name_of(way):
    return f"ulysses{way[0]}-ring{way[1]}"


def of_ranks(way, work, dit, **options):
    """Return what ``work(divided transformer)`` gives on each rank."""
    return run_ranks(way[0] * way[1], lambda world: work(on_rank(dit, world, way, **options)[0]))


def assert_equal(found, expected):
    assert float(expected.std()) > 0.1
    for each in found:
        assert each.shape == expected.shape
        assert float((each - expected).abs().max()) < MAX_ERROR


def relative_rms(result, expected):
    return float((result - expected).norm() / expected.norm())


@pytest.fixture(scope="module", params=EXECUTIONS)
def transformer(request):
    return make_transformer(request.param)


@pytest.fixture(scope="module")
def eager():
    return make_transformer()


@pytest.fixture(scope="module")
def expected_latents(transformer):
    return {rule: denoised(transformer, ODD, rule) for rule in RULES}


@pytest.mark.parametrize("way", WAYS, ids=name_of)
def test_all_steps_of_a_chunk_equal_those_of_one_device(transformer, expected_latents, way):
    is_eager = transformer.runner.execution is run_eager
    # Both rules for some ways, one for each execution for the others.
    rules = RULES if way in FEW_WAYS else RULES[is_eager:][:1]

    def work(dit):
        return [denoised(dit, ODD, rule) for rule in rules]

    for rule, *found in zip(rules, *of_ranks(way, work, transformer), strict=True):
        assert_equal(found, expected_latents[rule])


@pytest.mark.parametrize("way", [(8, 1), (2, 4), (1, 8)], ids=name_of)
def test_ranks_may_have_no_positions(transformer, way):
    found = of_ranks(way, lambda dit: velocity(dit, TINY), transformer)
    assert_equal(found, velocity(transformer, TINY))


@pytest.mark.parametrize("way", FEW_WAYS, ids=name_of)
@pytest.mark.parametrize("size", [ODD, TINY])
def test_two_speakers(transformer, way, size):
    expected = velocity(transformer, size, speakers=2)
    assert_equal(of_ranks(way, lambda dit: velocity(dit, size, 2), transformer), expected)


@pytest.mark.parametrize("way", REGION_WAYS, ids=name_of)
@pytest.mark.parametrize("size", [ODD, TINY])
def test_two_speakers_by_regions(transformer, way, size):
    """A rank may have no token of a region."""

    def work(dit):
        return velocity(dit, size, 2, "regions")

    expected = work(transformer)
    assert not torch.allclose(expected, velocity(transformer, size, 2), atol=1e-2)
    assert_equal(of_ranks(way, work, transformer), expected)


def test_one_transformer_takes_sizes_in_turn(transformer):
    def work(dit):
        return [velocity(dit, size) for size in (ODD, TINY, ODD)]

    expected = [velocity(transformer, size) for size in (ODD, TINY, ODD)]
    for found in of_ranks((2, 1), work, transformer):
        for one, right in zip(found, expected, strict=True):
            assert_equal([one], right)


def test_a_session_of_another_layout_is_noticed(eager):
    session, audio = contexts(eager, ODD)

    def work(dit):
        with pytest.raises(AssertionError, match="another layout"):
            dit(draw(1, 16, 3, *ODD, seed=0), torch.tensor([750.0]), session, audio)

    of_ranks((2, 1), work, eager)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_float8_layers_scale_the_same_rows(execution):
    dit = make_transformer(execution, float8=True)
    expected, exact = velocity(dit, ODD), velocity(make_transformer(execution), ODD)
    assert relative_rms(expected, exact) > 1e-2
    for way in FEW_WAYS:
        found = of_ranks(way, lambda own: velocity(own, ODD), dit)
        assert_same_float8(found, expected, exact)


def test_float8_attention_scales_as_on_one_device(transformer):
    alone = EverywhereFloat8Attention()
    whole, _ = on_rank(transformer, ONE_RANK.world, attention=alone)
    expected, exact = velocity(whole, ODD), velocity(transformer, ODD)
    assert alone.calls == CONFIG.num_layers
    assert relative_rms(expected, exact) > 5e-4
    for way in FEW_WAYS:
        attention = EverywhereFloat8Attention()
        found = of_ranks(way, lambda dit: velocity(dit, ODD), transformer, attention=attention)
        assert attention.calls > alone.calls
        assert_same_float8(found, expected, exact)


def assert_same_float8(found, expected, exact):
    """Rarely a number falls on the other side when it is rounded; the scales are the same."""
    for each in found:
        assert relative_rms(each, expected) < 0.1 * relative_rms(expected, exact)


@pytest.mark.parametrize("way", WAYS, ids=name_of)
@pytest.mark.parametrize("size", [ODD, TINY])
def test_bytes_of_a_layer_are_those_of_the_formula(eager, way, size):
    grid = (3, size[0] // 2, size[1] // 2)

    def work(world):
        own, groups = on_rank(eager, world, way)
        tokens = own.layout.scatter(draw(1, 3 * grid[1] * grid[2], 6, 16, seed=0), grid)
        own.blocks[0].self_attn.attention(tokens, tokens, tokens)
        # Ulysses has the world's own group where there is no Ring, and the other way round.
        groups_once = {id(group): group for group in (world, groups.ulysses, groups.ring)}
        sent = sum(getattr(group, "sent_bytes", 0) for group in groups_once.values())
        return sent, getattr(own.layout, "lengths", (tokens.shape[1],))

    for rank, (sent, lengths) in enumerate(run_ranks(way[0] * way[1], work)):
        assert sent == exchanged_bytes(lengths, (6, 16), way, rank, 4)


def test_bytes_of_a_layer_at_full_size():
    # 12,096 tokens of 5,120 numbers in bfloat16; the table of the design in megabytes.
    for (ulysses, ring), expected in {(2, 1): 124, (8, 1): 54, (1, 8): 217, (4, 2): 77}.items():
        lengths = [12_096 // (ulysses * ring)] * (ulysses * ring)
        found = exchanged_bytes(lengths, (40, 128), (ulysses, ring), 0, 2)
        assert round(found / 1e6) == expected
        own = lengths[0] * 5120 * 2
        assert found == 4 * own * (ulysses - 1) // ulysses + 2 * own * (ring - 1)


def test_a_transformer_can_be_divided_in_another_way_and_made_whole_again(transformer):
    expected = velocity(transformer, ODD)

    def work(world):
        dit, _ = on_rank(transformer, world)
        found = [velocity(dit, ODD)]
        spread_transformer(dit, sequence_groups(world, ring=2))
        found.append(velocity(dit, ODD))
        spread_transformer(dit, ONE_RANK)
        assert dit.layout is WHOLE
        assert {block.self_attn.attention for block in dit.blocks} == {sdpa}
        return found, velocity(dit, ODD)

    for found, whole in run_ranks(2, work):
        assert_equal(found, expected)
        assert torch.equal(whole, expected)


def test_a_kernel_without_log_sum_exp_is_refused_before_anything_changes(eager):
    def attend(q, k, v):
        raise AssertionError

    attend.__name__ = next(kernel.name for kernel in KERNELS if not kernel.has_lse)

    def work(world):
        with pytest.raises(InvalidInputError, match=r"returns no log-sum-exp.* \(ring 1\)"):
            on_rank(eager, world, (1, 2), attention=attend)
        own, _ = on_rank(eager, world, (2, 1), attention=attend)
        return own.blocks[0].self_attn.attention.local is attend

    assert run_ranks(2, work) == [True, True]
