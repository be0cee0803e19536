"""`cliptune list`: what there is."""

from typing import Annotated, Any

import typer

from cliptune.cli import options, output
from cliptune.files import user_path

KINDS = ("methods", "models", "data", "recipes", "studies")


def list_things(
    what: Annotated[
        str | None, typer.Argument(help="methods, models, data, recipes or studies; everything if left out.")
    ] = None,
    root: options.Root = None,
    json: options.Json = False,
) -> None:
    """What there is: methods, models, data, recipes, studies.

    With --root, data sets that lie there are marked.
    """
    from cliptune.registry import find

    kinds = [find(what, KINDS, "kind of thing")] if what else list(KINDS)
    found = {kind: contents(kind, root) for kind in kinds}
    for kind, rows in found.items():
        output.say(kind)
        width = max((len(row["name"]) for row in rows), default=0)
        for row in rows:
            mark = "  " if "present" not in row else "✓ " if row["present"] else "· "
            output.say(f"{mark}{row['name']:<{width}}  {row['about']}")
    output.result(found)


def contents(kind: str, root: str | None = None) -> list[dict[str, Any]]:
    """Rows of name and about; data sets also tell whether they lie below `root`, if there is one."""
    if kind == "methods":
        from cliptune.methods import METHODS
        from cliptune.recipe import find_method

        return [{"name": name, "about": about(find_method(name))} for name in METHODS]
    if kind == "models":
        from cliptune.models import zoo

        ready = {"name": "mini", "about": "ships with cliptune (1.2 M numbers, 32 pixels), with a decoder that marks"}
        named = [{"name": name, "about": kind.source, "marks": False} for name, kind in zoo.ZOO.items()]
        marking = [
            {"name": name, "about": f"{hub}, marks images", "marks": True} for name, hub in zoo.SEGMENTERS.items()
        ]
        return [{**ready, "marks": True}, *named, *marking]
    if kind in ("recipes", "studies"):
        from cliptune import recipe
        from cliptune.studies import reading

        return [
            {"name": name, "about": path.read_text("utf-8").split("\n")[0].lstrip("# ")}
            for name, path in (recipe if kind == "recipes" else reading).shipped().items()
        ]
    return [row for name in _sets(root) for row in name] + _mask_sets(root)


def about(method: Any) -> str:
    """Title and the first line of a method's docstring."""
    return f"{method.title}: {(method.__doc__ or '').strip().splitlines()[0]}"


def _sets(root: str | None) -> list[list[dict[str, Any]]]:
    import importlib

    from cliptune import datasets
    from cliptune.datasets import sets
    from cliptune.datasets.published import is_present
    from cliptune.errors import UserError

    if root and not user_path(root).is_dir():
        raise UserError(f"--root {root}: no such folder", "give the folder that holds the data sets")
    rows = []
    for name in datasets.names():
        module = importlib.import_module(f"{sets.__name__}.{name}")
        line = (module.__doc__ or "").strip().splitlines()[0]
        tasks, facts = getattr(module, "tasks", ()), getattr(module, "FACTS", None)
        here = {"masks": False}
        if root:
            here["present"] = facts is None or is_present(facts, root)
        named = [f"{name}/{task}" for task in tasks] if facts is None else []
        rows.append([{"name": each, "about": line, **here} for each in named or [name]])
    rows.append(
        [
            {
                "name": "FOLDER or FILE.csv",
                "about": "your own images: a folder per class, or columns image,label[,split]",
                "masks": False,
            }
        ]
    )
    return rows


def _mask_sets(root: str | None) -> list[dict[str, Any]]:
    """Sets of images with masks; drawn ones lie below any root."""
    from cliptune.datasets import mask_sets
    from cliptune.datasets.published import is_present

    rows = []
    for name in mask_sets.names():
        module, facts = mask_sets.module_of(name), mask_sets.facts_of(name)
        line = (module.__doc__ or "").strip().splitlines()[0]
        here = {"present": not facts.folders or is_present(facts, root)} if root else {}
        rows.append({"name": name, "about": f"with masks: {line}", "masks": True, **here})
    own = "with masks: your own images in images/, their masks in masks/ under the same names"
    return [*rows, {"name": "FOLDER", "about": own, "masks": True}]
