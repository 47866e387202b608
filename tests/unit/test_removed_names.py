"""What newer versions of Python and of libraries dropped is not used.

Tests run with one version of each; the table covers what the others would refuse.
"""

import ast
import importlib
import importlib.metadata
import sys
import warnings
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[2]
PLACES = ("__init__.py", "flashtalk_core", "nodes", "tests")

# Distribution, the version that dropped them, and their names. Python's own come without one.
REMOVED = [
    ("", (3, 12), "asynchat asyncore distutils imp smtpd"),
    (
        "",
        (3, 13),
        "aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap nntplib pipes sndhdr sunau "
        "telnetlib uu xdrlib unittest.makeSuite unittest.findTestCases",
    ),
    (
        "",
        (3, 14),
        "ast.Num ast.Str ast.Bytes ast.NameConstant ast.Ellipsis pkgutil.find_loader "
        "pkgutil.get_loader importlib.abc.ResourceReader importlib.abc.Traversable "
        "asyncio.AbstractChildWatcher asyncio.get_child_watcher urllib.request.URLopener",
    ),
    (
        "numpy",
        (2, 0),
        "numpy.float_ numpy.complex_ numpy.string_ numpy.unicode_ numpy.Inf numpy.Infinity "
        "numpy.NaN numpy.PINF numpy.NINF numpy.product numpy.cumproduct numpy.sometrue "
        "numpy.alltrue numpy.msort numpy.mat numpy.asfarray numpy.cast numpy.sctypes "
        "numpy.issctype numpy.find_common_type numpy.recfromcsv numpy.round_ numpy.obj2sctype",
    ),
    ("numpy", (2, 4), "numpy.in1d numpy.trapz"),
    ("pillow", (10, 0), "PIL.Image.ANTIALIAS PIL.Image.LINEAR PIL.Image.CUBIC"),
    ("av", (14, 0), "av.AVError"),
]
# Names that stay but behave differently, with the reason.
CHANGED = {
    "asyncio.get_event_loop": "raises without a running loop on Python 3.14",
    "asyncio.set_event_loop_policy": "warns on Python 3.14",
    "datetime.datetime.utcnow": "warns on Python 3.12",
    "datetime.datetime.utcfromtimestamp": "warns on Python 3.12",
    "numpy.row_stack": "warns with numpy 2.0",
}
KEYWORDS = {
    "metadata_errors": "PyAV 19 dropped it; use media/container.py",
    "metadata_encoding": "PyAV 19 dropped it",
    "onerror": "shutil.rmtree warns on Python 3.12",
}
BASES = {"Wav2Vec2Model": "transformers 5 breaks subclasses; call its parts"}


def faults(source):
    """Return what of the tables ``source`` uses."""
    nodes = list(ast.walk(ast.parse(source)))
    used = _used_names(nodes)
    dropped = CHANGED | {
        name: f"dropped by {distribution or 'Python'} {'.'.join(map(str, version))}"
        for distribution, version, table in REMOVED
        for name in table.split()
    }
    found = [
        f"{name}: {why}"
        for name, why in dropped.items()
        if any(each == name or each.startswith(f"{name}.") for each in used)
    ]
    for node in nodes:
        if isinstance(node, ast.Call):
            given = [keyword.arg for keyword in node.keywords]
            found += [f"{name}=: {why}" for name, why in KEYWORDS.items() if name in given]
        elif isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
            found += [f"class of {name}: {why}" for name, why in BASES.items() if name in bases]
    return found


def _used_names(nodes):
    """Return dotted names that are imported or read, whatever they are called in the file."""
    used, names = set(), {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                used.add(alias.name)
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                used.add(names[alias.asname or alias.name])
    for node in nodes:
        if isinstance(node, ast.Attribute):
            first, _, rest = ast.unparse(node).partition(".")
            if first in names:
                used.add(f"{names[first]}.{rest}")
    return used


def our_files():
    for place in PLACES:
        path = ROOT / place
        yield from [path] if path.is_file() else path.rglob("*.py")


def test_no_removed_name_is_used():
    found = {
        str(path.relative_to(ROOT)): here
        for path in our_files()
        if "node_modules" not in path.parts and (here := faults(path.read_text("utf-8")))
    }
    assert not found


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import av\nav.open('a', metadata_errors='ignore')", "metadata_errors="),
        ("import numpy as np\nx = np.NaN", "numpy.NaN"),
        ("from numpy import in1d as inside", "numpy.in1d"),
        ("from PIL import Image\nImage.ANTIALIAS", "PIL.Image.ANTIALIAS"),
        ("def f():\n    import audioop", "audioop"),
        ("import distutils.version", "distutils"),
        ("from imghdr import what", "imghdr"),
        ("import asyncio\nloop = asyncio.get_event_loop()", "asyncio.get_event_loop"),
        ("import transformers as t\nclass A(t.Wav2Vec2Model):\n    pass", "class of Wav2Vec2Model"),
        ("import asyncio\nasyncio.get_running_loop()", None),
    ],
)
def test_the_scan_of_the_test_finds_planted_patterns(source, name):
    found = faults(source)
    assert [each.partition(":")[0] for each in found] == ([name] if name else [])


def _installed(distribution):
    if not distribution:
        return sys.version_info[:2]
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed")
    return tuple(int(part) for part in version.split(".")[:2])


def _exists(name):
    module, _, attribute = name.rpartition(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if not module:  # setuptools offers a distutils of its own
                return name in sys.stdlib_module_names
            return hasattr(importlib.import_module(module), attribute)
        except (ImportError, RuntimeError):
            return False


@pytest.mark.parametrize(("distribution", "version", "table"), REMOVED)
def test_the_listed_names_are_gone_from_the_installed_versions(distribution, version, table):
    if _installed(distribution) < version:
        pytest.skip("the installed version still has them")
    assert [name for name in table.split() if _exists(name)] == []
