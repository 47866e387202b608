"""Looks for inputs that lead readers to code where none led before: fuzzing guided by coverage.

``python -m tests.fuzz.guided`` tries every reader with its share of ``--cases``, each in a process
of its own, with atheris (``pip install -e ".[fuzz]"``; Linux, Python 3.11 to 3.13). It exits with 1
if one failed, and leaves those inputs in ``--keep``. ``--write`` puts the counts into a document,
between two comments of HTML.
"""

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

CASES = 100_000
MAX_SILENT_S = 90
"""Longest time without a new case: the limit of a case cannot stop C code that never returns."""
BEGIN, END = "<!-- counts of tests/fuzz: begin -->", "<!-- end -->"


def main() -> int:
    """Run the command."""
    from .guided_child import prepare

    args = _parse()
    args.keep.mkdir(parents=True, exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        prepared = prepare(args.reader or (), Path(folder))
        whole = sum(each.reader.share for each in prepared)
        for number, each in enumerate(prepared):
            cases = max(1, -(-each.reader.share * args.cases // whole))
            rows.append(_searched(each, cases, args, args.seed + number))
            sys.stdout.write(_line(rows[-1]) + "\n")
            sys.stdout.flush()
    if args.write:
        write_counts(args.write, rows, args.seed)
    return int(any(row["uncaught"] for row in rows))


def _parse():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES, help="of all readers together")
    parser.add_argument("--reader", action="append", help="only this one; may be given again")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "found")
    parser.add_argument("--write", type=Path, help="document that gets the counts")
    return parser.parse_args()


def _searched(prepared, cases, args, seed):
    """Return the counts of one reader, tried in a process of its own."""
    from .guided_child import search

    began_s, reader = time.monotonic(), prepared.reader
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=search, args=(prepared, cases, seed, folder))
    process.start()
    why = _watched(process, folder / "case")
    row = {"reader": reader.name, "cases": 0, "accepted": 0, "refused": 0, "memory_mib": 0}
    if (folder / "result.json").exists():
        row |= json.loads((folder / "result.json").read_text())
    else:
        row["uncaught"] = {why or f"ended with {process.exitcode}": _hex(folder / "case")}
        sys.stdout.write((folder / "log").read_text(errors="replace")[-3_000:])
    row["seconds"] = round(time.monotonic() - began_s)
    for number, (place, case) in enumerate(row["uncaught"].items()):
        sys.stdout.write(f"  {place}\n")
        kept = args.keep / f"{reader.slug}-{seed}-{number}"
        kept.write_bytes(bytes.fromhex(case))
    shutil.rmtree(folder, ignore_errors=True)
    return row


def _watched(process, case):
    """Wait for the end of a search; return why it was ended, empty if it ended by itself."""
    while process.is_alive():
        process.join(MAX_SILENT_S / 4)
        written_s = case.stat().st_mtime if case.exists() else time.time()
        if process.is_alive() and time.time() - written_s > MAX_SILENT_S:
            process.kill()
            process.join()
            return f"no end of a case within {MAX_SILENT_S} s"
    return ""


def _hex(path):
    return path.read_bytes().hex() if path.exists() else ""


def _line(row):
    return (
        f"{row['reader']}: {row['cases']} cases, {row['accepted']} read, {row['refused']} refused, "
        f"{len(row['uncaught'])} failed, {row['memory_mib']} MiB more, {row['seconds']} s"
    )


def _rows_of(text):
    """Return the cells of an earlier table by reader: those not tried again stay."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {cells[0]: cells for cells in lines if len(cells) == 6 and cells[0] != "reader"}


def _cells(row):
    numbers = (row["cases"], row["accepted"], row["refused"], len(row["uncaught"]))
    return [row["reader"], *(f"{each:,}" for each in (*numbers, row["memory_mib"]))]


def _number(cell):
    return int(cell.replace(",", ""))


def write_counts(document, rows, seed):
    """Put the counts into a document, in the place of those of an earlier run."""
    text = document.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    old, _, tail = rest.partition(END)
    table = _rows_of(old) | {row["reader"]: _cells(row) for row in rows}
    total, failed = (sum(_number(cells[at]) for cells in table.values()) for at in (1, 4))
    lines = [
        f"{total:,} cases of seed {seed} on {datetime.now(UTC):%Y-%m-%d}, {failed} failed. Memory "
        "is what a process grew by at most over its whole run, the fuzzer's own included.",
        "",
        "| reader | cases | read | refused | failed | memory, MiB |",
        "|---|---|---|---|---|---|",
        *(f"| {' | '.join(cells)} |" for cells in table.values()),
    ]
    made = "\n".join([f"{head}{BEGIN}", "", *lines, "", f"{END}{tail}"])
    document.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
