"""`cliptune check --data …` without a method, for images with masks: what a copy holds, how the segmenter fares."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.cli import output
from cliptune.cli.check_data import MOST, SHOWN
from cliptune.counted import these

if TYPE_CHECKING:
    from cliptune.datasets.segmentation import MaskSet

TOLD = 12
"""groups whose counts are printed"""


def check_masks(
    chosen: Mapping[str, Any], picture: Path | None, most: int | None, zero_shot: bool, device: str
) -> None:
    """Print what was understood of `chosen["data.name"]`, faults of its images and masks and, if asked, Dice.

    Args:
        chosen: dotted settings of [data], [model], [train] and [segment]. picture: where nine thumbnails go.
        most: images to look at; 0 all, None `MOST`.
    """
    from cliptune.datasets.mask_sets import open_masks
    from cliptune.errors import UserError
    from cliptune.recipe import draft

    recipe = draft({"method": {"name": "zero_shot"}, "segment": {}}, chosen)
    data = recipe.data
    assert recipe.segment is not None
    settings = recipe.segment
    maskset = open_masks(data.name, data.root or None, data.missing, settings.words or None, settings.value)

    from cliptune.datasets.inspect_masks import examine, thumbnails, understood

    facts = understood(maskset)
    _say_understood(facts)
    looked = examine(maskset, MOST if most is None else most or None)
    faults = looked.facts()
    _say_faults(faults)
    place = picture or Path(f"{maskset.name.replace('/', '-')}-thumbnails.png")
    found = {**facts, "examined": faults, "thumbnails": str(place)}
    try:
        thumbnails(maskset, place)
        output.say(f"  nine of its images, what is to be marked outlined: {place}")
    except UserError as problem:
        found["thumbnails"] = None
        output.say(f"  no thumbnails: {problem.what}")
    if zero_shot:
        if data.missing == "skip":
            good = tuple(item for item in maskset.test if (item.image, item.masks) not in looked.spoilt)
            maskset = dataclasses.replace(maskset, test=good)
        found["zero_shot"] = zero_shot_of(maskset, chosen, device)
        _say_zero_shot(found["zero_shot"])
    output.result(found)


def zero_shot_of(maskset: "MaskSet", chosen: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Dice and IoU of the untouched segmenter on the test part, and what they were measured with.

    Raises:
        UserError: no test images, no such segmenter or kind of prompt, an image or mask that cannot be read.
    """
    from cliptune.models.shortcuts import using
    from cliptune.recipe import assemble
    from cliptune.segmentation import prepare_segment
    from cliptune.tasks.segment import measure
    from cliptune.training.segment_lesson import segmenting

    tables: dict[str, dict[str, Any]] = {"method": {"name": "zero_shot"}, "segment": {}}
    draft = assemble(tables, chosen, "paper")
    plan = prepare_segment(tables, chosen, draft, "paper", device, None, maskset, None, False)
    with using(plan.recipe.shortcuts):
        segment = segmenting(plan.backbone.marker(), plan.backbone, plan.machine)
        answers = plan.answered(segment, plan.pixels(plan.episode.test))
    told = measure(answers, [item.group for item in plan.episode.test], plan.settings.threshold)
    prompt = {"kind": plan.episode.prompt, "texts": plan.prompts[:3], "different": len(plan.prompts)}
    return {"model": plan.backbone.name, "side": plan.preprocess.size, "prompt": prompt, **told}


def _say_understood(facts: Mapping[str, Any]) -> None:
    counts = ", ".join(f"{number:,} {part}" for part, number in facts["counts"].items())
    output.say(f"{facts['name']} · images with masks · {counts} · {facts['root'] or 'no files'}")
    told = facts["published"]
    if told:
        wanted = ", ".join(f"{number:,} {part}" for part, number in told["counts"].items() if number)
        output.say(f"  parts: {facts['split']} · {'as published' if told['matches'] else f'published: {wanted}'}")
    else:
        output.say(f"  parts: {facts['split']}")
    for group, counted in list(facts["groups"].items())[:TOLD]:
        output.say(f"  {group}: " + ", ".join(f"{number:,} {part}" for part, number in counted.items()))
    if len(facts["groups"]) > TOLD:
        output.say(f"  … and {len(facts['groups']) - TOLD} more groups")
    for each in facts["prompts"]:
        more = f", {each['different']:,} different" if each["different"] > 1 else ""
        several = f", up to {each['most_texts']} an image" if each["most_texts"] > 1 else ""
        tells = " · tells something of the masks" if each["tells"] else ""
        example = repr(each["example"]) if each["example"] else "empty"
        output.say(f"  prompt {each['kind']}: {example}{more}{several}{tells}")
    for note in facts["notes"]:
        output.say(f"  note: {note}")


def _say_faults(faults: Mapping[str, Any]) -> None:
    kinds = ", ".join(f"{number:,} {mode}" for mode, number in faults["modes"].items())
    masks = ", ".join(f"{number:,} {mode}" for mode, number in faults["mask_modes"].items())
    output.say(
        f"  looked at {faults['looked_at']:,} of {these(faults['images'], 'image')}"
        f"{f': {kinds}' if kinds else ''}{f'; masks: {masks}' if masks else ''}"
    )
    for told in faults["scaled"]:
        output.say(f"  note: {told}")
    if share := faults["share"]:
        least, lower, middle, upper, most = (output.percent(share[key]) for key in share)
        output.say(f"  marked of an image: {least} to {most}, quartiles {lower}, {middle}, {upper}")
    if empty := faults["empty"]:
        output.say("  nothing to mark: " + ", ".join(f"{number:,} {part}" for part, number in empty.items()))
    if faults["grey"]:
        output.say(f"  masks with greys between black and white: {faults['grey']:,}; above 127 counts as marked")
    for parts, number in faults["listed_twice"].items():
        output.say(f"  listed in {parts}: {number:,}")
    titles = {
        "unreadable": "cannot be read",
        "sizes_differ": "image and mask differ in size",
        "dim": "masks in which nothing is bright enough to be marked",
        "odd": "odd files",
        "duplicates": "exact duplicates across parts, or with different masks",
        "near_duplicates": "near duplicates across parts",
    }
    for key, title in titles.items():
        found = faults[key]
        if not found:
            continue
        output.say(f"  {title}: {len(found):,}")
        rows = found.items() if isinstance(found, Mapping) else [(" = ".join(map(str, each)), "") for each in found]
        for path, remark in list(rows)[:SHOWN]:
            output.say(f"    {path}{f': {remark}' if remark else ''}")


def _say_zero_shot(found: Mapping[str, Any]) -> None:
    (low, high), prompt = found["interval"], found["prompt"]
    more = f" and {prompt['different'] - 1:,} more" if prompt["different"] > 1 else ""
    output.say(
        f"  zero-shot, {found['model']} at {found['side']} pixels, prompt {prompt['kind']} "
        f"({prompt['texts'][0]!r}{more}): Dice {output.percent(found['dice'])} "
        f"(95 % {100 * low:.1f}–{100 * high:.1f}, n = {found['n']:,}), IoU {output.percent(found['iou'])}"
    )
    for name, each in found["per_size"].items():
        low, high = each["share"]
        what = "nothing to mark" if low == high else f"{name}, {100 * low:g} to {100 * high:g} % of the image"
        output.say(f"    {what}: Dice {output.percent(each['dice'])}, n = {each['n']:,}")
    for name, each in found["per_group"].items():
        output.say(f"    {name}: Dice {output.percent(each['dice'])}, n = {each['n']:,}")
