"""The command around the comparison; the comparison has its own tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flashtalk_core.cli.main import main
from flashtalk_core.parity import runner
from flashtalk_core.parity.bounds import ParityResult

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("error", "code"), [(1e-6, 0), (1e-3, 1)])
@pytest.mark.parametrize("as_json", [False, True])
def test_exit_code_tells_whether_all_pass(monkeypatch, capsys, tmp_path, error, code, as_json):
    results = [
        ParityResult("dit", "velocity", 1e-6, 2e-5, "max"),
        ParityResult("vae", "video", error, 2e-5, "max"),
    ]
    monkeypatch.setattr(runner, "run_parity", lambda *_: results)
    assert main(["parity", str(tmp_path), *(["--json"] if as_json else [])]) == code
    shown = capsys.readouterr().out
    if as_json:
        assert json.loads(shown)["passed"] is (code == 0)
    else:
        assert f"{error:.2e}" in shown
        assert ("NO" in shown) is (code == 1)


def test_a_folder_without_golden_files(capsys, tmp_path):
    assert main(["parity", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {tmp_path}: no golden files;")
    assert shown.count("\n") == 1


def test_parity_needs_neither_video_nor_audio_packages(tmp_path):
    script = (
        "import sys\n"
        "for name in ('av', 'soundfile', 'pyloudnorm'):\n"
        "    sys.modules[name] = None\n"
        "from flashtalk_core.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", script, "parity", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no golden files" in done.stderr
