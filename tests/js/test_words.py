"""The words of the preview: in two languages, and in one place."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

JS = Path(__file__).parents[2] / "js"
TABLES = ("words.js", "live_words.js", "errors_zh.js", "templates.js")
# Two words in quotation marks, of which the first is not the name of a class of elements.
SENTENCE = re.compile(r"""(['"`])([A-Za-z][A-Za-z']+ [A-Za-z][^'"`\n]*)\1""")
NOT_SHOWN = re.compile(r"^(flashtalk-button flashtalk-|answered )")


@pytest.fixture(scope="module")
def tables(run_module):
    return run_module(
        "import { WORDS, languageOf } from './words.js'\n"
        "const locales = ['en', 'zh', 'zh-TW', 'fr', 'zhuang']\n"
        "console.log(JSON.stringify({ WORDS, languages: locales.map(languageOf) }))"
    )


@pytest.fixture(scope="module")
def run_module():
    """Run a script with the modules of js/lib and return what it prints."""

    def run(script):
        done = subprocess.run(
            ["node", "--input-type=module", "-e", script.replace("'./", f"'{JS.as_uri()}/lib/")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def places(sentence):
    return sorted(re.findall(r"\{(\w+)\}", sentence))


def test_both_languages_say_everything_with_the_same_values(tables):
    words = tables["WORDS"]
    assert words["en"].keys() == words["zh"].keys()
    for key, sentence in words["en"].items():
        assert places(words["zh"][key]) == places(sentence), key
        assert re.search(r"[\u4e00-\u9fff]", words["zh"][key]), key


def test_a_locale_of_the_page_chooses_the_language(tables):
    assert tables["languages"] == ["en", "zh", "zh", "en", "en"]


def test_no_sentence_lies_outside_the_tables():
    found = []
    for path in sorted(JS.rglob("*.js")):
        code = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        if path.name not in TABLES:
            found += [(path.name, hit[1]) for hit in SENTENCE.findall(code)]
    assert [hit for hit in found if not NOT_SHOWN.match(hit[1])] == []


def test_every_word_that_is_said_is_in_the_table(tables):
    said = set()
    for path in sorted((JS / "lib").glob("*.js")):
        said |= set(re.findall(r"\bsay\('(\w+)'", path.read_text(encoding="utf-8")))
    assert said
    assert said <= tables["WORDS"]["en"].keys()


def test_what_the_core_says_is_said_in_chinese(run_module):
    """Each sentence of the catalogue is one that the core really writes."""
    raised = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("raised.py"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert raised.returncode == 0, raised.stderr
    english = json.loads(raised.stdout)
    blamed = {"blamed": f"FlashTalk Reference, input 'image': {english['no file']}"}
    chinese = run_module(
        "import { SENTENCES, translate } from './errors_zh.js'\n"
        f"const said = {json.dumps(english | blamed)}\n"
        "const entries = Object.entries(said).map(([what, text]) => [what, translate(text)])\n"
        "const last = 'a sentence of nobody'\n"
        "console.log(JSON.stringify({ ...Object.fromEntries(entries), other: translate(last),"
        " count: SENTENCES.length }))"
    )
    assert chinese.pop("other") == "a sentence of nobody"
    assert chinese.pop("count") == len(english)
    for what, text in chinese.items():
        assert re.search(r"[\u4e00-\u9fff]", text), (what, (english | blamed)[what])
    assert len(set(chinese.values())) == len(chinese)
    assert "FlashTalk Reference" in chinese["blamed"]
    assert "gone.png" in chinese["blamed"]


def test_every_card_of_the_template_browser_is_there_in_both_languages(run_module):
    cards = run_module("import { CARDS } from './templates.js'\nconsole.log(JSON.stringify(CARDS))")
    templates = {path.stem for path in (JS.parent / "workflows").glob("*.json")}
    assert {language: set(found) for language, found in cards.items()} == {
        "en": templates,
        "zh": templates,
    }
    assert all(re.search(r"[\u4e00-\u9fff]", card["title"]) for card in cards["zh"].values())
