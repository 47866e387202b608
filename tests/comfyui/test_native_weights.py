"""What `convert --audio-layers` writes has the names and shapes that ComfyUI's own loaders want.

At the full size, without memory for any weight; the patch is loaded strictly, as its loader does.
"""

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.comfyui

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
sys.argv = ["main.py", "--cpu"]
sys.path[:0] = [{comfy!r}, {root!r}]
import comfy.options
comfy.options.enable_args_parsing()
import torch
import comfy.model_detection, comfy.ops
from comfy_extras.nodes_model_patch import MultiTalkModelPatch
from flashtalk_core.config.networks import DiTConfig
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.weights.conversion.targets import AUDIO

with torch.device("meta"):
    weights = {{name: value.detach() for name, value in AvatarDiT(DiTConfig()).named_parameters()}}
    base = {{name: value for name, value in weights.items() if not AUDIO.fullmatch(name)}}
    audio = {{name: value for name, value in weights.items() if AUDIO.fullmatch(name)}}
    config = comfy.model_detection.model_config_from_unet(base, "")
    model = config.get_model(base, "", device="meta").diffusion_model
    model.load_state_dict(base, strict=True)
    MultiTalkModelPatch(
        in_dim=audio["blocks.0.audio_cross_attn.proj.weight"].shape[0],
        intermediate_dim=audio["audio_proj.proj1.weight"].shape[0],
        out_dim=audio["audio_proj.norm.weight"].shape[0],
        operations=comfy.ops.manual_cast,
    ).load_state_dict(audio, strict=True)
print(type(config).__name__, len(base), len(audio))
"""


def test_both_files_fit_the_native_image_to_video_model_and_its_patch(install, tmp_path):
    script = SCRIPT.format(comfy=str(install.folder), root=str(ROOT))
    done = subprocess.run(
        [install.python, "-c", script], capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "WAN21_I2V 1303 330"
