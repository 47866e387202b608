"""What the documents promise to say."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[2]


def test_no_document_leaves_a_figure_open():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    assert not [page.name for page in pages if "TBD" in page.read_text(encoding="utf-8")]
