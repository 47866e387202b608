"""ComfyUI is found where people have it, and a reason is given where it is not."""

import sys

import pytest

from .install import NoComfyUI, find_install

pytestmark = pytest.mark.cpu


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "ComfyUI"
    folder.mkdir()
    (folder / "main.py").touch()
    (folder / "requirements.txt").write_text("pytest>=8\n\n#non essential\nno-such-thing\n")
    return folder


def test_an_interpreter_that_has_what_is_needed_is_taken(folder):
    install = find_install({"COMFYUI_PATH": str(folder)})
    assert (install.folder, str(install.python)) == (folder, sys.executable)


def test_the_version_is_read(folder):
    (folder / "comfyui_version.py").write_text('# of 2026-02\n__version__ = "0.11.1"\n')
    assert find_install({"COMFYUI_PATH": str(folder)}).version == (0, 11, 1)


def test_a_missing_package_is_named(folder):
    (folder / "requirements.txt").write_text("pytest\nno-such-thing==1\n")
    with pytest.raises(NoComfyUI, match=r"lacks no-such-thing, .*COMFYUI_PYTHON"):
        find_install({"COMFYUI_PATH": str(folder)})


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(NoComfyUI, match=r"no ComfyUI in .*nowhere; .*COMFYUI_PATH"):
        find_install({"COMFYUI_PATH": str(tmp_path / "nowhere")})


def test_a_missing_interpreter_is_named(folder, tmp_path):
    with pytest.raises(NoComfyUI, match=r"COMFYUI_PYTHON names .*nothing"):
        find_install({"COMFYUI_PATH": str(folder), "COMFYUI_PYTHON": str(tmp_path / "nothing")})
