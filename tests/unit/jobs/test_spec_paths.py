"""Paths of a spec hold in any folder, and all files that a render is made from are known."""

from pathlib import Path

import pytest

from flashtalk_core.engine.spec import FramesSpec, LoraSpec, ModelSpec, RenderSpec, Speaker
from flashtalk_core.jobs.spec_paths import source_files, whole_paths

pytestmark = pytest.mark.cpu


def test_paths_hold_in_any_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w").mkdir()
    for name in ("vae.safetensors", "l.safetensors", "tiny", "auto"):
        (tmp_path / name).touch()
    model = ModelSpec(
        name="w", vae="vae.safetensors", loras=(LoraSpec("l.safetensors", 0.5), LoraSpec("menu"))
    )
    spec = whole_paths(
        RenderSpec(
            portrait="p.png",
            speakers=(Speaker(audio="a.wav", mask="m.png"),),
            soundtrack="s.wav",
            face_detector="y.onnx",
            frames=FramesSpec(upscale="u.pth"),
            model=model,
        )
    )
    assert spec.soundtrack == str(tmp_path / "s.wav")
    assert spec.face_detector == str(tmp_path / "y.onnx")
    assert spec.frames.upscale == str(tmp_path / "u.pth")
    assert spec.portrait == str(tmp_path / "p.png")
    assert spec.speakers == (Speaker(audio=str(tmp_path / "a.wav"), mask=str(tmp_path / "m.png")),)
    assert spec.model == ModelSpec(
        name=str(tmp_path / "w"),
        vae=str(tmp_path / "vae.safetensors"),
        loras=(LoraSpec(str(tmp_path / "l.safetensors"), 0.5), LoraSpec("menu")),
    )
    assert whole_paths(spec) == spec
    assert whole_paths(RenderSpec()).model.name == "tiny"


def test_files_of_a_render_are_all_that_it_reads_but_its_model():
    spec = RenderSpec(
        portrait="p.png",
        speakers=(Speaker(audio="a.wav", mask="left"), Speaker(audio="b.wav", mask="m.png")),
        soundtrack="s.wav",
        face_detector="y.onnx",
        frames=FramesSpec(upscale="u.pth"),
    )
    names = ["p.png", "a.wav", "b.wav", "m.png", "s.wav", "y.onnx", "u.pth"]
    assert source_files(spec) == [Path(name) for name in names]
    assert source_files(RenderSpec()) == []
