"""Messages of live sessions: Python and JavaScript have the same table."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu

JS_TABLE = Path(__file__).parents[3] / "js" / "lib" / "live_messages.js"


def test_the_page_knows_the_same_table(pack):
    table = pack["nodes.preview.session_messages"]
    text = JS_TABLE.read_text(encoding="utf-8")
    constants = dict(re.findall(r"export const (\w+) = '([^']*)'", text))
    sources = constants.pop("MICROPHONE"), constants.pop("SPEECH")
    assert constants.pop("ROUTE") + "{session}" == table.ROUTE
    assert constants == {name: getattr(table, name) for name in constants}
    assert {"EVENT", "WIDGET", "STREAM", "HEAR", "CLEAR", "END"} <= constants.keys()
    (menu,) = (i for i in pack.nodes["FlashTalk_Live"].GET_SCHEMA().inputs if i.id == "source")
    assert list(sources) == menu.options
    fields = set(re.findall(r"^ \* @property \{[^}]*\} (\w+)", text, re.MULTILINE))
    assert fields == set(table.LiveMessage.__annotations__)
