"""Prompts in API form, small and short by default."""

from typing import Any

PORTRAIT, SPEECH, LARGE_VIDEO = "portrait.png", "speech.wav", "large.mp4"
SIZE_PX = 64
"""Half of what the tiny model was trained for, and four times as fast."""
DURATION_S = 1.1
"""28 frames, one chunk."""
TWO_CHUNKS_S = 2.0
UPSCALER = "2x.safetensors"
OTHER_MODEL = "other/diffusion_pytorch_model.safetensors"
OWN_SIZE = {"reference__size": "the model's own"}

NODE_INPUTS = {
    "FlashTalk_Example": "",
    "FlashTalk_ModelLoader": "model vae text_encoder clip_vision audio_encoder dtype "
    "attention device speed float8 memory lora lora_strength devices cluster audio_layers "
    "limits",
    "FlashTalk_LoRA": "model lora strength",
    "FlashTalk_AudioEncode": "audio mouth_strength start duration loudness soundtrack",
    "FlashTalk_Reference": "image prompt prompt_changes size fit conditioning clip_vision_output "
    "mask",
    "FlashTalk_ChunkSampler": "model speech reference seed steps rule shift motion_frames "
    "colour_strength chunk_frames colour_area join_frames",
    "FlashTalk_ParallelDecode": "chunks device latents_per_call grid devices light_vae motion_vae",
    "FlashTalk_StreamPreview": "frames filename_prefix quality container keep_gb",
    "FlashTalk_FrameStage": "frames scale upscale_model interp_model",
    "FlashTalk_FramesToImages": "video start num_frames limit_gb",
    "FlashTalk_Batch": "model manifest prompt seed steps size fit folder quality image audio",
    "FlashTalk_Live": "model reference source idle max_minutes seed steps filename_prefix "
    "idle_minutes allow_slow look_ahead chunk_frames shift colour_strength opening vad "
    "colour_area join_frames",
    "FlashTalk_ModelFromNative": "model model_patch vae audio_encoder",
    "FlashTalk_TwoSpeakers": "speech places start_1 start_2 turns routing speech_2 mask_1 mask_2",
}

CHAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "image": ("LoadImage", {"image": PORTRAIT}),
    "audio": ("LoadAudio", {"audio": SPEECH}),
    "loader": (
        "FlashTalk_ModelLoader",
        {
            "model": "tiny (bundled)",
            **dict.fromkeys(("vae", "text_encoder", "clip_vision", "audio_encoder"), "auto"),
            **dict.fromkeys(("dtype", "attention", "device"), "auto"),
        },
    ),
    "speech": (
        "FlashTalk_AudioEncode",
        {
            "audio": ["audio", 0],
            "mouth_strength": 1.0,
            "start": 0.0,
            "duration": DURATION_S,
            "loudness": -23.0,
        },
    ),
    "reference": (
        "FlashTalk_Reference",
        {
            "image": ["image", 0],
            "prompt": "",
            "prompt_changes": "",
            "size": "custom",
            "size.width": SIZE_PX,
            "size.height": SIZE_PX,
            "fit": "crop",
        },
    ),
    "sampler": (
        "FlashTalk_ChunkSampler",
        {
            "model": ["loader", 0],
            "speech": ["speech", 0],
            "reference": ["reference", 0],
            "seed": 0,
            "steps": 1,
            "rule": "the model's own",
            "shift": 5.0,
            "motion_frames": 5,
            "colour_strength": 1.0,
            "chunk_frames": 33,
        },
    ),
    "decode": (
        "FlashTalk_ParallelDecode",
        {
            "chunks": ["sampler", 0],
            "device": "with the model",
            "latents_per_call": 1,
            "grid": "auto",
        },
    ),
    "preview": (
        "FlashTalk_StreamPreview",
        {
            "frames": ["decode", 0],
            "filename_prefix": "avatar",
            "quality": 18,
            "container": "mp4",
            "keep_gb": 0.0,
        },
    ),
}


def avatar_graph(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the chain from image and audio to a video.

    Args:
        settings: Values that differ, by ``node.input``; an input may itself hold a dot.
    """
    graph = {
        name: {"class_type": kind, "inputs": dict(inputs)} for name, (kind, inputs) in CHAIN.items()
    }
    for place, value in settings.items():
        node, _, name = place.partition(".")
        graph[node]["inputs"][name] = value
    reference = graph["reference"]["inputs"]
    if reference["size"] != "custom":
        del reference["size.width"], reference["size.height"]
    return graph


def add_node(graph: dict[str, Any], name: str, kind: str, **inputs: Any) -> dict[str, Any]:
    """Return ``graph`` with one more node."""
    return graph | {name: {"class_type": kind, "inputs": inputs}}
