"""Write docs/FIGURES.md from the recorded results in docs/figures.toml."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "figures.toml"
PAGE = DOCS / "FIGURES.md"
COLUMNS = ("figure", "value", "spread", "machine", "date", "command")
REQUIRED = set(COLUMNS) - {"spread"}


def render_page(results: dict[str, Any]) -> str:
    """Return the page as Markdown.

    Args:
        results: Contents of ``figures.toml``: ``introduction``, ``machines`` by name, and
            ``sections``, each with ``heading``, ``figures`` and optional ``notes`` and ``after``.

    Raises:
        ValueError: If a figure lacks a field, has an unknown one, or names an unknown machine.
    """
    parts = ["# Figures", results["introduction"].strip()]
    machines = results["machines"]
    parts.append("\n".join(f"- **{name}**: {text}." for name, text in machines.items()))
    for section in results["sections"]:
        parts.append(f"## {section['heading']}")
        parts.extend([section["notes"].strip()] if "notes" in section else [])
        parts.append("\n".join(_table(section["figures"], set(machines))))
        parts.extend([section["after"].strip()] if "after" in section else [])
    return "\n\n".join(parts) + "\n"


def _table(figures: list[dict[str, Any]], machines: set[str]) -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|" + "---|" * len(COLUMNS)
    for figure in figures:
        _check(figure, machines)
        cells = [str(figure.get(name, "")).replace("|", "\\|") for name in COLUMNS]
        *others, command = cells
        is_run = command.startswith(("python ", "node "))
        yield f"| {' | '.join([*others, f'`{command}`' if is_run else command])} |"


def _check(figure: dict[str, Any], machines: set[str]) -> None:
    name = figure.get("figure", figure)
    missing, unknown = REQUIRED - figure.keys(), figure.keys() - set(COLUMNS)
    if missing or unknown:
        raise ValueError(f"{name}: missing {sorted(missing)}, unknown {sorted(unknown)}")
    if figure["machine"] not in machines:
        raise ValueError(f"{name}: machine {figure['machine']!r} is not in {sorted(machines)}")


def main() -> None:
    """Write the page."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    page = render_page(tomllib.loads(RESULTS.read_text(encoding="utf-8")))
    PAGE.write_text(page, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
