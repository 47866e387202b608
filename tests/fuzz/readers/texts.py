"""Texts: specs of renders, notes of kept ones, names of tensors, golden files."""

import json
import re
import shutil
from typing import get_args

import soundfile
import torch
from PIL import Image
from safetensors.torch import save

from flashtalk_core.engine.request import PromptChange
from flashtalk_core.engine.resolve import LocalHost, resolve
from flashtalk_core.engine.spec import (
    ChunkSpec,
    LoraSpec,
    ModelSpec,
    PlacementSpec,
    RenderSpec,
    SamplingSpec,
    Speaker,
)
from flashtalk_core.files.render_store import RenderStore
from flashtalk_core.parity.golden import read_golden
from flashtalk_core.weights.discovery.parts import Part
from flashtalk_core.weights.lora.names import LayerNames
from flashtalk_core.weights.mapping.key_maps import (
    AUDIO_KEYS,
    DIT_KEYS,
    TEXT_KEYS,
    VAE_KEYS,
    clip_keys,
)
from flashtalk_core.weights.mapping.published_names import published_names

from ..mutate import changed_json, changed_safetensors, mutated
from ..reader import MIB, Reader

HERE = b"HERE/"
"""In a spec, for the folder that it is read in."""


def _specs(folder):
    plain = RenderSpec(portrait="HERE/a.png", speakers=(Speaker(audio="HERE/a.wav"),))
    full = RenderSpec(
        portrait="HERE/a.png",
        speakers=(Speaker(audio="HERE/a.wav", mask=None),),
        start_s=0.1,
        duration_s=0.2,
        prompt="A person is talking.",
        prompt_changes=(PromptChange(0.1, "nods"),),
        size_px=(32, 32),
        sampling=SamplingSpec(steps=2, rule="euler", shift=5.0, seed=1, colour_strength=0.5),
        chunk=ChunkSpec(num_frames=17, num_motion_frames=5),
        model=ModelSpec(loras=(LoraSpec("HERE/a.safetensors", 0.5),)),
        placement=PlacementSpec(device="cpu", dtype="float32", vae_device="cpu"),
    )
    return [plain.to_json().encode(), full.to_json().encode()]


def _open_spec(folder):
    """An accepted one is resolved, as before a render."""
    Image.new("RGB", (40, 40), "grey").save(folder / "a.png")
    soundfile.write(folder / "a.wav", torch.randn(8_000).numpy() * 0.1, 16_000)
    shutil.copy(*_lora(folder))

    def read(case):
        spec = RenderSpec.from_json(case.replace(HERE, f"{folder}/".encode()))
        assert len(repr(spec)) < 2_000
        resolve(spec, LocalHost()).fingerprint()

    return read


def _lora(folder):
    pair = {"lora_A.weight": torch.ones(2, 88), "lora_B.weight": torch.ones(88, 2)}
    content = save({f"blocks.0.self_attn.q.{part}": each for part, each in pair.items()})
    (folder / "b.safetensors").write_bytes(content)
    return folder / "b.safetensors", folder / "a.safetensors"


def _notes(folder):
    (folder / "a.mp4").write_bytes(b"video")
    RenderStore(folder / "kept", 10**6).store("a", folder / "a.mp4")
    return [(folder / "kept" / "a.json").read_bytes()]


def _open_note(folder):
    """A note that is not what was written means that there is no kept render, nothing else."""
    kept = folder / "kept"

    def read(case):
        kept.mkdir(exist_ok=True)
        (kept / "a.mp4").write_bytes(b"video")
        (kept / "a.json").write_bytes(case)
        found = RenderStore(kept, 10**6).find("a")
        assert found is None or json.loads(case.decode("utf-8-sig"))[0] == len(b"video")
        assert found is not None or not (kept / "a.mp4").exists()

    return read


def _names(folder):
    layer = "blocks.0.self_attn.q"
    return [
        f"{prefix}{layer}{suffix}".encode()
        for prefix in ("", "diffusion_model.", "base_model.model.")
        for suffix in (".weight", ".lora_up.weight", ".alpha", ".diff_b")
    ] + [
        b"lora_unet_blocks_0_self_attn_q.lora_down.weight",
        b"blocks.12.pos_embedding.embedding.weight",
        b"transformer.0.attn.to_qkv.weight",
        b"wav2vec2.encoder.layers.3.attention.k_proj.bias",
        b"encoder.pos_conv_embed.conv.parametrizations.weight.original0",
        b"transformer.blocks.0.attn1.to_out.0.lora_A.default.weight",
        b"model.diffusion_model.blocks.3.attn2.add_k_proj.weight",
        b"condition_embedder.image_embedder.ff.net.0.proj.bias",
        b"vae.decoder.up_blocks.1.resnets.0.conv_shortcut.weight",
        b"encoder.down_blocks.5.time_conv.weight",
        b"text_encoders.umt5xxl.transformer.shared.weight",
    ]


def _open_names(folder):
    layers = LayerNames(["blocks.0.self_attn.q.weight", "patch_embedding.weight"])
    maps = (DIT_KEYS, VAE_KEYS, TEXT_KEYS, AUDIO_KEYS, clip_keys(4))

    def read(case):
        name = case.decode("utf-8", "surrogateescape")
        found = layers.find(name)
        assert found is None or re.fullmatch(r"[a-z0-9_.]+", found[0])
        for keys in maps:
            if not keys.is_ignored(name):
                for target in keys.rename(name):
                    assert 0 <= target.part < target.num_parts
        for part in get_args(Part):
            # Two that tell the library's naming.
            names = {name, "quant_conv.weight", "blocks.0.attn1.to_q.weight"}
            published = published_names(part, names)(name)
            assert published is None or len(published) <= len(name) + 40

    return read


def _golden_files(folder):
    tensors = {"in": torch.ones(2), "weights.a": torch.ones(3)}
    return [save(tensors, {"config": json.dumps({"dim": 4, "eps": 1e-6})})]


def _open_golden(folder):
    path = folder / "dit.safetensors"

    def read(case):
        path.write_bytes(case)
        read_golden(folder, "dit")

    return read


READERS = (
    Reader("render specs", _specs, _open_spec, changed_json, 3_000, names_files=True),
    Reader("notes of kept renders", _notes, _open_note, changed_json, 2_000, 256 * MIB),
    Reader("names of tensors", _names, _open_names, mutated, 4_000, 256 * MIB),
    Reader("golden files", _golden_files, _open_golden, changed_safetensors, 1_000),
)
