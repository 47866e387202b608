"""A portrait and a speech that come with the pack, for a first run."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io, ui

from .sockets import CATEGORY

EXAMPLE = Path(__file__).parents[1] / "flashtalk_core" / "assets" / "example"


class Example(io.ComfyNode):
    """Hand over the bundled files, so that a graph runs before anything is uploaded."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FlashTalk_Example",
            display_name="FlashTalk Example",
            category=CATEGORY,
            description=(
                "A drawn portrait and 14 seconds of speech that come with the pack, to try a "
                "graph at once. For your own use Load Image and Load Audio in its place."
            ),
            search_aliases=["example portrait", "example speech", "test image", "demo audio"],
            inputs=[],
            outputs=[
                io.Image.Output(display_name="image"),
                io.Audio.Output(display_name="audio"),
                io.Image.Output(display_name="two_people"),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        import torch

        from ..flashtalk_core.media.image.portrait import open_image
        from .host import media

        image = media.image_of(open_image(EXAMPLE / "portrait.png"))
        audio = media.audio_of(media.read_audio(EXAMPLE / "speech.wav"))
        two = torch.cat([image, image.flip(2)], dim=2)  # the portrait and its mirror image
        return io.NodeOutput(image, audio, two, ui=ui.PreviewImage(image, cls=cls))
