"""Where and how latents become frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from comfy_api.latest import io

from ..flashtalk_core.config.light_vae import MotionVAE
from ..flashtalk_core.placement.devices import parse_numbers
from .graph.errors import attribute_errors
from .host.devices import DEVICES, find_device
from .host.model_files import NONE, light_vae_menu
from .sockets import CATEGORY, ChunksSocket

if TYPE_CHECKING:
    from .graph.descriptions import RenderDescription

SAME_DEVICE = "with the model"
GRIDS = ("auto", "1x1", "rows", "columns", "2x2", "2x3", "3x2", "2x4", "4x2")
AUTO_LATENTS = 0
ALL_DEVICES = ""


class ParallelDecode(io.ComfyNode):
    """Choose where the VAE runs and how much it decodes at once."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FlashTalk_ParallelDecode",
            display_name="FlashTalk Parallel Decode",
            category=CATEGORY,
            description=(
                "Frames leave group by group while a chunk is decoded. Where the model has several "
                "GPUs, each decodes a part of the image. With a second GPU the VAE can run there, "
                "which leaves all of the first one to the model."
            ),
            search_aliases=["vae decode", "decode frames", "multi gpu decode"],
            inputs=[
                ChunksSocket.Input("chunks"),
                io.Combo.Input(
                    "device",
                    options=[SAME_DEVICE, *DEVICES[1:]],
                    default=SAME_DEVICE,
                    tooltip="Where the VAE runs.",
                ),
                io.Int.Input(
                    "latents_per_call",
                    default=AUTO_LATENTS,
                    min=AUTO_LATENTS,
                    max=8,
                    tooltip="Latent frames decoded at once, 4 video frames each. 0 chooses: 2 "
                    "with fused layers, 3 for a model with a small decoder on a CPU, else 1. More "
                    "is faster on a large GPU and takes more memory; the first frames of a chunk "
                    "come later. The image is the same up to rounding.",
                ),
                io.Combo.Input(
                    "grid",
                    options=list(GRIDS),
                    default="auto",
                    advanced=True,
                    tooltip="Parts of the image, height x width, that the model's GPUs decode, one "
                    "each. auto chooses, rows and columns cut one side only. The image is the "
                    "same up to rounding. One GPU decodes the image whole: 1x1.",
                ),
                io.String.Input(
                    "devices",
                    default=ALL_DEVICES,
                    optional=True,
                    advanced=True,
                    tooltip="Which of the model's GPUs decode, counted from 0 in the order of the "
                    "model: 0,1 for the first two. Empty: all of them.",
                ),
                io.Combo.Input(
                    "light_vae",
                    options=light_vae_menu(),
                    default=NONE,
                    optional=True,
                    tooltip="Light autoencoder that decodes the video: LightVAE (lightvaew2_1) or "
                    "TAE (lighttaew2_1, taew2_1), in models/vae_approx or models/vae. The model's "
                    "own encodes the portrait. Frames are less sharp.",
                ),
                io.Combo.Input(
                    "motion_vae",
                    options=list(get_args(MotionVAE)),
                    default="full",
                    optional=True,
                    advanced=True,
                    tooltip="With light_vae: what makes the frames that the next chunk goes on "
                    "from. 'full', the model's own VAE: the same movements as without, frames "
                    "come earlier, a chunk is no faster. 'shown', the light frames, encoded by "
                    "the model's own: faster. 'light': the light one encodes them, too.",
                ),
            ],
            outputs=[ChunksSocket.Output(display_name="frames")],
        )

    @classmethod
    def execute(
        cls,
        chunks: RenderDescription,
        device: str,
        latents_per_call: int,
        grid: str,
        devices: str = ALL_DEVICES,
        light_vae: str = NONE,
        motion_vae: MotionVAE = "full",
    ) -> io.NodeOutput:
        from .graph.render_plan import decoded_with

        with attribute_errors(cls, "chunks"):
            place = None if device == SAME_DEVICE else device
            if place is not None:
                find_device(place, SAME_DEVICE)  # its message names this node's default
            latents = None if latents_per_call == AUTO_LATENTS else latents_per_call
            numbers = parse_numbers(devices)
            return io.NodeOutput(
                decoded_with(chunks, place, latents, numbers, grid, light_vae, motion_vae)
            )
