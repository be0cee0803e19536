"""tests/cases.md names tests that exist."""

import re
from pathlib import Path

import pytest

CASES = Path(__file__).parents[1] / "cases.md"
ROOT = CASES.parents[1]
LINES = [line for line in CASES.read_text("utf-8").splitlines() if line.startswith("| ")]
ROWS = [re.split(r"(?<!\\)\|", line)[1:-1] for line in LINES[2:]]


def held_by(cell: str) -> list[tuple[str, list[str]]]:
    """Files and, of each, the names of tests and classes that follow it."""
    files: list[tuple[str, list[str]]] = []
    for word in re.findall(r"(?:tests|benchmarks)/[\w/]+(?:\.py)?|\b(?:test_\w+|Test[A-Z]\w*)\b(?!\.py)", cell):
        if "/" in word:
            files.append((word, []))
        else:
            files[-1][1].append(word)
    return files


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip()[:50])
def test_a_row_names_tests_that_exist(row: list[str]) -> None:
    assert len(row) == 3, "a bar within a cell is written \\|"
    assert all(cell.strip() for cell in row)
    for file, names in held_by(row[2]):
        assert (ROOT / file).exists(), file
        text = (ROOT / file).read_text("utf-8") if names else ""
        for name in names:
            assert re.search(rf"(?:def|class) {name}\b", text), f"{file} has no {name}"
