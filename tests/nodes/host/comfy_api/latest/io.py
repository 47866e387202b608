"""Types of inputs and outputs, the schema and the base class of nodes."""

from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from typing import Any, ClassVar


class FolderType(StrEnum):
    """Where a saved file lies."""

    input = "input"
    output = "output"
    temp = "temp"


class Hidden(StrEnum):
    """What a node may ask for in addition to its inputs."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"


@dataclass
class _Input:
    """An input; a wrong keyword is a TypeError here as it is in ComfyUI."""

    io_type: ClassVar[str]
    id: str
    _: KW_ONLY
    display_name: str | None = None
    optional: bool = False
    tooltip: str | None = None
    lazy: bool | None = None
    advanced: bool | None = None

    def values(self, given):
        """Return what ``execute`` gets for this input out of the values that a prompt holds."""
        if self.id in given:
            return {self.id: given[self.id]}
        assert self.optional, f"required input is missing: {self.id}"
        return {}


@dataclass
class _Widget(_Input):
    """An input with a widget; without a value it has its default, as on the page."""

    default: Any = None

    def values(self, given):
        value = given.get(self.id, self.default)
        self.check(value)
        return {self.id: value}

    def check(self, value):
        """Refuse what ComfyUI refuses before a node runs."""


@dataclass
class _Number(_Widget):
    min: float | None = None
    max: float | None = None
    step: float | None = None
    control_after_generate: bool | None = None

    def check(self, value):
        assert self.min is None or value >= self.min, f"{self.id} {value}: below {self.min}"
        assert self.max is None or value <= self.max, f"{self.id} {value}: above {self.max}"


@dataclass
class _String(_Widget):
    multiline: bool = False


@dataclass
class _Boolean(_Widget):
    def check(self, value):
        assert isinstance(value, bool), f"{self.id}: {value!r} is no BOOLEAN"


@dataclass
class _Combo(_Widget):
    options: list[str] = field(default_factory=list)

    def check(self, value):
        assert value in self.options, f"{self.id}: {value!r} is not in {self.options}"


@dataclass
class _DynamicCombo(_Input):
    """A menu whose choices bring inputs of their own; the first one is the default."""

    options: list["DynamicCombo.Option"] = field(default_factory=list)

    def values(self, given):
        key = given.get(self.id, self.options[0].key)
        chosen = next((option for option in self.options if option.key == key), None)
        assert chosen, f"{self.id}: {key!r} is not in {[option.key for option in self.options]}"
        # Inputs of a choice are called "size.width" in a prompt.
        prefix = f"{self.id}."
        inner = {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}
        values = {self.id: key}
        for widget in chosen.inputs:
            values |= widget.values(inner)
        return {self.id: values}


@dataclass
class _Output:
    io_type: ClassVar[str]
    id: str | None = None
    display_name: str | None = None
    tooltip: str | None = None
    is_output_list: bool = False


def Custom(io_type, kind=_Input):
    """Return a type of connections: a pair of its input's and its output's class."""
    return type(
        io_type,
        (),
        {
            "io_type": io_type,
            "Input": type("Input", (kind,), {"io_type": io_type}),
            "Output": type("Output", (_Output,), {"io_type": io_type}),
        },
    )


Int = Custom("INT", _Number)
Float = Custom("FLOAT", _Number)
Boolean = Custom("BOOLEAN", _Boolean)
String = Custom("STRING", _String)
Combo = Custom("COMBO", _Combo)
Image = Custom("IMAGE")
Audio = Custom("AUDIO")
Mask = Custom("MASK")
Video = Custom("VIDEO")
Mask = Custom("MASK")
UpscaleModel = Custom("UPSCALE_MODEL")
Conditioning = Custom("CONDITIONING")
ClipVisionOutput = Custom("CLIP_VISION_OUTPUT")
Model = Custom("MODEL")
ModelPatch = Custom("MODEL_PATCH")
Vae = Custom("VAE")
AudioEncoder = Custom("AUDIO_ENCODER")


class DynamicCombo:
    """A menu whose choices bring inputs of their own."""

    @dataclass
    class Option:
        """One choice."""

        key: str
        inputs: list[_Input]

    Input = type("Input", (_DynamicCombo,), {"io_type": "COMFY_DYNAMICCOMBO_V3"})


@dataclass
class Schema:
    """Everything ComfyUI knows of a node."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[_Input] = field(default_factory=list)
    outputs: list[_Output] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)
    description: str = ""
    search_aliases: list[str] = field(default_factory=list)
    is_output_node: bool = False
    not_idempotent: bool = False
    is_input_list: bool = False

    def __post_init__(self):
        ids = [each.id for each in self.inputs]
        assert len(set(ids)) == len(ids), f"{self.node_id}: an input's id is there twice: {ids}"


class NodeOutput:
    """What ``execute`` returns."""

    def __init__(self, *args, ui=None):
        self.args = args
        self.ui = ui


class HiddenValues:
    """What a node asked for; anything else is ``None``."""

    def __init__(self, **values):
        self.__dict__.update(values)

    def __getattr__(self, name):
        return None


class _Lockable(type):
    """ComfyUI runs nodes as copies of their classes, to which nothing can be written."""

    is_locked = False

    def __setattr__(cls, name, value):
        if cls.is_locked:
            raise AttributeError(f"Cannot modify class attribute {name!r} on locked class")
        super().__setattr__(name, value)


def locked_copy(node, hidden):
    """Return the copy of a node's class that runs in a prompt."""
    return _Lockable(node.__name__, (node,), {"hidden": hidden, "is_locked": True})


class ComfyNode(metaclass=_Lockable):
    """Base class of nodes. They run as a class, never as an object."""

    hidden: HiddenValues

    @classmethod
    def define_schema(cls):
        raise NotImplementedError

    @classmethod
    def GET_SCHEMA(cls):
        cls.SCHEMA = cls.define_schema()
        return cls.SCHEMA
