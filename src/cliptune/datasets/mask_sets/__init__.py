"""Sets of images with masks and prompts, by name or by path. A set is one module here with `FACTS` and `load`.

A module with several sets lists them in `tasks`; they are called by both names, as 'world/objects'.
"""

import dataclasses
import importlib
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from cliptune.datasets.base import Missing
from cliptune.datasets.mask_meaning import Wanted, checked
from cliptune.datasets.published import Facts, is_present
from cliptune.datasets.segmentation import MaskSet
from cliptune.errors import UserError
from cliptune.files import user_path
from cliptune.registry import find, name_of, nearest, plain


@cache
def _tasks() -> dict[str, tuple[str, ...]]:
    """The modules here and the sets each one has, () for a single one."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return {name: getattr(importlib.import_module(f"{__name__}.{name}"), "tasks", ()) for name in found}


def names() -> list[str]:
    """Every set there is, sorted."""
    return [name for module, tasks in _tasks().items() for name in sorted(f"{module}/{t}" for t in tasks) or [module]]


@cache
def aliases() -> dict[str, str]:
    """Other names of the sets → theirs, from their `FACTS`: 'Kvasir-SEG' → 'kvasir_polyp'."""
    found: dict[str, str] = {}
    for name in names():
        facts = facts_of(name)
        found |= {alias: name for alias in (*facts.folders, *facts.aliases, facts.column) if alias}
    return found


def module_of(name: str) -> ModuleType:
    """The module of a set, by its name as `names` has it."""
    return importlib.import_module(f"{__name__}.{name.partition('/')[0]}")


def facts_of(name: str) -> Facts:
    """What was published about a set, by its name as `names` has it; a drawn one has no folders."""
    return module_of(name).FACTS


def open_masks(
    name: str | Path,
    root: str | Path | None = None,
    missing: Missing = "refuse",
    prompt: str | None = None,
    value: Wanted = (),
) -> MaskSet:
    """A set of images with masks, by path or by name.

    >>> data = cliptune.masks("lesions/", prompt="skin lesion")  # doctest: +SKIP

    Args:
        name: an existing folder with images/ and masks/, unless `root` holds a set of that name; else a set's name
            (case, '-' and '_' do not matter).
        root: the folder that holds the named sets; drawn ones need none.
        missing: 'skip' keeps the images whose files are all there.
        prompt: what to look for in your own images, where no prompts.csv says it; a named set has its own word.
        value: what is marked in your own masks: a stored number, a colour, or 'nonzero'; () decides from all of them.

    Raises:
        UserError: no such path or set, offers the nearest; or the set cannot be opened.
    """
    name = name_of(name, "data", ": a folder with images/ and masks/, or a set's name")
    root = None if root is None else name_of(root, "root", "")
    value = checked(value)
    if missing not in ("refuse", "skip"):
        raise UserError(f"missing = {missing!r}", "one of: 'refuse', 'skip'")
    if prompt is not None and not isinstance(prompt, str):
        raise UserError(f"the prompt is given as {type(prompt).__name__}", 'one text for all images, as "skin lesion"')
    maskset = _open(name, root, missing, prompt, value)
    opened: dict[str, Any] = {"data.missing": missing}
    if root is not None:
        opened["data.root"] = str(user_path(root).resolve())
    if prompt is not None:
        opened["segment.words"] = prompt
    if value != ():
        opened["segment.value"] = value
    return dataclasses.replace(maskset, opened=opened)


def _open(name: str, root: str | Path | None, missing: Missing, prompt: str | None, value: Wanted) -> MaskSet:
    if not str(name).strip():
        raise UserError(
            "'' names no images with masks", f"give a folder with images/ and masks/, or one of: {_known()}"
        )
    if root is not None and not user_path(root).is_dir():
        raise UserError(f"--root {root}: no such folder", "give the folder that holds the named data sets")
    path = user_path(name)
    if path.is_dir() and not lies_below(str(name), root):
        return _own_masks(path, missing, prompt, value)
    if path.is_file():
        raise UserError(f"{path} is no folder", "give a folder with images/ and masks/")
    try:
        known = find_masks(str(name))
    except UserError:
        drawn = bool(_tasks().get(str(name).partition("/")[0]))
        if not drawn and ("/" in str(name) or str(name).startswith((".", "~"))):
            raise _no_folder(path) from None
        raise
    if prompt is not None:
        raise UserError(f"a prompt with the set '{known}'", "it is for your own images; leave it out")
    if value != ():
        raise UserError(f"segment.value with the set '{known}'", "it is for your own images; leave it out")
    task = known.partition("/")[2]
    part = {"task": task} if task else {}
    return module_of(known).load(root=root, missing=missing, **part)


def _own_masks(path: Path, missing: Missing, prompt: str | None, value: Wanted) -> MaskSet:
    from cliptune.datasets.mask_sets._own import load

    known = {plain(alias): known for alias, known in aliases().items()}.get(plain(path.resolve().name))
    plain_layout = any((path / folder).is_dir() for folder in ("images", "anns"))
    if known is not None and not plain_layout and is_present(facts_of(known), path.resolve().parent):
        told = f"{path} is laid out as a named set"
        raise UserError(told, f"say '{known}' with --root {path.parent}; or call its folders images/ and masks/")
    return load(path, missing, prompt, value)


def find_masks(name: str) -> str:
    """The name of a set as `names` has it by any of its names; case, '-' and '_' do not matter.

    Raises:
        UserError: no set is called that; offers the nearest.
    """
    others = {plain(alias): known for alias, known in aliases().items()}
    return others.get(plain(name)) or find(name, names(), "set of images with masks")


def lies_below(name: str, root: str | Path | None) -> bool:
    """Whether a set of that name lies below `root`."""
    if root is None or "/" in name:
        return False
    try:
        return is_present(facts_of(find_masks(name)), root)
    except UserError:
        return False


def _known() -> str:
    return ", ".join(names())


def _no_folder(path: Path) -> UserError:
    there = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
    close = nearest(path.name, there)
    fix = f"did you mean '{path.parent / close[0]}'?" if close else f"give a folder, or one of: {_known()}"
    fix = "download it and give its folder" if ":/" in str(path) else fix
    return UserError(f"{path}: no such folder", fix)
