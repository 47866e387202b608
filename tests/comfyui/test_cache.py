"""Nothing is done twice, and nothing is mixed up."""

import pytest

from .graphs import OTHER_MODEL, add_node
from .videos import embedded, frames_digest

pytestmark = pytest.mark.comfyui

RENDERING = {"sampler", "decode", "preview", "save"}
KEPT_GB = 1.0


@pytest.fixture
def saved_graph(graph):
    """The chain with a node after it."""

    def make(**settings):
        return add_node(
            graph(**settings),
            "save",
            "SaveVideo",
            video=["preview", 0],
            filename_prefix="cache/saved",
            format="auto",
            codec="auto",
        )

    return make


def test_the_same_prompt_again_runs_nothing(comfy, saved_graph):
    first = comfy.render(saved_graph(sampler__seed=4711))
    again = comfy.render(saved_graph(sampler__seed=4711))
    assert first.executed >= RENDERING  # ComfyUI keeps what earlier prompts have in common
    assert again.executed == set()
    assert comfy.video(again) == comfy.video(first)


def test_a_new_seed_runs_only_what_it_must(comfy, saved_graph):
    first = comfy.render(saved_graph())
    other = comfy.render(saved_graph(sampler__seed=1))
    assert other.executed == RENDERING
    assert frames_digest(comfy.video(other)) != frames_digest(comfy.video(first))


def test_a_new_name_copies_the_kept_render(server, comfy, saved_graph):
    first = comfy.render(saved_graph(preview__keep_gb=KEPT_GB))
    server.begin_part()
    renamed = comfy.render(saved_graph(preview__keep_gb=KEPT_GB, preview__filename_prefix="b/c"))
    assert renamed.executed == {"preview", "save"}
    assert "copied" in server.part()
    assert comfy.video(renamed).parent.name == "b"
    assert embedded(comfy.video(renamed))["prompt"]["preview"] == renamed.prompt["preview"]
    assert frames_digest(comfy.video(renamed)) == frames_digest(comfy.video(first))


def test_a_deleted_video_is_made_again_once_as_a_copy(server, comfy, saved_graph):
    first = comfy.render(saved_graph(preview__keep_gb=KEPT_GB))
    comfy.video(first).unlink()
    server.begin_part()
    again = comfy.render(saved_graph(preview__keep_gb=KEPT_GB))
    assert again.executed == {"preview", "save"}
    assert "copied" in server.part()
    assert comfy.video(again).is_file()
    assert comfy.render(saved_graph(preview__keep_gb=KEPT_GB)).executed == set()
    assert "WARNING" not in server.part()


def test_a_deleted_video_of_an_earlier_seed_is_made_again(comfy, saved_graph):
    seeds = [{"sampler__seed": seed, "preview__keep_gb": KEPT_GB} for seed in (11, 12)]
    first, _ = (comfy.render(saved_graph(**seed)) for seed in seeds)
    comfy.video(first).unlink()
    assert comfy.video(comfy.render(saved_graph(**seeds[0]))).is_file()


OTHERS = {
    "plain": {},
    "model": {"loader__model": OTHER_MODEL},
    "settings": {"speech__mouth_strength": 0.5, "sampler__seed": 7},
}


def test_queued_prompts_with_other_models_and_settings_do_not_mix(comfy, graph):
    def prompt(name, run):
        return graph(**OTHERS[name], preview__filename_prefix=f"{run}/{name}")

    alone = {name: comfy.render(prompt(name, "alone")) for name in OTHERS}
    ids = {name: comfy.queue(prompt(name, "queued")) for name in reversed(OTHERS)}
    queued = {name: comfy.wait(ids[name]) for name in OTHERS}
    images = [
        [frames_digest(comfy.video(outcome)) for outcome in run.values()] for run in (alone, queued)
    ]
    assert images[0] == images[1]
    assert len(set(images[0])) == len(OTHERS)
    assert all("preview" in outcome.executed for outcome in queued.values())
