"""What is learned: to classify images, or to mark in them what a prompt names."""

from collections.abc import Mapping
from typing import Any

from cliptune.datasets.base import ImageSet
from cliptune.datasets.segmentation import MaskSet
from cliptune.errors import UserError
from cliptune.files import user_path

TASKS = ("classify", "segment")


def with_task(
    tables: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],
    task: str,
    given: ImageSet | MaskSet | None = None,
) -> dict[str, Mapping[str, Any]]:
    """A recipe's tables with [segment] among them where the task is segmentation.

    Args:
        task: 'classify', 'segment', or 'auto': segment where the recipe or an option says something of [segment], or
            where the data are images with masks.
        given: the data, where they are opened already.

    Raises:
        UserError: no such task; classification is asked for and [segment] is there.
    """
    if task not in ("auto", *TASKS):
        raise UserError(f"--task {task}", f"one of: auto, {', '.join(TASKS)}")
    told = "segment" in tables or any(key.startswith("segment.") for key in options)
    if task == "classify":
        if told:
            raise UserError("--task classify with settings of [segment]", "leave one of them out")
        return dict(tables)
    data = tables.get("data", {})
    name, root = (str(options.get(f"data.{key}", data.get(key, ""))) for key in ("name", "root"))
    if (task == "segment" or told) and not name and given is None:
        raise UserError("which images are to be marked?", "--data FOLDER with images/ and masks/, or a set's name")
    masks = isinstance(given, MaskSet) or (given is None and has_masks(name, root))
    if task == "segment" or told or masks:
        return {**tables, "segment": tables.get("segment", {})}
    return dict(tables)


def has_masks(name: str, root: str = "") -> bool:
    """Whether data of that name are images with masks: a folder with both, or a set of them."""
    from cliptune.datasets import find_set
    from cliptune.datasets import lies_below as classes_lie_below
    from cliptune.datasets.mask_sets import find_masks, lies_below
    from cliptune.datasets.mask_sets._layout import is_home

    path = user_path(name)
    # Standing in the data folder, `--data CVC-ClinicDB --root .` means the set, whose own layout has no images/.
    if name and path.is_dir() and not lies_below(name, root or None):
        if root and "/" not in name and classes_lie_below(name, root):  # Pets: images/ and annotations/ in it
            return False
        return (path / "anns").is_dir() or is_home(path)
    try:
        find_masks(name)
    except UserError:
        return False
    try:
        find_set(name.partition("/")[0])
    except UserError:
        return True
    return "/" in name
