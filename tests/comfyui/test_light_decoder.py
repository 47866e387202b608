"""Small decoders and encoders compute what ComfyUI does with a file of the same layout (TAEHV)."""

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

FILE = """
from pathlib import Path
from safetensors.torch import save_file
from flashtalk_core.weights.light_vae import open_light_vae
from flashtalk_core.weights.plan import load_module

save_file(theirs.state_dict(), "taew2_1.safetensors")
file = open_light_vae(Path("taew2_1.safetensors"), VAEConfig())
coder = load_module(file.plan, torch.device("cpu"), torch.float32).coder
video = torch.rand(1, 3, 13, 32, 48)
expected = theirs.encode(video)
encoded = coder.encode(2 * video - 1, 2)
decoded = torch.cat(list(coder.decode_groups(latent, 2)), dim=2)
frames = (2 * theirs.decode(latent) - 1).clamp(-1, 1)
errors = (encoded - expected).abs().max().item(), (decoded - frames).abs().max().item()
print(*errors, expected.std().item() > 1e-3)
"""


def last_line(install, tmp_path, script):
    """Run a script in ComfyUI's environment and return the last line it prints."""
    script = script.format(comfy=str(install.folder), root=str(ROOT))
    done = subprocess.run(
        [install.python, "-c", script], capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


def test_a_file_encodes_and_decodes_the_same(install, tmp_path):
    *errors, varies = last_line(install, tmp_path, SCRIPT + FILE).split(" ")
    assert max(map(float, errors)) < 1e-5
    assert varies == "True"


def test_the_same_frames(install, tmp_path):
    sizes, error, varies = last_line(install, tmp_path, SCRIPT).rsplit(" ", 2)
    assert sizes == ("{'light_widths': (256, 128, 64, 64), 'light_blocks': 3, 'light_patch': 1}")
    assert float(error) < 1e-5
    assert varies == "True"
