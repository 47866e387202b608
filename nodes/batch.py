"""Many videos in one node: the rows of a manifest, or lists of images and sounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import InputImpl, io, ui

from .graph.sizes import FITS, MAX_SEED, MODEL_SIZE, SIZES
from .search_words import TALKING_VIDEO
from .sockets import CATEGORY, ModelSocket

if TYPE_CHECKING:
    from .graph.descriptions import ModelDescription


class Batch(io.ComfyNode):
    """Render row after row with one model; a row that fails stops no other."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FlashTalk_Batch",
            display_name="FlashTalk Batch",
            category=CATEGORY,
            description=(
                "Renders many videos with one model: the rows of a manifest (CSV or JSON lines), "
                "or lists of images and sounds. A row that fails stops no other, and a second run "
                "of a manifest renders what is missing or failed."
            ),
            search_aliases=[*TALKING_VIDEO, "batch avatar", "many videos", "csv", "list"],
            inputs=[
                ModelSocket.Input("model"),
                io.String.Input(
                    "manifest",
                    default="",
                    tooltip="A .csv or .jsonl file in ComfyUI's input folder, or its whole path; "
                    "docs/BATCH.md says what is in it. Empty: image and audio.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="Portraits, a list or a batch; one is used for all sounds. With a "
                    "manifest it is not used.",
                ),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="Speech, a list; one is used for all images. With a manifest it is "
                    "not used.",
                ),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    tooltip="What is to be seen, for rows without a prompt of their own. Empty "
                    "takes the model's own prompt.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="For rows without a seed of their own. The same seed gives the same "
                    "video on the same machine.",
                ),
                io.Int.Input(
                    "steps",
                    default=0,
                    min=0,
                    max=100,
                    tooltip="Denoising steps of a chunk, for rows without their own; 0 is what "
                    "the model was trained for.",
                ),
                io.Combo.Input(
                    "size",
                    options=list(SIZES),
                    default=MODEL_SIZE,
                    tooltip="Width x height of the videos, for rows without a size of their own.",
                ),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default="crop",
                    tooltip="How an image gets to that size: crop fills the frame and cuts the "
                    "sides off, pad keeps all of it on grey, face takes the part around the "
                    "largest face (needs opencv).",
                ),
                io.String.Input(
                    "folder",
                    default="FlashTalk/batch",
                    tooltip="Folder of the videos and of the file of results, in ComfyUI's output "
                    "folder.",
                ),
                io.Int.Input(
                    "quality",
                    default=18,
                    min=0,
                    max=51,
                    tooltip="H.264 CRF, for rows without their own: 18 looks like the source, 23 "
                    "is half the size.",
                ),
            ],
            outputs=[
                io.Video.Output(display_name="videos", is_output_list=True),
                io.String.Output(display_name="report"),
            ],
            hidden=[io.Hidden.unique_id],
            is_input_list=True,
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, manifest: Any = "", **_inputs: Any) -> float:
        """Look at a manifest each time: rows that are done take no time."""
        from .host.written_files import written_files

        name = manifest[0] if isinstance(manifest, list) else manifest
        if name or cls.hidden.unique_id is None:
            return float("nan")
        return written_files().generation(cls.hidden.unique_id)

    @classmethod
    def execute(cls, model: list[ModelDescription], **lists: list[Any]) -> io.NodeOutput:
        from .graph.batch_job import run_batch
        from .graph.batch_rows import BatchSettings
        from .graph.errors import attribute_errors

        with attribute_errors(cls, "manifest"):
            settings = BatchSettings.read(lists, FITS)
            outcome = run_batch(model[0], settings, cls.hidden.unique_id)
        saved = [
            ui.SavedResult(each.path.name, each.subfolder, io.FolderType.output)
            for each in outcome.videos
        ]
        videos = [InputImpl.VideoFromFile(str(each.path)) for each in outcome.videos]
        return io.NodeOutput(videos, outcome.report, ui=ui.PreviewVideo(saved))
