"""The small decoder computes what ComfyUI computes with a file of the same layout (TAEHV)."""

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
from comfy.taesd.taehv import TAEHV
from flashtalk_core.config.networks import VAEConfig
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.weights.mapping.sizes import vae_sizes

torch.manual_seed(0)
torch.set_grad_enabled(False)
theirs = TAEHV(latent_channels=16).eval()
for parameter in theirs.parameters():
    parameter.normal_(0, 0.03)
state = {{f"decoder.{{name}}": each for name, each in theirs.decoder.state_dict().items()}}
sizes = vae_sizes({{name: tuple(each.shape) for name, each in state.items()}})
ours = VideoVAE(VAEConfig(dim=4, num_res_blocks=1, **sizes)).eval()
ours.load_state_dict(ours.state_dict() | state)
latent = torch.randn(1, 16, 3, 4, 6)
expected = 2 * theirs.decode(latent) - 1
found = torch.cat(list(ours.decode_groups(latent)), dim=2)
print(sizes, (found - expected.clamp(-1, 1)).abs().max().item(), expected.std().item() > 1e-3)
"""


def test_the_same_frames(install, tmp_path):
    script = SCRIPT.format(comfy=str(install.folder), root=str(ROOT))
    done = subprocess.run(
        [install.python, "-c", script], capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    sizes, error, varies = done.stdout.splitlines()[-1].rsplit(" ", 2)
    assert sizes == ("{'light_widths': (256, 128, 64, 64), 'light_blocks': 3, 'light_patch': 1}")
    assert float(error) < 1e-5
    assert varies == "True"
