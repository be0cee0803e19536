"""The model card of a run that segments, from run.json alone. Standard library only."""

from collections.abc import Mapping
from typing import Any

from cliptune.report import words
from cliptune.report.card_parts import backbone, bullets, data_rows, environment, front, inline, table, trained
from cliptune.report.segment_words import SIZES, images_told, leak, prompts_told

CARD = """\
---
{front}
---

# {name}

A {method} adapter for {model}, trained by cliptune on {data} to mark what a prompt names: {images}, seed {seed}. It \
is an addition to that backbone and does nothing without it.

## Results

{results}

## What was trained

{trained}
`cliptune report {name}` draws the page of the run folder that holds this `adapter/` folder.

## Backbone

{backbone}
An adapter refuses another backbone: what it adds has a meaning only on these weights.

## Data

{data_rows}
## Limits

- It was adapted to prompts of the kind {prompts}. Other words get a mask too, and it may be worse than the \
backbone's own.
- Its numbers hold for images like the test images named above. What it lost elsewhere was not measured.
- A pixel counts as marked above a probability of {threshold}. That is no guarantee for a single image: look at the \
worst images of the report before you rely on a mask.
{leak}
## Environment

{environment}"""


def segment_card(run: Mapping[str, Any]) -> str:
    """Markdown with YAML front matter.

    Args:
        run: the contents of run.json.
    """
    name = inline(run.get("name") or "adapter")
    model, data, metrics, prompt = (table(run, key) for key in ("model", "data", "metrics", "prompt"))
    decoder = run.get("decoder_parameters")
    warning = leak(prompt.get("kind"))
    return CARD.format(
        front="\n".join(front(run, "image-segmentation", "clipseg")),
        name=name,
        method=inline(run.get("method") or "unnamed"),
        model=inline(model.get("name") or "an unnamed backbone"),
        data=inline(data.get("name") or "unnamed data"),
        images=images_told(run.get("shots")),
        seed=words.plain(run.get("seed")),
        results=results(metrics),
        trained=bullets([*trained(run), ("of the trained, in the decoder", words.count(decoder))]),
        backbone=backbone(model),
        data_rows=bullets([*data_rows(data), ("prompts", prompts_told(prompt))]),
        prompts=inline(prompts_told(prompt)),
        threshold=words.plain(words.number(table(metrics, "test").get("threshold"))),
        leak=f"- {inline(warning)}\n" if warning else "",
        environment=environment(run),
    )


def results(metrics: Mapping[str, Any]) -> str:
    """Dice and IoU of the adapter and of the backbone on the same images, then by size."""
    lines = ["| | Dice | 95 % interval | IoU | images |", "|" + " --- |" * 5]
    tests = {"this adapter": table(metrics, "test"), "zero-shot, the same images": table(metrics, "zero_shot")}
    for title, found in tests.items():
        lines.append(_line(title, found, words.interval(found.get("interval"))))
    sized = table(tests["this adapter"], "per_size")
    lines += [_line(f"this adapter, {size}", table(sized, size), "") for size in SIZES if table(sized, size)]
    return "\n".join(lines)


def _line(title: str, found: Mapping[str, Any], interval: str) -> str:
    cells = (
        title.replace("|", "\\|"),
        words.percent(found.get("dice")),
        interval,
        words.percent(found.get("iou")),
        words.count(found.get("n")),
    )
    return "| " + " | ".join(cells) + " |"
