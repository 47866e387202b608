"""What every node has: words for its user, and a thin ``execute``."""

import ast
import inspect
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "__init__.py", *(ROOT / "nodes").rglob("*.py")]


def test_every_node_explains_itself(pack):
    titles = set()
    for name, node in pack.nodes.items():
        schema = node.GET_SCHEMA()
        assert name.startswith("FlashTalk_")
        assert schema.display_name.startswith("FlashTalk ")
        assert (schema.category, len(schema.description) > 40) == ("video/FlashTalk", True)
        assert len(schema.search_aliases) >= 3
        assert all(each.display_name for each in schema.outputs)
        titles.add(schema.display_name)
    assert len(titles) == len(pack.nodes) == 14


@pytest.mark.parametrize(
    "words",
    [
        "talking head", "talking avatar", "lip sync", "lipsync", "digital human", "avatar",
        "portrait", "TTS", "wav2lip", "sadtalker", "multitalk", "infinitetalk", "数字人",
    ],
)  # fmt: skip
def test_loader_and_preview_are_found_by_common_search_words(pack, words):
    for name in ("FlashTalk_ModelLoader", "FlashTalk_StreamPreview"):
        schema = pack.nodes[name].GET_SCHEMA()
        terms = [schema.display_name, *schema.search_aliases]
        assert any(words.lower() in term.lower() for term in terms), name


def test_every_widget_has_a_tooltip_and_a_default_within_its_range(pack):
    for name, node in pack.nodes.items():
        for each in node.GET_SCHEMA().inputs:
            if each.io_type.startswith("FLASHTALK_"):
                continue  # only this pack's own node can be connected
            assert each.tooltip, f"{name}: {each.id}"
            assert not each.tooltip.startswith(" ")
            if hasattr(each, "default"):
                each.check(each.default)


def test_numbers_with_a_fraction_have_a_step(pack):
    """Without one the page shows 0.05 as 0.1."""
    for name, node in pack.nodes.items():
        for each in node.GET_SCHEMA().inputs:
            if each.io_type == "FLOAT":
                assert each.step, f"{name}: {each.id}"


def test_execute_methods_have_at_most_15_lines(pack):
    for name, node in pack.nodes.items():
        source = textwrap.dedent(inspect.getsource(node.execute))
        (function,) = ast.parse(source).body
        first, last = function.body[0].lineno, function.body[-1].end_lineno
        assert last - first + 1 <= 15, name


def test_what_execute_takes_is_what_the_schema_says(pack):
    for name, node in pack.nodes.items():
        ids = [each.id for each in node.GET_SCHEMA().inputs]
        parameters = inspect.signature(node.execute).parameters
        named = [p.name for p in parameters.values() if p.kind is not p.VAR_KEYWORD]
        assert set(named) <= set(ids), name
        takes_rest = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        assert takes_rest or set(named) == set(ids), name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_printed(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {node.func.id for node in ast.walk(tree) if is_plain_call(node)}
    assert called.isdisjoint({"print", "pprint", "breakpoint"})


def is_plain_call(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
