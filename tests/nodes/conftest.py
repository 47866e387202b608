"""The pack, loaded as ComfyUI loads it, with a stand-in for ComfyUI beneath and the real core."""

import asyncio
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

ROOT = Path(__file__).parents[2]
HOST = Path(__file__).with_name("host")
NAME = "flashtalk_pack"
OWNED = ("comfy", "comfy_api", "comfy_execution", "folder_paths", "server", NAME)
"""Modules that are there while a test of this folder runs, and at no other time."""


@dataclass
class Pack:
    """The nodes, and methods to run them."""

    modules: dict = field(default_factory=dict)
    """What was imported so far of the pack and of the stand-in."""

    @contextmanager
    def inserted(self):
        """Have the pack and the stand-in among Python's modules."""
        sys.path.insert(0, str(HOST))
        sys.modules.update(self.modules)
        try:
            yield self
        finally:
            sys.path.remove(str(HOST))
            self.modules = {
                name: sys.modules.pop(name)
                for name in list(sys.modules)
                if name.partition(".")[0] in OWNED
            }

    def load(self):
        """Import the pack from its folder under a name of ComfyUI's choice."""
        spec = spec_from_file_location(
            NAME, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        module = sys.modules[NAME] = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def __getitem__(self, name):
        """Return a module of the pack or of the stand-in, such as ``comfy.utils``."""
        is_host = name.partition(".")[0] in OWNED
        return import_module(name if is_host else f"{NAME}.{name}")

    @property
    def nodes(self):
        """Node classes by id."""
        extension = asyncio.run(sys.modules[NAME].comfy_entrypoint())
        asyncio.run(extension.on_load())
        nodes = asyncio.run(extension.get_node_list())
        return {node.GET_SCHEMA().node_id: node for node in nodes}

    def run(self, name, /, hidden=None, lists=(), **given):
        """Run a node as in a prompt: defaults filled in, ranges and menus checked.

        A node that takes lists gets one value of each input, but for those in ``lists``.
        """
        node = self.nodes[f"FlashTalk_{name}"]
        values = {}
        for each in node.GET_SCHEMA().inputs:
            values |= each.values(given)
        known = {*values, *(key for key in given if key.partition(".")[0] in values)}
        assert set(given) <= known, f"{name} has no input {set(given) - known}"
        if node.GET_SCHEMA().is_input_list:
            values = {key: value if key in lists else [value] for key, value in values.items()}
        io = self["comfy_api.latest"].io
        return io.locked_copy(node, io.HiddenValues(**(hidden or {}))).execute(**values)

    def error(self, name, /, **given):
        """Return the message of a node that refuses its inputs; nothing else may be raised."""
        with pytest.raises(self["flashtalk_core.errors"].FlashTalkError) as caught:
            self.run(name, **given)
        message = str(caught.value)
        assert "\n" not in message.replace("\n- input '", "")  # a list is one line each
        return message

    def frames(self, model, speech=None, reference=None, **settings):
        """Return what Stream Preview takes: a video of 8 frames in 2 chunks, 1 step each."""
        small = {"steps": 1, "chunk_frames": 9, "motion_frames": 5}
        chunks = self.run(
            "ChunkSampler",
            model=model,
            speech=speech or self.speech(),
            reference=reference or self.reference(),
            **small | settings,
        )
        return self.run("ParallelDecode", chunks=chunks.args[0]).args[0]

    def speech(self, seconds=0.32, **given):
        """Return a description of noise."""
        return self.run("AudioEncode", audio=audio(seconds), **given).args[0]

    def reference(self, image=None, **given):
        """Return a description of a portrait of 32 x 32 pixels."""
        size = {"size": "custom", "size.width": 32, "size.height": 32}
        image = portrait() if image is None else image
        return self.run("Reference", image=image, **size | given).args[0]

    def preview(self, frames, prefix="clip", hidden=None, **given):
        """Render, and return the path of the video."""
        given = {"filename_prefix": prefix} | given
        output = self.run("StreamPreview", hidden, frames=frames, **given)
        return Path(output.args[0].get_stream_source())


def audio(seconds=0.32, rate_hz=16_000, channels=1, batch=1):
    generator = torch.Generator().manual_seed(0)
    shape = batch, channels, round(seconds * rate_hz)
    return {"waveform": torch.randn(shape, generator=generator) * 0.1, "sample_rate": rate_hz}


def portrait(height=40, width=32, channels=3, batch=1):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, height, width, channels, generator=generator)


@pytest.fixture(scope="session")
def loaded_pack():
    """The pack, imported once for all tests; use ``pack``."""
    pack = Pack()
    with pack.inserted():
        pack.load()
        pack["nodes.preview.progress"]._IMAGE_GONE_S = 0  # no page waits here
    return pack


@pytest.fixture
def pack(loaded_pack, tmp_path):
    """The pack in a ComfyUI whose folders are empty."""
    with loaded_pack.inserted():
        loaded_pack["folder_paths"].use_base(tmp_path)
        loaded_pack["comfy.utils"].updates.clear()
        loaded_pack["server"].PromptServer.instance.forget()
        loaded_pack["comfy.model_management"].interrupt_current_processing(False)
        yield loaded_pack


@pytest.fixture(scope="session")
def kept_models():
    return {}


@pytest.fixture
def model(pack, kept_models):
    """The tiny model; its networks are read once for all tests."""
    if "tiny" not in kept_models:
        kept_models["tiny"] = pack.run("ModelLoader").args[0]
    return kept_models["tiny"]


@pytest.fixture
def used_model(pack, model, kept_models):
    """The tiny model after a render of its own: everything is read and encoded."""
    if "used" not in kept_models:
        pack.preview(pack.frames(model), "warm", keep_gb=0.0)
        kept_models["used"] = model
    return model


@pytest.fixture
def make():
    """Make what other nodes of ComfyUI hand over."""
    return SimpleNamespace(audio=audio, portrait=portrait)


@pytest.fixture(scope="session")
def rendered(loaded_pack, tmp_path_factory):
    """A finished render of 1.5 s at 25 frames a second, and what the page saw of it."""
    base = tmp_path_factory.mktemp("rendered")
    hidden = {
        "unique_id": "7",
        "prompt": {"7": {"class_type": "FlashTalk_StreamPreview"}},
        "extra_pnginfo": {"workflow": {"nodes": [1, 2]}},
    }
    with loaded_pack.inserted() as pack:
        pack["folder_paths"].use_base(base)
        pack["comfy.utils"].updates.clear()
        pack["server"].PromptServer.instance.forget()
        model = pack.run("ModelLoader").args[0]
        speech = pack.run("AudioEncode", audio=audio(1.5, 44_100, 2)).args[0]
        sizes = {"chunk_frames": 17, "motion_frames": 5}
        frames = pack.frames(model, speech, steps=2, **sizes)
        output = pack.run("StreamPreview", hidden, frames=frames, filename_prefix="sub/talk")
        return SimpleNamespace(
            path=Path(output.args[0].get_stream_source()),
            base=base,
            frames=frames,
            hidden=hidden,
            ui=output.ui.as_dict(),
            updates=list(pack["comfy.utils"].updates),
            texts=list(pack["server"].PromptServer.instance.texts),
            events=list(pack["server"].PromptServer.instance.events),
        )
