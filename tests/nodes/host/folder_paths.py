"""Folders below one base folder, which a test chooses with :func:`use_base`."""

import os
from pathlib import Path

KINDS = ("diffusion_models", "vae", "text_encoders", "clip_vision", "audio_encoders", "loras")

base_path = ""
models_dir = ""
folder_names_and_paths = {}


def use_base(folder):
    """Look for everything below ``folder``, and forget what packs added."""
    global base_path, models_dir
    base_path, models_dir = str(folder), str(Path(folder) / "models")
    folder_names_and_paths.clear()
    for kind in KINDS:
        add_model_folder_path(kind, str(Path(models_dir) / kind))
    Path(get_output_directory()).mkdir(parents=True, exist_ok=True)


def add_model_folder_path(folder_name, full_folder_path):
    paths, _ = folder_names_and_paths.setdefault(folder_name, ([], set()))
    if full_folder_path not in paths:
        paths.append(full_folder_path)


def get_folder_paths(folder_name):
    return list(folder_names_and_paths[folder_name][0])


def get_filename_list(folder_name):
    files = []
    for folder in map(Path, get_folder_paths(folder_name)):
        found = (path for path in folder.rglob("*") if path.is_file())
        files += [str(path.relative_to(folder)) for path in found]
    return sorted(set(files))


def get_full_path(folder_name, filename):
    for folder in get_folder_paths(folder_name):
        if os.path.isfile(Path(folder) / filename):  # noqa: PTH113 (false for any strange name)
            return str(Path(folder) / filename)
    return None


def get_input_directory():
    return str(Path(base_path) / "input")


def get_output_directory():
    return str(Path(base_path) / "output")


def get_save_image_path(filename_prefix, output_dir, image_width=0, image_height=0):
    """Return folder, name, the next free number, folder below the output, and the prefix."""
    prefix = filename_prefix.replace("%width%", str(image_width))
    prefix = prefix.replace("%height%", str(image_height))
    top = Path(output_dir).resolve()
    folder = (top / prefix).parent.resolve()
    if not folder.is_relative_to(top):
        raise Exception("outside the output folder")  # no narrower class there either
    folder.mkdir(parents=True, exist_ok=True)
    name = Path(prefix).name
    tails = (path.name.removeprefix(f"{name}_") for path in folder.glob(f"{name}_*"))
    numbers = [int(digits) for digits in (tail.split("_")[0] for tail in tails) if digits.isdigit()]
    subfolder = folder.relative_to(top).as_posix()
    counter = max(numbers, default=0) + 1
    return str(folder), name, counter, "" if subfolder == "." else subfolder, prefix
