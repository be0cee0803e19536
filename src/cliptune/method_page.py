"""docs/methods/NAME.md from the method itself: its header, settings, sizes, published numbers.

What only a hand can add stands below the mark `KEPT` and is kept. `make docs` writes the pages, a test compares them.

Our own numbers come from `numbers.json` beside the pages, where a study has written one:

    {"note": "what was measured, on what",
     "rows": [{"method": "lora", "what": "rank 2", "shots": {"16": "92.7 ± 1.7"}}]}
"""

import argparse
import inspect
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cliptune import published
from cliptune.counted import these
from cliptune.errors import UserError
from cliptune.methods import METHODS
from cliptune.methods.base import Method
from cliptune.models import zoo
from cliptune.recipe import KINDS, assemble, find_method, load_tables, shipped
from cliptune.recipe_presets import preset_of
from cliptune.settings import field_help, plain

MADE = "<!-- Made by `make docs` from the method's own file. -->"
KEPT = "<!-- By hand from here on; `make docs` keeps it. -->"
BACKBONES = ("vit-b-16", "vit-l-14", "mini")
CLASSIFIERS = tuple(name for name in METHODS if "classify" in find_method(name).tasks)
CLASSES = 100
"""for methods whose size depends on it"""


def page(name: str, numbers: Mapping[str, Any] | None = None) -> str:
    """The made part of a method's page, Markdown.

    Args:
        numbers: what numbers.json holds.
    """
    kind = find_method(name)
    first, _, rest = (inspect.getdoc(inspect.getmodule(kind)) or "").partition("\n")
    lead = first.partition(": ")[2] or first
    blocks = [
        f"# {kind.title} (`{name}`)",
        MADE,
        lead[:1].upper() + lead[1:],
        f"```text\n{rest.strip(chr(10))}\n```",
        *_papers(rest),
        "## Settings",
        *_settings(kind),
        "## Trained numbers",
        *_sizes(kind),
        "## Run",
        f"```sh\n{_commands(kind)}\n```",
        "## Numbers",
        *_published(kind),
        *_ours(name, numbers or {}),
    ]
    return "\n\n".join(blocks) + "\n"


def _papers(text: str) -> list[str]:
    found = dict.fromkeys(re.findall(r"arXiv:(\d{4}\.\d{5})", text))
    links = [f"[arXiv:{number}](https://arxiv.org/abs/{number})" for number in found]
    return ["Papers: " + ", ".join(links) + "."] if links else []


def _settings(kind: type[Method]) -> list[str]:
    """Own settings, then those of the recipe that a preset changes."""
    names = _presets(kind)
    presets = {preset: _values(kind.name, preset) for preset in names}
    defaults = plain(kind())
    rows = [
        (key, defaults[key], text, {preset: values.get(f"method.{key}") for preset, values in presets.items()})
        for key, text in field_help(kind).items()
    ]
    told = [_own(kind, preset) for preset in names]
    for key in dict.fromkeys(key for preset in told for key in preset if "." in key):
        section, _, name = key.partition(".")
        default = plain(getattr(KINDS[section](), name))
        given = {preset: values.get(key, default) for preset, values in presets.items()}
        if any(given[preset] != default for preset in names if key in _own(kind, preset)):
            rows.append((key, default, field_help(KINDS[section])[name], given))
    if not rows:
        return ["None."]
    cells = [
        [
            f"`{key}`",
            _code(default),
            *("" if given[preset] == default else _code(given[preset]) for preset in names),
            text,
        ]
        for key, default, text, given in rows
    ]
    note = "`--set KEY=VALUE` changes one; empty where a preset leaves the default."
    if "segment" in kind.tasks:
        note += " What all methods share where they mark images: [segment.md](../howto/segment.md)."
    return [note, _table(("setting", "default", *(f"`{preset}`" for preset in names), "meaning"), cells)]


def _presets(kind: type[Method]) -> list[str]:
    """Those that set something of their own."""
    own = [preset for preset in ("paper", "small") if "classify" in kind.tasks]
    return [*own, *(preset for preset in kind.presets if preset.startswith("segment/"))]


def _own(kind: type[Method], preset: str) -> Mapping[str, Any]:
    """What a preset sets; of segmentation without what all methods share there."""
    return kind.presets.get(preset, {}) if preset.startswith("segment/") else preset_of(kind, preset)


def _values(name: str, preset: str) -> dict[str, Any]:
    """Every setting of the recipe a preset gives, by dotted key."""
    told = load_tables(name)
    if preset.startswith("segment/"):
        told["segment"] = {}
    tables = assemble(told, preset=preset.removeprefix("segment/")).tables()
    return {f"{table}.{key}": plain(value) for table, values in tables.items() for key, value in values.items()}


def _code(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _sizes(kind: type[Method]) -> list[str]:
    method, rows, told = kind(), [], []
    for name in BACKBONES:
        model, title = zoo.outline(name), published.BACKBONES.get(name, name)
        whole = sum(tensor.numel() for tensor in model.parameters())
        try:
            size = method.size(model, CLASSES)
        except UserError as problem:
            rows.append([title, f"refused: {problem.what}", ""])
            continue
        ends = (size.most,) if size.exact is not None else (size.least, size.most)
        shares = " to ".join(f"{100 * end / whole:.2f}" for end in ends)
        rows.append([title, " to ".join(f"{end:,}" for end in ends), f"{shares} %"])
        if size.facts:
            told.append(f"{title}: " + ", ".join(f"{count:,} {fact}" for fact, count in size.facts.items()))
    if len({method.size(zoo.outline("mini"), classes).most for classes in (CLASSES, CLASSES + 1)}) > 1:
        told.append(f"For {CLASSES} classes")
    note = [f"{'. '.join(told)}."] if told else []
    return [_table(("backbone", "numbers", "of the backbone"), rows), *note]


def _commands(kind: type[Method]) -> str:
    short = " --set train.steps=20" if any(phase.kind == "gradient" for phase in kind().phases()) else ""
    recipe = f"few-shot-{kind.name.replace('_', '-')}"
    lines = [f"cliptune train {kind.name} --data digits{short}", f"cliptune show {kind.name} --on vit-l-14"]
    if "segment" in kind.tasks:
        marks = f"cliptune train {kind.name} --data world/glyphs --shots 16{short}"
        lines = [marks] if "classify" not in kind.tasks else [lines[0], marks, lines[1]]
    return "\n".join([*lines, *([f"cliptune show {recipe}"] if recipe in shipped() else [])])


def _published(kind: type[Method]) -> list[str]:
    rows = published.of_method(kind.name, kind.title)
    if not rows:
        return ["The papers we follow print none for it."]
    shots = [count for count in ("0", "1", "2", "4", "8", "16", "") if any(count in row.cells for row in rows)]
    head = [these(int(count), "shot") if count else "all images" for count in shots]
    cells = [
        [
            row.what,
            row.backbone,
            *(f"{row.cells[count]:g}" if count in row.cells else "" for count in shots),
            row.source,
        ]
        for row in rows
    ]
    return [
        "Printed in the papers, per cent; means are over the data sets of the table.",
        _table(("what", "backbone", *head, "source"), cells),
    ]


def _ours(name: str, numbers: Mapping[str, Any]) -> list[str]:
    rows = [row for row in numbers.get("rows", ()) if row["method"] == name]
    if not rows and name not in CLASSIFIERS:
        return ["Ours: [results-segmentation.md](../results-segmentation.md)."]
    seen = "Ours on the mini model, all methods side by side: [results-digits.md](../results-digits.md)."
    if not rows:
        return [seen]
    shots = sorted({count for row in rows for count in row["shots"]}, key=int)
    cells = [[row["what"], *(str(row["shots"].get(count, "")) for count in shots)] for row in rows]
    head = ("what", *(f"{count} shot{'' if count == '1' else 's'}" for count in shots))
    return [f"Ours: {numbers['note']}", _table(head, cells), seen]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(name: str, folder: Path) -> str:
    """A page as it should be: made anew, with what `folder`'s page has below the mark."""
    there, path = folder / "numbers.json", folder / f"{name}.md"
    numbers = json.loads(there.read_text("utf-8")) if there.is_file() else None
    kept = path.read_text("utf-8").partition(KEPT)[2] if path.is_file() else ""
    return page(name, numbers) + (f"\n{KEPT}{kept}" if kept.strip() else "")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the page of every method.")
    parser.add_argument("folder", type=Path, help="where the pages lie: docs/methods")
    folder = parser.parse_args().folder
    for name in METHODS:
        (folder / f"{name}.md").write_text(written(name, folder), "utf-8")


if __name__ == "__main__":
    main()
