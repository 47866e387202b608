"""What nodes take and give, in one plain form for the pack's own and ComfyUI's.

A schema is ``{"inputs": [...], "outputs": [types]}``. An input has ``name``, ``type`` and
``required``; where they apply ``options``, ``choices`` (inputs that each option brings), ``min``,
``max``, ``extra`` (widgets that the page adds after it), ``is_file``, whose options differ from
machine to machine, and ``takes_files``, whose options may be files besides.
"""

import json
from pathlib import Path

FACTS_PATH = Path(__file__).with_name("native_nodes.json")
NOTE = "MarkdownNote"
"""Exists on the page only."""
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3"}
CONTROL = "control_after_generate"
CONTROLS = ("fixed", "increment", "decrement", "randomize")
MODEL_FILES = {
    "audio_encoder_name", "ckpt_name", "clip_name", "lora_name", "name", "unet_name", "vae_name",
}  # fmt: skip
_PARTS = {"model", "vae", "text_encoder", "clip_vision", "audio_encoder"}
MENUS_OF_FILES = _PARTS | {"audio_layers", "lora"}
"""Of the pack's own loader."""
FILE_ENDING = ".safetensors"


def read_facts():
    """Return schemas of the native nodes that workflows use, by class."""
    return json.loads(FACTS_PATH.read_text(encoding="utf-8"))


def schema_of_info(info):
    """Return the schema of an entry of ``/object_info``."""
    return {"inputs": _inputs_of_info(info["input"]), "outputs": list(info["output"])}


def _inputs_of_info(sections):
    return [
        _input_of_info(name, section == "required", *spec)
        for section in ("required", "optional")
        for name, spec in sections.get(section, {}).items()
    ]


def _input_of_info(name, is_required, kind, settings=None):
    settings = settings or {}
    # Nodes of the first generation give the options in place of the type.
    options = kind if isinstance(kind, list) else settings.get("options", [])
    found = {"name": name, "type": "COMBO" if isinstance(kind, list) else kind}
    found |= {"required": is_required}
    found |= {bound: settings[bound] for bound in ("min", "max") if bound in settings}
    if name in MODEL_FILES:
        return found | {"is_file": True}
    if settings.get(CONTROL):
        found["extra"] = [CONTROL]
    if found["type"] == "COMFY_DYNAMICCOMBO_V3":
        found["choices"] = {each["key"]: _inputs_of_info(each["inputs"]) for each in options}
    elif found["type"] == "COMBO":
        found["options"] = options
    return found


def schema_of_node(node):
    """Return the schema of a node's class."""
    schema = node.GET_SCHEMA()
    outputs = [each.io_type for each in schema.outputs]
    return {"inputs": _inputs_of_node(schema.inputs), "outputs": outputs}


def _inputs_of_node(inputs):
    # The page shows required inputs first.
    return [_input_of_node(each) for each in sorted(inputs, key=lambda each: each.optional)]


def _input_of_node(each):
    found = {"name": each.id, "type": each.io_type, "required": not each.optional}
    for bound in ("min", "max"):
        if getattr(each, bound, None) is not None:
            found[bound] = getattr(each, bound)
    if getattr(each, CONTROL, None):
        found["extra"] = [CONTROL]
    if each.io_type == "COMFY_DYNAMICCOMBO_V3":
        found["choices"] = {option.key: _inputs_of_node(option.inputs) for option in each.options}
    elif each.io_type == "COMBO":
        found["options"] = list(each.options)
        found["takes_files"] = each.id in MENUS_OF_FILES
    return found


def active_inputs(inputs, values, prefix=""):
    """Yield name and input of all that ``values``, by name, lead to."""
    for each in inputs:
        name = prefix + each["name"]
        yield name, each
        brought = each.get("choices", {}).get(values.get(name), [])
        yield from active_inputs(brought, values, f"{name}.")


def value_error(each, value):
    """Return what is wrong with the value of a widget; empty if nothing."""
    kinds = {"INT": int, "FLOAT": (int, float), "BOOLEAN": bool}.get(each["type"], str)
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        return f"{value!r} is no {each['type']}"
    options = each.get("options", each.get("choices"))
    is_file = each.get("takes_files", False) and value.endswith(FILE_ENDING)
    if options is not None and value not in options and not is_file:
        return f"{value!r} is not among {list(options)}"
    if value != value or value < each.get("min", value) or value > each.get("max", value):
        return f"{value} is not within {each.get('min')} and {each.get('max')}"
    return ""
