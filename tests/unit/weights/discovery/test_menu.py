"""The menu of transformers lists what can be chosen, and every entry resolves."""

import os

import pytest

from flashtalk_core.errors import WeightsError
from flashtalk_core.weights.discovery.menu import list_transformers, resolve_choice

pytestmark = pytest.mark.cpu


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def shards(folder, count=3):
    stem = f"{folder}diffusion_pytorch_model"
    return [f"{stem}-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)]


def test_files_and_folders_of_shards_are_listed_once_and_sorted(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    fill(first, "wan.safetensors", "b/FlashTalk_fp8.safetensors", "notes.txt", "a.gguf")
    fill(first, *shards("SoulX-FlashTalk-14B/"))
    fill(first, "SoulX-FlashTalk-14B/diffusion_pytorch_model.safetensors.index.json")
    fill(second, "wan.safetensors", "Alone.SAFETENSORS")
    assert list_transformers([first, second, tmp_path / "absent"]) == [
        "a.gguf",
        "Alone.SAFETENSORS",
        "b/FlashTalk_fp8.safetensors",
        "SoulX-FlashTalk-14B/",
        "wan.safetensors",
    ]


def test_other_parts_and_hidden_folders_are_left_out(tmp_path):
    fill(tmp_path, *shards("model/", 2), "model/vae.safetensors", "model/Wan2.1_VAE.safetensors")
    fill(tmp_path, "umt5_xxl_fp16.safetensors", "clip_vision_h.safetensors")
    fill(tmp_path, "wav2vec2-chinese-base_fp16.safetensors", ".cache/part.safetensors")
    assert list_transformers([tmp_path]) == ["model/"]


def test_shards_in_a_given_folder_are_named_by_their_first(tmp_path):
    fill(tmp_path, *shards("", 2), "x-00001-of-00004.safetensors", "x-00002-of-00004.safetensors")
    assert list_transformers([tmp_path]) == [shards("", 2)[0], "x-00001-of-00004.safetensors"]


def test_menus_list_files_to_a_bounded_depth(tmp_path):
    fill(tmp_path, "1/2/3/in.safetensors", "1/2/3/4/out.safetensors")
    assert list_transformers([tmp_path]) == ["1/2/3/in.safetensors"]


def test_links_are_followed_once(tmp_path):
    fill(tmp_path, "models/a/one.safetensors", "elsewhere/two.safetensors")
    models = tmp_path / "models"
    (models / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (models / "again").symlink_to(models / "a", target_is_directory=True)
    (models / "a" / "up").symlink_to(models, target_is_directory=True)
    (models / "broken.safetensors").symlink_to(tmp_path / "nothing")
    assert list_transformers([models]) == ["a/one.safetensors", "linked/two.safetensors"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a folder out of reach")
def test_a_folder_out_of_reach_is_passed_over(tmp_path):
    fill(tmp_path, "a.safetensors", "closed/b.safetensors")
    (tmp_path / "closed").chmod(0)
    try:
        assert list_transformers([tmp_path]) == ["a.safetensors"]
    finally:
        (tmp_path / "closed").chmod(0o755)


def test_every_entry_resolves_to_the_first_folder_that_has_it(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    fill(first, "a.safetensors")
    fill(second, "a.safetensors", *shards("deep/sharded/"))
    folders = [first, second]
    resolved = {name: resolve_choice(folders, name) for name in list_transformers(folders)}
    assert resolved == {
        "a.safetensors": first / "a.safetensors",
        "deep/sharded/": second / "deep" / "sharded",
    }


@pytest.mark.parametrize(
    "name", ["gone.safetensors", "gone/", "a.safetensors/", "folder", "", "../secret.safetensors"]
)
def test_an_entry_that_is_gone_names_the_folders(tmp_path, name):
    models = tmp_path / "models"
    fill(models, "a.safetensors", "folder/b.safetensors")
    fill(tmp_path, "secret.safetensors")
    with pytest.raises(WeightsError) as caught:
        resolve_choice([models, tmp_path / "more"], name)
    message = str(caught.value)
    for text in (repr(name), str(models), str(tmp_path / "more"), "choose another"):
        assert text in message


def test_an_absolute_path_is_no_entry(tmp_path):
    fill(tmp_path, "a.safetensors")
    with pytest.raises(WeightsError, match="not found in any folder"):
        resolve_choice([], "a.safetensors")
    with pytest.raises(WeightsError, match="choose another"):
        resolve_choice([tmp_path / "x"], str(tmp_path / "a.safetensors"))
