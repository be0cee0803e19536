"""The model card: README.md of an adapter folder, from run.json alone."""

from collections.abc import Iterator, Mapping
from typing import Any

from cliptune.report import words
from cliptune.report.card_parts import backbone, bullets, data_rows, environment, front, inline, table, trained
from cliptune.report.card_segment import segment_card
from cliptune.report.leading import Leading, leading_of
from cliptune.report.segment_words import SEGMENT

CARD = """\
---
{front}
---

# {name}

A {method} adapter for {model}, trained by [cliptune](#how-to-use-it) on {data}: {shots}. It is an addition to that \
backbone and does nothing without it.

## Results

{results}
{retention}
## How to use it

```python
import cliptune

run = cliptune.Run.open("{folder}")
run.predict(["image.jpg"])
run.merge("merged/")  # an ordinary transformers CLIPModel{gap}
```

```
cliptune predict {folder} image.jpg
cliptune merge {folder} merged/
```

`{folder}` is the run folder that holds this `adapter/` folder.

## What was trained

{trained}
## Backbone

{backbone}
An adapter refuses another backbone: what it adds has a meaning only on these weights.

## Data

{data_rows}
## Limits

- It was adapted to {classes} and prompts of the form {template}. Other classes get an answer too, and it may be worse \
than the backbone's own.
- Its numbers hold for images like the test images named above. {kept}
- A confidence is no guarantee: {calibration}

## Environment

{environment}"""


def model_card(run: Mapping[str, Any]) -> str:
    """Markdown with YAML front matter.

    Args:
        run: the contents of run.json, of a run of any task.
    """
    return segment_card(run) if run.get("task") == SEGMENT else classify_card(run)


def classify_card(run: Mapping[str, Any]) -> str:
    """The card of a run that classifies."""
    name = str(run.get("name") or "adapter")
    model, data, metrics = (table(run, key) for key in ("model", "data", "metrics"))
    gap = words.number(run.get("merge_gap"))
    classes = data.get("classes") or []
    return CARD.format(
        front="\n".join(front(run, "zero-shot-image-classification", "clip")),
        name=inline(name),
        method=inline(run.get("method") or "unnamed"),
        model=inline(model.get("name") or "an unnamed backbone"),
        data=inline(data.get("name") or "unnamed data"),
        shots=_shots(run),
        results=_results(metrics, leading_of(run)),
        retention=_retention(table(run, "retention")),
        folder=inline(name),
        gap="" if gap is None else f"; relative gap in the logits {gap:.1e}",
        trained=bullets(trained(run)),
        backbone=backbone(model),
        data_rows=bullets(data_rows(data)),
        classes=words.these(len(classes), "class", "classes") if classes else "the classes of its training data",
        template=f"`{inline(data['template'])}`" if data.get("template") else "of its training data",
        kept=_kept(run),
        calibration=_calibration(metrics),
        environment=environment(run),
    )


def _shots(run: Mapping[str, Any]) -> str:
    count = words.number(run.get("shots"))
    many = "all training images" if count is None else f"{words.these(int(count), 'image')} per class"
    held_out = f", without the domain {inline(run['target'])}" if run.get("target") else ""
    return f"{many}{held_out}, seed {words.plain(run.get('seed'))}"


def _results(metrics: Mapping[str, Any], lead: Leading | None) -> str:
    """Every test; the mean over classes is the first column where it leads."""
    heads = ["accuracy", "95 % interval", "images", "mean over classes", "calibration error"]
    by_class = lead is not None and lead.kind == "class mean"
    order = [3, 0, 1, 2, 4] if by_class else [0, 1, 2, 3, 4]
    lines = [f"| | {' | '.join(heads[place] for place in order)} |", "|" + " --- |" * 6]
    lines += _together(metrics, "harmonic_mean", "harmonic mean of base and novel")
    for title, found in _measured(metrics):
        cells = (
            words.percent(found.get("accuracy")),
            words.interval(found.get("interval")),
            words.count(found.get("n")),
            words.percent(found.get("macro_accuracy")),
            words.percent(found.get("ece")),
        )
        lines.append("| " + " | ".join([title, *(cells[place] for place in order)]) + " |")
    return "\n".join([*lines, *_together(metrics, "open_set", "AUROC, known or unknown")])


def _together(metrics: Mapping[str, Any], key: str, title: str) -> list[str]:
    """A row of what several tests tell together; none where it was not measured."""
    after, before = metrics.get(key), table(metrics, "zero_shot").get(key)
    after, before = (found.get("auroc") if isinstance(found, Mapping) else found for found in (after, before))
    if words.number(after) is None:
        return []
    return [f"| {title} | {words.percent(after)} (zero-shot {words.percent(before)}) | | | | |"]


def _measured(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A row's title and numbers: the adapter and the backbone on every test."""
    zero_shot = table(metrics, "zero_shot")
    alone = "accuracy" in zero_shot
    names = ["test"] if alone else [name for name in zero_shot if isinstance(zero_shot[name], Mapping)]
    for name in names:
        if "accuracy" not in table(metrics, name):
            continue
        told = "" if alone else f", {inline(name)}"
        yield f"this adapter{told}", table(metrics, name)
        yield f"zero-shot{told}, the same images", zero_shot if alone else table(zero_shot, name)


def _retention(rows: Mapping[str, Any]) -> str:
    if not rows:
        return "\nWhat the backbone forgot: not measured.\n"
    lines = ["\nWhat it was not adapted for:\n", "| | before | after | change, points | images |", "|" + " --- |" * 5]
    for name, found in rows.items():
        before, after = words.number(found.get("before")), words.number(found.get("after"))
        change = None if before is None or after is None else after - before
        cells = (
            inline(name).replace("|", "\\|"),
            f"{words.percent(before)} ({words.interval(found.get('interval_before'))})",
            f"{words.percent(after)} ({words.interval(found.get('interval_after'))})",
            words.points(change),
            words.count(found.get("n")),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _kept(run: Mapping[str, Any]) -> str:
    if table(run, "retention"):
        return "What it lost elsewhere stands under Results; other losses are not ruled out."
    return "What it lost elsewhere was not measured."


def _calibration(metrics: Mapping[str, Any]) -> str:
    main = next((found for _, found in _measured(metrics)), {})
    ece = words.number(main.get("ece"))
    if ece is None:
        return "how far it is off was not measured."
    return f"on the test images it is off by {words.percent(ece)} on average (expected calibration error)."
