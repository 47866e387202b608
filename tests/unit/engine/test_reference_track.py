"""Prompts over time: a change takes effect at the nearest border of two chunks."""

import pytest
import torch

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.engine.build import start_frames
from flashtalk_core.engine.chunk import TransformerDenoiser
from flashtalk_core.engine.reference import ReferenceTrack, encode_portrait, project_reference
from flashtalk_core.engine.request import PromptChange
from flashtalk_core.engine.session import run_session
from flashtalk_core.geometry import chunk_span

pytestmark = pytest.mark.cpu

CHUNK = ChunkConfig(num_frames=13, num_motion_frames=5)  # 8 new frames, 0.32 s


def changes(*seconds):
    return [PromptChange(second, f"prompt at {second}") for second in seconds]


@pytest.fixture
def make_track(toy):
    portrait = encode_portrait(toy.vae, toy.clip_tokens, toy.image, CHUNK.num_frames)

    def make(*seconds):
        generator = torch.Generator().manual_seed(1)
        contexts = torch.randn(1 + len(seconds), 4, 10, generator=generator).unbind()
        frames = start_frames(changes(*seconds), CHUNK)
        project = TransformerDenoiser(toy.model.networks).project
        return ReferenceTrack(project, portrait, contexts, frames), portrait, contexts

    return make


@pytest.fixture
def projections(toy, monkeypatch):
    """Contexts that were projected, in order."""
    seen = []
    project = toy.dit.project_session

    def counted(condition, context, clip_tokens, timesteps):
        seen.append(context[0])
        return project(condition, context, clip_tokens, timesteps)

    monkeypatch.setattr(toy.dit, "project_session", counted)
    return seen


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ((), [0, 0, 0, 0]),
        ((0.32,), [0, 1, 1, 1]),  # at a border
        ((0.36,), [0, 1, 1, 1]),  # just behind one
        ((0.28,), [0, 1, 1, 1]),  # just before one
        ((0.48,), [0, 1, 1, 1]),  # in the middle of a chunk
        ((0.52,), [0, 0, 1, 1]),  # behind it
        ((0.64, 0.96), [0, 0, 1, 2]),
        ((0.60, 0.68), [0, 0, 2, 2]),  # one chunk for both: the later one
        ((9.0,), [0, 0, 0, 0]),  # behind the end
    ],
)
def test_a_change_takes_effect_at_the_nearest_border(make_track, seconds, expected):
    track, *_ = make_track(*seconds)
    assert [track.index_at(chunk_span(index, CHUNK)) for index in range(4)] == expected


def test_a_change_right_at_the_start_shows_from_the_first_chunk_on(make_track):
    track, *_ = make_track(0.001)
    assert [track.index_at(chunk_span(index, CHUNK)) for index in range(2)] == [1, 1]


def test_seconds_become_frames_and_never_the_first_one():
    assert start_frames(changes(0.001, 0.5, 2), CHUNK) == [0, 1, 12, 50]
    assert start_frames([], CHUNK) == [0]


def test_each_prompt_is_projected_once_and_when_it_begins(make_track, projections):
    track, _, contexts = make_track(0.64, 0.96)
    assert projections == []
    counts = []
    for index in range(6):
        track.at(chunk_span(index, CHUNK))
        counts.append(len(projections))
    assert counts == [1, 1, 2, 3, 3, 3]
    assert all(map(torch.equal, projections, contexts))


def test_the_reference_is_the_portrait_with_that_prompt(make_track, toy):
    track, portrait, contexts = make_track(0.32)
    for index, context in enumerate(contexts):
        found = track.at(chunk_span(index, CHUNK)).session
        expected = project_reference(toy.dit, portrait, context).session
        for mine, theirs in zip(found.blocks, expected.blocks, strict=True):
            assert all(map(torch.equal, mine.text, theirs.text))


def test_only_one_projection_is_held(make_track):
    import gc
    import weakref

    track, *_ = make_track(0.32)
    first = weakref.ref(track.at(chunk_span(0, CHUNK)))
    track.at(chunk_span(1, CHUNK))
    gc.collect()
    assert first() is None


def test_a_changed_prompt_changes_the_image_from_its_chunk_on(make_plan, networks):
    from flashtalk_core.engine.build import build_avatar
    from flashtalk_core.media.audio.probe import AnalysisStream

    videos = []
    for prompts in ((), (PromptChange(0.32, "somebody laughs"),)):
        plan = make_plan(chunk=CHUNK, seconds=0.64, prompt_changes=prompts)
        with AnalysisStream(plan.audio, CHUNK.sample_rate_hz) as samples:
            avatar = build_avatar(plan, samples, networks)
            videos.append(torch.cat(list(run_session(avatar, 16))))
    assert torch.equal(videos[0][:8], videos[1][:8])
    assert not torch.equal(videos[0][8:], videos[1][8:])
