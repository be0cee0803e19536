"""`cliptune show` where images are marked: sets of images with masks, segmenters, a method's sizes on one."""

from typing import TYPE_CHECKING, Any

from cliptune.cli import output

if TYPE_CHECKING:
    from cliptune.models.segmenter import Segmenter

WHAT = {"transposed": "the transposed convolution", "all": "all of the decoder", "none": "nothing of the decoder"}


def home(method: str) -> str:
    """The backbone whose sizes are told of a method where none is named: one it can be trained on."""
    from cliptune.models import zoo
    from cliptune.recipe import find_method

    return "vit-b-16" if "classify" in find_method(method).tasks else next(iter(zoo.SEGMENTERS))


def named(on: str) -> str:
    """The segmenter of the zoo that is meant, case, '-', '_' and '/' aside; '' for anything else."""
    from cliptune.models import zoo
    from cliptune.registry import plain

    names = {plain(name): name for name in zoo.SEGMENTERS}
    hubs = {plain(hub): name for name, hub in zoo.SEGMENTERS.items()}
    return (names | hubs).get(plain(on), "")


def show_masks(name: str) -> dict[str, Any]:
    """Print what was published about a set of images with masks; returns its facts."""
    from cliptune.datasets import mask_sets
    from cliptune.datasets.segmentation import PARTS

    module, told = mask_sets.module_of(name), mask_sets.facts_of(name)
    counts = {part: number for part, number in zip(PARTS, told.counts, strict=True) if number}
    facts = {
        "data": name,
        "title": told.title,
        "masks": True,
        "source": told.source,
        "get": told.get,
        "folders": list(told.folders),
        **counts,
        "prompt": getattr(module, "WORD", ""),
        "also called": list(told.aliases),
        "tables": told.column,
    }
    output.say((module.__doc__ or "").strip() + "\n")
    labels = {"masks": "images with masks", "prompt": "prompt p1", "tables": "in the papers' tables"}
    for key, value in facts.items():
        if value:
            shown = "yes" if value is True else ", ".join(value) if isinstance(value, list) else value
            output.say(f"{labels.get(key, key)}: {shown}")
    return facts


def show_segmenter(name: str) -> dict[str, Any]:
    """Print a zoo segmenter's shape and sizes; returns its facts."""
    from cliptune.models import segmenter, sites, zoo

    found = segmenter.outline(name)
    config: Any = found.whole.config
    facts = {
        "model": name,
        "source": zoo.SEGMENTERS[name],
        "parameters": _count(found.whole),
        "towers": _count(found.whole.clip),
        **decoder_facts(found),
        "image": found.preprocess.crop,
        "patch": config.vision_config.patch_size,
        "vision": f"{config.vision_config.num_hidden_layers} blocks × {config.vision_config.hidden_size}",
        "text": f"{config.text_config.num_hidden_layers} blocks × {config.text_config.hidden_size}",
        "joint": config.projection_dim,
        "activation": config.vision_config.hidden_act,
        "sites": len(sites.walk(found.model)),
        "sites not read": len(found.dead_sites()),
    }
    for key, value in facts.items():
        output.say(f"{key}: {value}")
    return facts


def decoder_facts(found: "Segmenter") -> dict[str, Any]:
    """How many numbers a segmenter's decoder and its transposed convolution have, and which image blocks it reads."""
    from cliptune.methods.with_decoder import decoder_size

    return {
        "decoder": decoder_size(found, "all"),
        "transposed convolution": decoder_size(found, "transposed"),
        "decoder reads": "image blocks " + ", ".join(map(str, found.layers)),
    }


def show_method(name: str, on: str, assignments: list[str]) -> dict[str, Any]:
    """Print a method's page and what it trains on a zoo segmenter: of the towers, and of the decoder beside it.

    Raises:
        UserError: a setting that is none; a method that marks nothing.
    """
    from cliptune.cli.show import say_settings
    from cliptune.methods.with_decoder import decoder_size
    from cliptune.models import segmenter
    from cliptune.recipe import assemble
    from cliptune.settings import parse_assignment, plain

    options = dict(parse_assignment(text) for text in assignments)
    recipe = assemble({"method": {"name": name}, "segment": {}}, options, "paper")
    assert recipe.segment is not None
    method, trained = recipe.method, recipe.segment.decoder
    skip, keep = segmenter.outline(on), segmenter.outline(on, "keep")
    parameters = _count(skip.whole)
    decoder = decoder_size(skip, trained) if method.phases() else 0
    read = method.size((skip if recipe.segment.inert == "skip" else keep).model, 1)
    whole = method.size(keep.model, 1)
    least, most = read.least + decoder, read.most + decoder
    page = say_settings(method)
    output.say(f"\non {on} ({parameters:,} numbers): trains {_span(least, most)} ({100 * most / parameters:.2f} %)")
    output.say(f"  towers: {_span(read.least, read.most)}")
    if recipe.segment.inert == "skip" and whole.most != read.most:
        output.say(f"  with the blocks that the decoder does not read (segment.inert=keep): {whole.most:,}")
    if method.phases():
        output.say(f"  decoder: {decoder:,} ({WHAT[trained]}; segment.decoder = {trained})")
    if read.facts:
        output.say("  " + ", ".join(f"{key} {value}" for key, value in read.facts.items()))
    presets = {key: values for key, values in type(method).presets.items() if key.startswith("segment/")}
    for preset, values in presets.items():
        output.say(f"{preset} preset: " + ", ".join(f"{key} = {value}" for key, value in values.items()))
    return {
        "method": name,
        "title": method.title,
        "settings": plain(method),
        "model": on,
        "model_parameters": parameters,
        "trainable_parameters": most if least == most else None,
        "trainable_least": least,
        "trainable_most": most,
        "trainable_percent": 100 * most / parameters,
        "towers": read.most,
        "towers_with_inert": whole.most,
        "decoder": decoder,
        "decoder_trained": trained,
        "mergeable": method.mergeable,
        "presets": {preset: dict(values) for preset, values in presets.items()},
        "page": page,
        **read.facts,
    }


def _span(least: int, most: int) -> str:
    return f"{most:,}" if least == most else f"{least:,} to {most:,}"


def _count(module: Any) -> int:
    return sum(tensor.numel() for tensor in module.parameters())
