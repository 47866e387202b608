"""Invalid settings next to the weights: refused with file and key, nothing is built."""

import json
import os
import time

import pytest

from flashtalk_core.errors import WeightsError
from flashtalk_core.weights.discovery.layout import find_model_files, resolve_model
from flashtalk_core.weights.load import open_avatar, open_checkpoint

pytestmark = pytest.mark.cpu

DIT = "diffusion_pytorch_model.safetensors"
INDEX = f"{DIT}.index.json"
MAX_S = 3.0
"""Of a process that is busy otherwise, too; what is built in vain takes minutes."""


@pytest.fixture
def folder(tmp_path):
    """The tiny model, its files linked, its settings to be changed."""
    tiny = resolve_model("tiny")
    for path in tiny.iterdir():
        (tmp_path / path.name).symlink_to(path)
    settings = tmp_path / "flashtalk.json"
    settings.unlink()
    settings.write_text((tiny / "flashtalk.json").read_text())
    open_avatar(tmp_path)  # nothing is imported for the first time below
    return tmp_path


def change(folder, section, **values):
    path = folder / "flashtalk.json"
    settings = json.loads(path.read_text())
    (settings[section] if section else settings).update(values)
    path.write_text(json.dumps(settings))


def refusal(folder):
    start = time.process_time()
    with pytest.raises(WeightsError) as caught:
        open_avatar(folder)
    assert time.process_time() - start < MAX_S
    message = str(caught.value)
    assert message.isprintable()
    assert str(folder) in message
    assert len(message) < 600
    return message


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("dit", "num_layers", 20_000, "flashtalk.json: dit.num_layers 20000: use a whole number"),
        ("dit", "num_layers", 100, "flashtalk.json: dit.num_layers 100, but"),
        (
            "vae",
            "temporal_downsample",
            [True, True, True],
            "one latent for 8 frames and 8 pixels, where 4 and 8 are known; take the Wan 2.1 VAE",
        ),
        ("text", "num_layers", 90, "text.num_layers 90, but"),
        ("clip", "num_layers", 4, "clip.num_layers 4, but"),
        ("audio", "num_hidden_layers", 128, "audio.num_hidden_layers 128, but"),
        ("vae", "num_res_blocks", 30, "vae.num_res_blocks 30, but"),
        ("vae", "num_res_blocks", 100_000, "vae.num_res_blocks 100000: use"),
        ("dit", "text_len", "24", "dit.text_len '24': use a whole number"),
        ("vae", "dim", -8, "vae.dim -8: use"),
        ("audio", "conv_kernel", [10, 3, 3, 3, 3, "2", 2], "audio.conv_kernel [10, 3"),
        ("clip", "mlp_ratio", None, "clip.mlp_ratio None: use a number"),
        ("clip", "image_size", 28, "image tokens 5, but the transformer"),
        ("dit", "clip_tokens", 5, "image tokens 257, but"),
        ("dit", "dim", 11 * 64, "has shape"),
        (None, "size_px", [128], "flashtalk.json: size_px [128]: use a list of 2"),
        (None, "prompt", 5, "flashtalk.json: prompt 5: use a text"),
        (None, "dit", 5, "flashtalk.json: dit 5: use an object in braces"),
        (None, "chunk", [], "flashtalk.json: chunk []: use an object in braces"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_setting_that_cannot_be(folder, section, key, value, said):
    change(folder, section, **{key: value})
    assert said in refusal(folder)


def test_a_count_that_only_the_header_bears_out(folder):
    """Names are cheap: a header may claim as many layers as a setting does."""
    names = {f"blocks.{number}.a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
             for number in range(20_000)}  # fmt: skip
    text = json.dumps(names).encode()
    (folder / DIT).unlink()
    (folder / DIT).write_bytes(len(text).to_bytes(8, "little") + text)
    settings = json.loads((folder / "flashtalk.json").read_text())
    del settings["dit"]
    (folder / "flashtalk.json").write_text(json.dumps(settings))
    refusal(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested more than"),
        ('{"dit": {"dim": 1, "dim": 2}}', "key 'dim' is there twice"),
        ('{"dit": {"eps": NaN}}', "dit.eps nan: use a number"),
        ('{"dit": {"eps": 1e999}}', "dit.eps inf: use a number"),
        (f'{{"dit": {{"dim": {"9" * 4000}}}}}', "dit.dim 9999"),
        ("5", "expected a JSON object"),
        (" " * 9_000_000, "more than 8000000 bytes"),
    ],
    ids=lambda value: value[:24],
)
def test_a_settings_file_that_cannot_be(folder, text, said):
    (folder / "flashtalk.json").write_text(text)
    message = refusal(folder)
    assert said in message
    assert "flashtalk.json" in message


def test_a_setting_of_the_authors_file_is_named_with_it(folder):
    (folder / "config.json").write_text('{"num_layers": "40"}')
    assert "config.json: num_layers '40': use" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a" * 300 + ".safetensors", "is no name of a safetensors file next to it"),
        ("../a.safetensors", "is no name of a safetensors file next to it"),
        ("/etc/a.safetensors", "is no name of a safetensors file next to it"),
        ("..\\a.safetensors", "is no name of a safetensors file next to it"),
        ("a\0.safetensors", "is no name of a safetensors file next to it"),
        ("\ud800.safetensors", "is no name of a safetensors file next to it"),
        (INDEX, "is no name of a safetensors file next to it"),
        ("", "is no name of a safetensors file next to it"),
        (5, "5 is no name of a safetensors file next to it"),
        (["a.safetensors"], "is no name of a safetensors file next to it"),
        ("gone.safetensors", "gone.safetensors: named in"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_an_index_that_names_no_file_next_to_it(folder, name, said):
    (folder / DIT).unlink()
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    assert said in refusal(folder)


def test_sizes_that_only_a_missing_settings_file_tells(folder):
    (folder / "flashtalk.json").unlink()
    message = refusal(folder)
    assert "without flashtalk.json or config.json: DiT width 176 with 40 heads" in message


def test_an_index_of_too_many_shards(folder):
    (folder / DIT).unlink()
    names = {str(number): f"{number}.safetensors" for number in range(5000)}
    (folder / INDEX).write_text(json.dumps({"weight_map": names}))
    assert "names 5000 shards, the limit is 1000" in refusal(folder)


@pytest.mark.parametrize("number", ["00000-of-00000", "00003-of-00002", "00001-of-99999"])
def test_a_shard_that_cannot_be_numbered_so(folder, number):
    (folder / DIT).rename(folder / f"diffusion_pytorch_model-{number}.safetensors")
    assert "cannot be; shards are counted from 1" in refusal(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into any folder")
def test_a_folder_that_may_not_be_looked_into(folder):
    folder.chmod(0)
    try:
        assert "Permission denied" in refusal(folder)
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("~nosuchuser/x", "no home folder is known for this user"),
        ("a" * 5000, "no such folder"),
        ("a\0b", "no such folder"),
        ("", "no name"),
        (str(resolve_model("tiny") / "flashtalk.json"), "this is a file"),
        ("\x1b[2J\udce9", "model '\\x1b[2J\\xe9': no such folder"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_model_that_is_no_folder(model, said):
    with pytest.raises(WeightsError) as caught:
        open_avatar(model)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 800


def test_what_the_settings_leave_out_is_said_once_and_not_by_looking(folder, caplog):
    settings = json.loads((folder / "flashtalk.json").read_text())
    del settings["prompt"], settings["name"]
    (folder / "flashtalk.json").write_text(json.dumps(settings))
    files = find_model_files(folder)
    assert find_model_files(folder).identity == files.identity
    assert not caplog.messages
    open_checkpoint(files)
    (message,) = caplog.messages
    assert "does not set prompt, name; taken" in message
