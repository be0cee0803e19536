"""`cliptune show`: one thing's equation, source, settings and size, before any training."""

import json as jsons
from typing import Annotated, Any

import typer

from cliptune.cli import options, output
from cliptune.counted import span as span_of


def show(
    name: Annotated[str, typer.Argument(help="A method, recipe, study, data set, backbone, or table of a recipe.")],
    on: Annotated[
        str | None, typer.Option(help="Backbone or segmenter whose sizes are told. [default: vit-b-16]")
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="Number of classes, for methods with a head.")] = 100,
    assignments: options.Set = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="A method's page as docs/methods has it.")] = False,
    json: options.Json = False,
) -> None:
    """One method, recipe, study, data set or model, explained.

    Or one table of a recipe.

    cliptune show dora --on vit-b-16 --set rank=4
    cliptune show train
    """
    from cliptune import datasets, recipe
    from cliptune.cli import show_segment
    from cliptune.datasets import mask_sets
    from cliptune.methods import METHODS
    from cliptune.models import zoo
    from cliptune.registry import find, plain
    from cliptune.studies import reading

    files = {"recipe": recipe.shipped(), "study": reading.shipped()}
    things = [*METHODS, *files["recipe"], *files["study"], *datasets.names(), *zoo.names(), *recipe.SECTIONS]
    things += [*mask_sets.names(), *zoo.SEGMENTERS]
    others = {plain(other): known for other, known in (datasets.aliases() | mask_sets.aliases()).items()}
    head = name if plain(name) in map(plain, mask_sets.names()) else name.split("/")[0]
    known = others.get(plain(head), "") if plain(head) not in map(plain, things) else ""
    asked = head if plain(head) in map(plain, things) else name
    known = known or find(asked, things, "method, recipe, study, data set, backbone or table of a recipe")
    if markdown:
        result = show_page(known, assignments or on)
    elif known in METHODS:
        on = on or show_segment.home(known)
        marks = show_segment.named(on)
        if marks:
            result = show_segment.show_method(known, marks, assignments or [])
        else:
            result = show_method(known, on, classes, assignments or [])
    elif kinds := [kind for kind, paths in files.items() if known in paths]:
        text = files[kinds[0]][known].read_text("utf-8")
        output.say(text)
        result = {kinds[0]: known, "text": text}
    elif known in mask_sets.names():
        result = show_segment.show_masks(known)
    elif known in datasets.names():
        result = show_data(name)
    elif known in recipe.SECTIONS:
        result = show_table(known)
    elif known in zoo.SEGMENTERS:
        result = show_segment.show_segmenter(known)
    else:
        result = show_backbone(known)
    output.result(result)


def show_method(name: str, on: str, classes: int, assignments: list[str]) -> dict[str, Any]:
    """Print a method's page; returns its facts."""
    from cliptune.recipe import find_method, resolve
    from cliptune.recipe_presets import preset_of
    from cliptune.settings import parse_assignment, plain

    kind = find_method(name)
    method = resolve(name, dict(parse_assignment(text) for text in assignments)).method
    model, label = outline(on)
    size = method.size(model, classes)
    parameters = sum(tensor.numel() for tensor in model.parameters())
    page = say_settings(method)
    span = span_of([size.most if size.exact is not None else size.least, size.most], to=" to ")
    output.say(f"\non {label} ({parameters:,} numbers): trains {span} ({100 * size.most / parameters:.2f} %)")
    if size.facts:
        output.say("  " + ", ".join(f"{key} {value}" for key, value in size.facts.items()))
    segmenting = {preset: values for preset, values in kind.presets.items() if preset.startswith("segment/")}
    presets = {preset: preset_of(kind, preset) for preset in ("paper", "small")} | segmenting
    for preset, values in presets.items():
        output.say(f"{preset} preset: " + ", ".join(f"{key} = {value}" for key, value in values.items()))
    return {
        "method": name,
        "title": kind.title,
        "settings": plain(method),
        "model": label,
        "model_parameters": parameters,
        "trainable_parameters": size.exact,
        "trainable_least": size.least,
        "trainable_most": size.most,
        "trainable_percent": 100 * size.most / parameters,
        "mergeable": kind.mergeable,
        "presets": {preset: dict(values) for preset, values in presets.items()},
        "page": page,
        **size.facts,
    }


def say_settings(method: Any) -> str:
    """Print a method's equation and its settings as they stand; returns the page with the equation."""
    import inspect

    from cliptune.settings import field_help, plain

    kind = type(method)
    page = inspect.getdoc(inspect.getmodule(kind)) or ""
    output.say(f"{page}\n\nsettings (--set key=value)")
    for key, text in field_help(kind).items():
        output.say(f"  {key} = {jsons.dumps(plain(getattr(method, key)))}\n      {text}")
    return page


def show_page(name: str, changed: Any) -> dict[str, Any]:
    """Print a method's page in Markdown; returns it."""
    from cliptune.errors import UserError
    from cliptune.method_page import page
    from cliptune.methods import METHODS

    if name not in METHODS:
        raise UserError(f"--markdown: {name} is no method", f"methods: {', '.join(METHODS)}")
    if changed:
        raise UserError("--markdown prints the page of the defaults", "leave --set and --on out")
    text = page(name)
    output.say(text.rstrip("\n"))
    return {"method": name, "page": text}


def show_table(name: str) -> dict[str, Any]:
    """Print the settings of one table of a recipe and their defaults; returns them."""
    from cliptune.recipe import KINDS
    from cliptune.settings import field_help, plain

    section: Any = KINDS[name]
    values = plain(section())
    output.say(f"[{name}] in a recipe, or --set {name}.key=value; a method's preset may set other defaults")
    for key, text in field_help(section).items():
        output.say(f"  {name}.{key} = {jsons.dumps(values[key])}\n      {text}")
    return {"table": name, "settings": values}


def outline(name: str) -> Any:
    """(model without numbers or loaded, label) for a zoo name, folder or hub id."""
    from cliptune.models import backbone, zoo
    from cliptune.registry import nearest

    if name in zoo.names():
        return zoo.outline(name), name
    close = nearest(name, zoo.names())
    if close and close[0].replace("-", "") == name.lower().replace("-", "").replace("_", "").replace("/", ""):
        return zoo.outline(close[0]), close[0]
    return backbone.load(name).model, name


def show_data(name: str) -> dict[str, Any]:
    """Print what a data set is; returns its facts."""
    from cliptune.datasets import data, mask_sets, sets

    head, _, task = name.partition("/")
    if not task and head.lower() == "world":
        import importlib

        tasks = [*importlib.import_module(f"{sets.__name__}.world").tasks, *mask_sets.module_of("world").tasks]
        output.say("world: the drawn world\n  " + "\n  ".join(f"world/{task}" for task in tasks))
        return {"data": "world", "tasks": tasks}
    if published := _published(head):
        return published
    found = data(name)
    facts = {
        "data": found.name,
        "about": found.about,
        "classes": list(found.classes),
        "templates": list(found.templates),
        "train": len(found.train),
        "val": len(found.val),
        "test": len(found.test),
        "split": found.split,
    }
    for key, value in facts.items():
        output.say(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
    return facts


def _published(name: str) -> dict[str, Any] | None:
    """Print what was published about a set that is read from disk; None for any other."""
    import importlib

    from cliptune.datasets import find_set, sets
    from cliptune.errors import UserError

    try:
        known = find_set(name)
    except UserError:
        return None
    module = importlib.import_module(f"{sets.__name__}.{known}")
    if not hasattr(module, "FACTS"):
        return None
    told = module.FACTS
    counts = {split: number for split, number in zip(("train", "val", "test"), told.counts, strict=True) if number}
    facts = {
        "data": known,
        "title": told.title,
        "source": told.source,
        "get": told.get,
        "folders": list(told.folders),
        "classes": told.classes,
        **counts,
        "templates": list(told.templates),
        "domains": list(told.domains),
        "also called": list(told.aliases),
    }
    output.say((module.__doc__ or "").strip() + "\n")
    for key, value in facts.items():
        if value:
            output.say(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
    return {**facts, "classes": told.classes}


def show_backbone(name: str) -> dict[str, Any]:
    """Print a zoo backbone's shape; returns its facts."""
    from cliptune.models import sites, zoo

    model = zoo.outline(name)
    config = model.config
    facts = {
        "model": name,
        "source": zoo.ZOO[name].source if name in zoo.ZOO else "ships with cliptune",
        "parameters": sum(tensor.numel() for tensor in model.parameters()),
        "image": config.vision_config.image_size,
        "patch": config.vision_config.patch_size,
        "vision": f"{config.vision_config.num_hidden_layers} blocks × {config.vision_config.hidden_size}",
        "text": f"{config.text_config.num_hidden_layers} blocks × {config.text_config.hidden_size}",
        "joint": config.projection_dim,
        "activation": config.vision_config.hidden_act,
        "sites": len(sites.walk(model)),
    }
    if name == "mini":
        from cliptune.cli.show_segment import decoder_facts
        from cliptune.models import segmenter

        facts |= decoder_facts(segmenter.outline(name))
    for key, value in facts.items():
        output.say(f"{key}: {value}")
    return facts
