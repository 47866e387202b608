"""Events of a render: their order, stops raised from each of them, and what they leave behind."""

from itertools import groupby

import pytest
import torch

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.engine.build import LocalEngine
from flashtalk_core.engine.events import NO_EVENTS, EventHandlers
from flashtalk_core.engine.render import render_video
from flashtalk_core.jobs.job import open_writer
from flashtalk_core.media.video.reading.measure import measure_video
from flashtalk_core.placement.residency import CachedNetworks

pytestmark = pytest.mark.cpu

CHUNK = ChunkConfig(num_frames=9, num_motion_frames=5)
NAMES = ("loading", "ready", "step", "stage", "frames", "state")


@pytest.fixture
def plan(make_plan):
    return make_plan(chunk=CHUNK, steps=2, seconds=0.4)  # 10 frames in 3 chunks of 4


@pytest.fixture(scope="module")
def events_of(make_plan, checkpoint, tmp_path_factory):
    """All events of one render, as pairs of a name and an argument."""
    plan, seen = make_plan(chunk=CHUNK, steps=2, seconds=0.4), []
    events = EventHandlers(
        **{name: lambda *args, name=name: seen.append((name, *args)) for name in NAMES}
    )
    networks = CachedNetworks(checkpoint, plan.placement, events)
    writer = open_writer(plan, tmp_path_factory.mktemp("events") / "a.mp4", crf=30)
    render_video(plan, writer, LocalEngine(networks), events=events)
    return seen


def without(seen, *names):
    return [event for event in seen if event[0] not in names]


def test_weights_are_read_before_the_clock_starts_except_the_audio_encoders(events_of):
    kinds = [(name, *(kind.__name__ for kind in args)) for name, *args in
             without(events_of, "step", "stage", "frames", "state")]  # fmt: skip
    assert [kind for kind, _ in groupby(kinds)] == [
        ("loading", "TextEncoder"),
        ("loading", "ClipVision"),
        ("loading", "VideoVAE"),
        ("loading", "AvatarDiT"),
        ("ready",),
        ("loading", "AudioEncoder"),
    ]
    assert all(kinds.count(kind) > 5 for kind in set(kinds) - {("ready",)})  # each tensor


def test_frames_are_reported_once_they_are_written_and_a_state_after_each_whole_chunk(events_of):
    say = {"step": int, "frames": lambda frames: tuple(frames.shape),
           "state": lambda state: state.chunk_index}  # fmt: skip
    seen = [(name, say[name](args[0])) for name, *args in events_of if name in say]
    steps, group = [("step", 0), ("step", 1)], ("frames", (4, 32, 32, 3))
    assert seen == [
        *steps, group, ("state", 1),
        *steps, group, ("state", 2),
        *steps, ("frames", (2, 32, 32, 3)),
    ]  # fmt: skip


def test_stages_follow_the_loop(events_of):
    seen = [args[0] for name, *args in events_of if name == "stage"]
    # Three latents: a frame that nothing needs, four that are not shown but that the next chunk
    # begins with one of, and four that are shown.
    hidden, shown = ["decode"], ["decode", "colour", "to host"]
    kept = ["decode", "colour"]
    chunk = ["audio encoder", "motion encode", "audio projection", "noise", "step 1", "step 2"]
    assert seen == 3 * [*chunk, *hidden, *kept, *shown]


def test_a_step_begins_where_the_stage_before_it_ends(events_of):
    seen = [event[:2] for event in without(events_of, "loading", "ready", "frames", "state")]
    start = seen.index(("stage", "noise"))
    assert seen[start : start + 5] == [
        ("stage", "noise"), ("step", 0), ("stage", "step 1"), ("step", 1), ("stage", "step 2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "call", "kind", "num_frames"),
    [
        ("loading", 1, KeyboardInterrupt, None),
        ("loading", 100, RuntimeError, None),
        ("ready", 1, KeyboardInterrupt, None),
        ("stage", 1, RuntimeError, None),
        ("step", 1, KeyboardInterrupt, None),
        ("step", 4, RuntimeError, 4),  # in the second chunk
        ("stage", 14, KeyboardInterrupt, 4),
        ("frames", 1, RuntimeError, 4),
        ("frames", 2, KeyboardInterrupt, 8),
        ("state", 1, KeyboardInterrupt, 4),
        ("state", 2, RuntimeError, 8),
    ],
)
def test_a_stop_from_any_event_leaves_what_was_written(
    plan, checkpoint, networks, tmp_path, name, call, kind, num_frames
):
    count = 0

    def stop(*_args):
        nonlocal count
        count += 1
        if count == call:
            raise kind("stopped on request")

    events = EventHandlers(**{name: stop})
    if name == "loading":
        networks = CachedNetworks(checkpoint, plan.placement, events)
    with pytest.raises(kind, match="stopped on request") as caught:
        render_video(
            plan,
            open_writer(plan, tmp_path / "a.mp4", crf=30),
            LocalEngine(networks),
            events=events,
        )
    partial = tmp_path / "a.partial.mp4"
    if num_frames is None:
        assert list(tmp_path.iterdir()) == []
        return
    assert [path.name for path in tmp_path.iterdir()] == [partial.name]
    assert measure_video(partial).num_frames == num_frames
    assert any(str(partial) in note for note in caught.value.__notes__)


def test_networks_serve_the_next_render_after_a_stop(plan, networks, tmp_path):
    def stop(_name):
        raise KeyboardInterrupt

    writer = open_writer(plan, tmp_path / "a.mp4", crf=30)
    with pytest.raises(KeyboardInterrupt):
        render_video(plan, writer, LocalEngine(networks), events=EventHandlers(stage=stop))
    shown = []
    writer = open_writer(plan, tmp_path / "a.mp4", crf=30)
    render_video(plan, writer, LocalEngine(networks), events=EventHandlers(frames=shown.append))
    assert sum(map(len, shown)) == 10


def test_watching_changes_no_frame(toy):
    watched, seen = [], []
    events = EventHandlers(step=seen.append, stage=seen.append)
    for given in ({}, {"events": NO_EVENTS}, {"events": events}):
        watched.append(toy.run(**given))
    (frames, state), *others = watched
    assert all(torch.equal(frames, other) for other, _ in others)
    assert all(torch.equal(state.motion_frames, other.motion_frames) for _, other in others)
    assert seen


def test_handlers_that_are_left_out_do_nothing_and_return_nothing():
    arguments = {"ready": ()}
    for name in NAMES:
        assert getattr(NO_EVENTS, name)(*arguments.get(name, (None,))) is None
