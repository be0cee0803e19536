"""The model card: README.md of an adapter folder, from run.json alone. Standard library only."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cliptune.report import words

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
        run: the contents of run.json.
    """
    name = str(run.get("name") or "adapter")
    model, data, metrics = (_table(run, key) for key in ("model", "data", "metrics"))
    gap = words.number(run.get("merge_gap"))
    classes = data.get("classes") or []
    return CARD.format(
        front="\n".join(_front(run)),
        name=_inline(name),
        method=_inline(run.get("method") or "unnamed"),
        model=_inline(model.get("name") or "an unnamed backbone"),
        data=_inline(data.get("name") or "unnamed data"),
        shots=_shots(run),
        results=_results(metrics),
        retention=_retention(_table(run, "retention")),
        folder=_inline(name),
        gap="" if gap is None else f"; relative gap in the logits {gap:.1e}",
        trained=_bullets(_trained(run)),
        backbone=_bullets(
            [
                ("name", model.get("name")),
                ("source", model.get("source")),
                ("weights (sha256)", model.get("sha256")),
                ("parameters", words.count(model.get("parameters"))),
            ]
        ),
        data_rows=_bullets(_data(data)),
        classes=words.these(len(classes), "class", "classes") if classes else "the classes of its training data",
        template=f"`{_inline(data['template'])}`" if data.get("template") else "of its training data",
        kept=_kept(run),
        calibration=_calibration(metrics),
        environment=_bullets(
            [(_inline(key), value) for key, value in _table(run, "environment").items() if value not in (None, "")]
        ),
    )


def _table(run: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = run.get(key)
    return found if isinstance(found, Mapping) else {}


def _front(run: Mapping[str, Any]) -> Iterator[str]:
    """YAML; JSON strings are YAML strings, so that no name can break it."""
    model, data = _table(run, "model"), _table(run, "data")
    source = str(model.get("source") or "")
    hub = source if source.count("/") == 1 and not source.startswith((".", "/", "~")) else model.get("name")
    yield "library_name: cliptune"
    if hub:
        yield f"base_model: {json.dumps(str(hub), ensure_ascii=False)}"
    yield "pipeline_tag: zero-shot-image-classification"
    yield "tags:"
    for tag in ("clip", run.get("protocol") or "few-shot", "adapter", run.get("method"), data.get("name")):
        if tag:
            yield f"- {json.dumps(str(tag), ensure_ascii=False)}"


def _inline(value: Any) -> str:
    """One line in which nothing is read as HTML or ends a code span."""
    return " ".join(str(value).split()).replace("<", "&lt;").replace("`", "'")


def _bullets(pairs: list[tuple[str, Any]]) -> str:
    lines = [f"- {name}: {_inline(words.plain(value))}" for name, value in pairs if value is not None]
    return "\n".join(lines or [f"- {words.NOT_MEASURED}"]) + "\n"


def _shots(run: Mapping[str, Any]) -> str:
    count = words.number(run.get("shots"))
    many = "all training images" if count is None else f"{words.these(int(count), 'image')} per class"
    held_out = f", without the domain {_inline(run['target'])}" if run.get("target") else ""
    return f"{many}{held_out}, seed {words.plain(run.get('seed'))}"


def _results(metrics: Mapping[str, Any]) -> str:
    lines = ["| | accuracy | 95 % interval | images | mean over classes | calibration error |", "|" + " --- |" * 6]
    for title, found in _measured(metrics):
        cells = (
            title,
            words.percent(found.get("accuracy")),
            words.interval(found.get("interval")),
            words.count(found.get("n")),
            words.percent(found.get("macro_accuracy")),
            words.percent(found.get("ece")),
        )
        lines.append("| " + " | ".join(cells) + " |")
    for key, title in (("harmonic_mean", "harmonic mean of base and novel"), ("open_set", "AUROC, known or unknown")):
        after, before = metrics.get(key), _table(metrics, "zero_shot").get(key)
        after, before = (found.get("auroc") if isinstance(found, Mapping) else found for found in (after, before))
        if words.number(after) is not None:
            lines.append(f"| {title} | {words.percent(after)} (zero-shot {words.percent(before)}) | | | | |")
    return "\n".join(lines)


def _measured(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A row's title and numbers: the adapter and the backbone on every test."""
    zero_shot = _table(metrics, "zero_shot")
    alone = "accuracy" in zero_shot
    names = ["test"] if alone else [name for name in zero_shot if isinstance(zero_shot[name], Mapping)]
    for name in names:
        if "accuracy" not in _table(metrics, name):
            continue
        told = "" if alone else f", {_inline(name)}"
        yield f"this adapter{told}", _table(metrics, name)
        yield f"zero-shot{told}, the same images", zero_shot if alone else _table(zero_shot, name)


def _retention(rows: Mapping[str, Any]) -> str:
    if not rows:
        return "\nWhat the backbone forgot: not measured.\n"
    lines = ["\nWhat it was not adapted for:\n", "| | before | after | change, points | images |", "|" + " --- |" * 5]
    for name, found in rows.items():
        before, after = words.number(found.get("before")), words.number(found.get("after"))
        change = None if before is None or after is None else after - before
        cells = (
            _inline(name).replace("|", "\\|"),
            f"{words.percent(before)} ({words.interval(found.get('interval_before'))})",
            f"{words.percent(after)} ({words.interval(found.get('interval_after'))})",
            words.points(change),
            words.count(found.get("n")),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _trained(run: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Method, its settings, size and cost."""
    seconds = _table(run, "seconds")
    sites = run.get("sites") or []
    return [
        ("method", run.get("method")),
        *((f"`{_inline(key)}`", value) for key, value in _table(run, "settings").items()),
        ("trainable parameters", words.count(run.get("trainable_parameters"))),
        ("share of the backbone", words.share(run.get("trainable_percent"))),
        ("sites", f"{len(sites):,}: {_some(sites)}" if sites else None),
        ("training time", words.seconds(seconds.get("train"))),
        ("peak memory", words.size(run.get("peak_memory_bytes"))),
    ]


def _data(data: Mapping[str, Any]) -> list[tuple[str, Any]]:
    classes = data.get("classes") or []
    return [
        ("name", data.get("name")),
        ("images", ", ".join(f"{key} {words.count(data.get(key))}" for key in ("train", "val", "test"))),
        ("classes", f"{len(classes):,}: {_some(classes)}" if classes else None),
        ("prompt", data.get("template")),
        ("split", data.get("split")),
        *(("note", note) for note in data.get("notes") or ()),
        ("episode (sha256)", data.get("episode_sha256")),
    ]


def _some(names: list[Any], most: int = 20) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(str(name) for name in names[:most]) + more


def _kept(run: Mapping[str, Any]) -> str:
    if _table(run, "retention"):
        return "What it lost elsewhere stands under Results; other losses are not ruled out."
    return "What it lost elsewhere was not measured."


def _calibration(metrics: Mapping[str, Any]) -> str:
    main = next((found for _, found in _measured(metrics)), {})
    ece = words.number(main.get("ece"))
    if ece is None:
        return "how far it is off was not measured."
    return f"on the test images it is off by {words.percent(ece)} on average (expected calibration error)."
