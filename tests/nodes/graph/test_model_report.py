"""What is missing of a model: reported at once, before anything runs."""

import shutil

import pytest

from tests.large_files import write_large_model

pytestmark = pytest.mark.cpu

PARTS = ("model", "vae", "text_encoder", "clip_vision", "audio_encoder")
AUTO = dict.fromkeys(PARTS, "auto")


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def installed(pack, models):
    """The 14B model; its weights are holes."""
    write_large_model(models, pack["nodes.host.model_files"].resolve_model("tiny") / "spiece.model")
    return models


@pytest.fixture
def validate(pack, monkeypatch):
    """Ask the loader as ComfyUI does before a run; no network may be built for it."""

    def refuse(*_args, **_kwargs):
        pytest.fail("too much work before a run")

    monkeypatch.setattr(pack["flashtalk_core.weights.load"], "plan_component", refuse)
    files = pack["flashtalk_core.weights.formats.tensor_file"]
    monkeypatch.setattr(files.TensorFile, "reading", refuse)
    return pack.nodes["FlashTalk_ModelLoader"].validate_inputs


def test_a_model_that_is_there_is_accepted(validate, installed):
    assert validate(**AUTO) is True
    assert validate(**AUTO | {"model": "tiny (bundled)"}) is True


def test_what_comes_over_a_link_is_checked_when_it_is_known(validate):
    assert validate(**AUTO | {"vae": None}) is True


def test_all_missing_parts_are_reported_in_one_message(validate):
    lines = str(validate(**AUTO)).splitlines()
    assert lines[0] == "5 parts of the model are missing or cannot be used:"
    assert [line.partition(":")[0] for line in lines[1:]] == [f"- input '{name}'" for name in PARTS]
    assert all("not found in" in line and "https://huggingface.co/" in line for line in lines[1:])


def test_comfyui_shows_it_once_though_it_asks_for_every_input(validate):
    refusal = validate(**AUTO)
    assert "5 parts" in str(refusal)
    others = [str(refusal) for _ in PARTS[1:]]
    assert others == ["the reason is given at another input of this node"] * 4


def test_missing_and_damaged_parts_are_reported_together(validate, installed):
    (installed / "vae" / "wan_2.1_vae.safetensors").write_bytes(b"<html>Sign in</html>")
    (installed / "clip_vision" / "clip_vision_h.safetensors").write_bytes(b"")
    shutil.rmtree(installed / "audio_encoders")
    text = str(validate(**AUTO))
    assert "- input 'vae': " in text
    assert "a web page in place of the file" in text
    assert "- input 'clip_vision': " in text
    assert "- input 'audio_encoder': audio encoder not found in " in text
    assert "input 'model'" not in text


def test_a_damaged_transformer_hides_nothing(validate, installed):
    path = installed / "diffusion_models" / "flashtalk_14b_fp8_scaled.safetensors"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (installed / "vae" / "wan_2.1_vae.safetensors").unlink()
    text = str(validate(**AUTO))
    assert text.index("a Git LFS pointer") < text.index("video autoencoder not found in ")


def test_one_error_is_one_line(validate, installed):
    (installed / "vae" / "wan_2.1_vae.safetensors").unlink()
    text = str(validate(**AUTO))
    assert text.startswith("input 'vae': video autoencoder not found in ")
    assert "\n" not in text


def test_a_choice_that_is_gone_is_reported_with_the_rest(validate, installed):
    """ComfyUI's own check of these menus is off: the node has one of its own."""
    (installed / "clip_vision" / "clip_vision_h.safetensors").unlink()
    text = str(validate(**AUTO | {"model": "gone.safetensors", "vae": "gone.safetensors"}))
    assert "- input 'model': diffusion transformer 'gone.safetensors' not found in " in text
    gone = installed / "vae" / "gone.safetensors"
    assert f"- input 'vae': video autoencoder {gone}: no such file; choose another" in text
    assert "- input 'clip_vision': CLIP vision tower not found in " in text


def test_a_part_that_is_left_out_is_not_missed(validate, installed):
    shutil.rmtree(installed / "clip_vision")
    assert validate(**AUTO | {"clip_vision": "none"}) is True


def test_a_run_reports_the_same_errors_as_the_validation(pack, validate):
    message = str(validate(**AUTO))
    assert pack.error("ModelLoader", **AUTO) == f"FlashTalk Model Loader: {message}"


@pytest.mark.parametrize(
    "spell",
    [
        str,
        lambda path: f"../../{path.parent.name}/{path.name}",
        lambda path: rf"\\host\share\{path.name}",
        lambda path: "..",
        lambda path: f"sub/../../{path.name}",
    ],
    ids=["absolute", "above", "other machine", "dots", "through a folder"],
)
@pytest.mark.parametrize("part", ["vae", "text_encoder", "clip_vision", "audio_encoder"])
def test_no_file_outside_the_parts_own_folders_is_looked_at(
    validate, installed, tmp_path, spell, part
):
    secret = tmp_path / "elsewhere" / "secret.safetensors"
    secret.parent.mkdir()
    secret.write_bytes(b"version https://git-lfs, which would be shown")
    text = str(validate(**AUTO | {part: spell(secret)}))
    assert "no such file" in text or "cannot be" in text or "not found" in text
    assert "Git LFS" not in text
    assert str(secret.parent) not in text


def test_a_name_that_leads_elsewhere_is_refused(validate, installed):
    text = str(validate(**AUTO | {"model": "../../etc/passwd"}))
    assert text.startswith("input 'model': diffusion transformer '../../etc/passwd' not found in ")
