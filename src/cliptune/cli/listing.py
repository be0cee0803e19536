"""`cliptune list`: what there is."""

from typing import Annotated, Any

import typer

from cliptune.cli import options, output

KINDS = ("methods", "models", "data", "recipes")


def list_things(
    what: Annotated[
        str | None, typer.Argument(help="methods, models, data or recipes; everything if left out.")
    ] = None,
    json: options.Json = False,
) -> None:
    """What there is: methods, models, data sets, recipes."""
    from cliptune.registry import find

    kinds = [find(what, KINDS, "kind of thing")] if what else list(KINDS)
    found = {kind: contents(kind) for kind in kinds}
    for kind, rows in found.items():
        output.say(kind)
        width = max((len(row["name"]) for row in rows), default=0)
        for row in rows:
            output.say(f"  {row['name']:<{width}}  {row['about']}")
    output.result(found)


def contents(kind: str) -> list[dict[str, Any]]:
    """Rows of name and about."""
    if kind == "methods":
        from cliptune.methods import METHODS
        from cliptune.recipe import find_method

        return [{"name": name, "about": about(find_method(name))} for name in METHODS]
    if kind == "models":
        from cliptune.models import zoo

        ready = {"name": "mini", "about": "ships with cliptune (1.2 M numbers, 32 pixels)"}
        return [ready, *({"name": name, "about": kind.source} for name, kind in zoo.ZOO.items())]
    if kind == "recipes":
        from cliptune.recipe import shipped

        return [
            {"name": name, "about": path.read_text("utf-8").split("\n")[0].lstrip("# ")}
            for name, path in shipped().items()
        ]
    return [row for name in _sets() for row in name]


def about(method: Any) -> str:
    """Title and the first line of a method's docstring."""
    return f"{method.title}: {(method.__doc__ or '').strip().splitlines()[0]}"


def _sets() -> list[list[dict[str, Any]]]:
    import importlib

    from cliptune import datasets
    from cliptune.datasets import sets

    rows = []
    for name in datasets.names():
        module = importlib.import_module(f"{sets.__name__}.{name}")
        line = (module.__doc__ or "").strip().splitlines()[0]
        tasks = getattr(module, "tasks", ())
        rows.append([{"name": f"{name}/{task}", "about": line} for task in tasks] or [{"name": name, "about": line}])
    rows.append(
        [{"name": "FOLDER or FILE.csv", "about": "your own images: a folder per class, or columns image,label[,split]"}]
    )
    return rows
