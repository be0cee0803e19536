"""`cliptune check --data …` without a method: what a copy of a data set holds, and how the untouched backbone fares."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.cli import output
from cliptune.counted import span, these

if TYPE_CHECKING:
    from cliptune.datasets.base import ImageSet

MOST = 20_000
"""images that are looked at unless more are asked for"""
SHOWN = 5
AGREES = 1.0
"""points by which a zero-shot accuracy may differ from a published one: other image libraries resize differently"""


def check_data(chosen: Mapping[str, Any], picture: Path | None, most: int | None, zero_shot: bool, device: str) -> None:
    """Print what was understood of `chosen["data.name"]`, faults of its files and, if asked, zero-shot accuracy.

    Args:
        chosen: dotted settings of [data], [model] and [train]. picture: where nine thumbnails go.
        most: images to look at; 0 all, None `MOST`.
    """
    from cliptune.datasets import data as open_typed
    from cliptune.datasets.coded_names import coded
    from cliptune.datasets.inspect import examine, thumbnails, understood
    from cliptune.errors import UserError
    from cliptune.recipe import draft

    recipe = draft({"method": {"name": "zero_shot"}}, chosen)
    data = recipe.data
    imageset = open_typed(data.name, data.root or None, data.split_seed, data.missing, data.names or None)
    facts = understood(imageset)
    _say_understood(facts)
    codes = coded(imageset.classes, data.template or imageset.templates[0]) if imageset.source else None
    if codes is not None:
        output.say(f"  note: {codes.what}")
        output.say(f"        {codes.fix}")
    looked = examine(imageset, MOST if most is None else most or None)
    faults = looked.facts()
    _say_faults(faults, bool(imageset.domains))
    place = picture or Path(f"{imageset.name.replace('/', '-')}-thumbnails.png")
    found = {**facts, "examined": faults, "thumbnails": str(place)}
    found["codes"] = list(codes.names) if codes is not None else []
    try:
        thumbnails(imageset, place)
        output.say(f"  nine of its images: {place}")
    except UserError as problem:
        found["thumbnails"] = None
        output.say(f"  no thumbnails: {problem.what}")
    if zero_shot:
        if data.missing == "skip":
            good = tuple(item for item in imageset.test if item.path not in looked.unreadable)
            imageset = dataclasses.replace(imageset, test=good)
        found["zero_shot"] = zero_shot_of(imageset, recipe, device)
        found["zero_shot"]["whole"] = bool(facts["published"] and facts["published"]["matches"])
        _say_zero_shot(found["zero_shot"])
    output.result(found)


def zero_shot_of(imageset: "ImageSet", recipe: Any, device: str) -> dict[str, Any]:
    """Accuracy of the untouched backbone on the test split, beside what was published."""
    from cliptune import published
    from cliptune.datasets.base import prompts
    from cliptune.datasets.pixels import Pixels
    from cliptune.models.backbone import load
    from cliptune.protocols.few_shot import need, usable
    from cliptune.tasks.classify import measure, predict, scorer
    from cliptune.training.compute import compute

    need(imageset, "--zero-shot", "test")
    template = usable(recipe.data.template or None, imageset)
    backbone = load(recipe.model.name)
    machine = compute(device, recipe.train.dtype, backbone.parameters)
    backbone.to(machine.device)
    tokens = backbone.tokens(prompts(imageset.classes, template))
    pixels = Pixels(imageset, imageset.test, backbone.preprocess, cache_bytes=0)
    seen = measure(predict(scorer(backbone, tokens), pixels, backbone, machine, 256), imageset.classes)
    architecture = published_name(backbone.model)
    column = imageset.facts.column if imageset.facts else ""
    told = published.zero_shot(column, architecture) if column and architecture else []
    return {
        "model": backbone.name,
        "architecture": architecture,
        "template": template,
        "own_template": template == imageset.templates[0],
        "accuracy": seen["accuracy"],
        "interval": seen["interval"],
        "n": seen["n"],
        "macro_accuracy": seen["macro_accuracy"],
        **beside_guessing(seen, len(imageset.classes)),
        "published": [
            {"source": each.source, "accuracy": each.value / 100, "difference": seen["accuracy"] - each.value / 100}
            for each in told
        ],
        "agrees": any(abs(100 * seen["accuracy"] - each.value) <= AGREES for each in told) if told else None,
    }


def beside_guessing(measured: Mapping[str, Any], classes: int) -> dict[str, Any]:
    """What is held against guessing, what guessing reaches, and whether the first is no better; as for runs."""
    from cliptune.report import read
    from cliptune.report.leading import TITLES, beside_chance, is_unequal

    found, chance = read.measure("test", measured), 1 / classes
    title = TITLES["class mean" if found is not None and is_unequal(found) else "accuracy"]
    return {"measure": title, "chance": chance, "beside_chance": beside_chance(found, chance)}


def published_name(model: Any) -> str:
    """'ViT-B/16' where a backbone has OpenAI's architecture of that name; '' otherwise. Weights are not compared."""
    from cliptune import published
    from cliptune.models import zoo

    def shape(config: Any) -> tuple:
        vision, text = config.vision_config, config.text_config
        sizes = (vision.hidden_size, vision.num_hidden_layers, vision.image_size, vision.patch_size, vision.hidden_act)
        return (*sizes, text.hidden_size, text.num_hidden_layers)

    return next(
        (told for name, told in published.BACKBONES.items() if shape(zoo.ZOO[name].config()) == shape(model.config)), ""
    )


def _say_understood(facts: Mapping[str, Any]) -> None:
    counts = ", ".join(f"{number:,} {split}" for split, number in facts["counts"].items())
    where = facts["root"] or "no files"
    output.say(f"{facts['name']} · {these(len(facts['classes']), 'class', 'classes')} · {counts} images · {where}")
    told = facts["published"]
    if told:
        wanted = ", ".join(f"{number:,} {split}" for split, number in told["counts"].items() if number)
        wanted = f"{these(told['classes'], 'class', 'classes')}, {wanted or 'image counts are not known'}"
        same = "as published" if told["matches"] else f"published: {wanted}"
        output.say(f"  split: {facts['split']} · {same}")
    else:
        output.say(f"  split: {facts['split']}")
    names = facts["classes"]
    output.say(f"  classes: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}")
    output.say(f"  prompt: {facts['templates'][0]!r}")
    for split, each in facts["per_class"].items():
        if each and each["least"] != each["most"]:
            sizes = span([each["least"], each["most"]], to=" to ")
            output.say(f"  {split} images of a class: {sizes}, median {each['median']:g}")
    for domain, counted in (facts.get("domains") or {}).items():
        output.say(f"  {domain}: " + ", ".join(f"{number:,} {split}" for split, number in counted.items()))
    for note in facts["notes"]:
        output.say(f"  note: {note}")


def _say_faults(faults: Mapping[str, Any], domains: bool) -> None:
    kinds = ", ".join(f"{number:,} {mode}" for mode, number in faults["modes"].items())
    images = these(faults["images"], "image")
    output.say(f"  looked at {faults['looked_at']:,} of {images}{f': {kinds}' if kinds else ''}")
    for told in faults["scaled"]:
        output.say(f"  note: {told}")
    for splits, number in faults["listed_twice"].items():
        if not domains:  # there the test is the other splits' images: of the domain that is held out
            output.say(f"  listed in {splits}: {number:,}")
    titles = {
        "unreadable": "cannot be read",
        "odd": "odd files",
        "duplicates": "exact duplicates across splits, domains or labels",
        "near_duplicates": "near duplicates across splits or domains",
    }
    for key, title in titles.items():
        rows = list(_rows(faults[key], "looks like" if key == "near_duplicates" else "="))
        if not rows:
            continue
        output.say(f"  {title}: {len(faults[key]):,}")
        for row in rows[:SHOWN]:
            output.say(f"    {row}")


def _rows(faults: Any, between: str) -> Iterator[str]:
    """A line for each fault; of a remark on more images than are shown, one line for all of them."""
    if not isinstance(faults, Mapping):
        yield from (f" {between} ".join(map(str, places)) for places in faults)
        return
    frequent = {remark: count for remark, count in Counter(faults.values()).items() if count > SHOWN}
    for remark, count in frequent.items():
        first = next(path for path, other in faults.items() if other == remark)
        yield f"{remark}: {these(count, 'image')}, first {first}"
    yield from (f"{path}: {remark}" for path, remark in faults.items() if remark not in frequent)


def _say_zero_shot(found: Mapping[str, Any]) -> None:
    low, high = found["interval"]
    by_class = found["measure"] != "accuracy"
    first = f"{found['measure']} {100 * found['macro_accuracy']:.1f} %, accuracy " if by_class else ""
    output.say(
        f"  zero-shot, {found['model']}, {found['template']!r}: {first}{100 * found['accuracy']:.1f} % "
        f"(95 % {100 * low:.1f}–{100 * high:.1f}, n = {found['n']:,}); guessing {100 * found['chance']:.1f} %"
    )
    if said := found["beside_chance"]:
        output.say(f"  note: that is {said}: the backbone does not know these images by these names")
        output.say("        try other names (--set data.names=names.json) or prompts (--set data.template=…)")
    if not found["published"]:
        output.say("  no zero-shot accuracy was published for this set and backbone in the papers we hold")
        return
    for each in found["published"]:
        beside = f"{100 * each['difference']:+.1f} points"
        output.say(f"  published: {100 * each['accuracy']:.1f} % ({each['source']}), {beside}")
    if found["agrees"] and found["whole"]:
        output.say("  they agree: data, prompts and weights are right")
    elif found["agrees"]:
        output.say("  they agree, but this copy is not the published one: see the counts and notes above")
    elif not found["own_template"]:
        output.say("  they differ; the published one is for the data set's own prompt: leave data.template out")
    else:
        output.say("  they differ: look at the counts and class names above, and whether these are OpenAI's weights")
