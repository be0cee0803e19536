"""What is wrong with a run and needs no model to be seen, told before torch is imported: seconds and 400 MB saved.

Nothing is decided here: `planning.prepare` goes through all of it again with the backbone at hand.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cliptune.datasets.base import ImageSet
    from cliptune.datasets.segmentation import MaskSet
    from cliptune.recipe import Recipe


def refuse(
    tables: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],
    preset: str = "auto",
    task: str = "auto",
    memory: str | None = None,
    outline: bool = False,
) -> "tuple[Recipe, ImageSet | MaskSet]":
    """The draft of a run's recipe and its data, opened, for `planning.prepare` to go on with.

    Args:
        tables, options, preset, task, memory, outline: as for `planning.prepare`.

    Returns:
        The draft, whose method is a name without settings.

    Raises:
        UserError: a setting, a name, a size, or the data.
    """
    from cliptune import recipe as recipes
    from cliptune.tasks import with_task
    from cliptune.training.memory import parse_bytes

    tables = with_task(tables, options, task)
    draft = recipes.draft(tables, options, preset)
    if memory is not None:
        parse_bytes(memory)
    _refuse_model(draft, outline)
    return draft, _masks(draft) if draft.segment is not None else _images(draft, options)


def _refuse_model(draft: "Recipe", outline: bool) -> None:
    from cliptune.models import checkpoints, names, zoo

    name = draft.model.name
    source = (zoo.SEGMENTERS.get(name) if draft.segment is not None else None) or names.source_of(name)
    stands_in = outline and (name in zoo.ZOO or name in zoo.SEGMENTERS)
    if not stands_in:
        checkpoints.refuse_unreachable(name, source)


def _images(draft: "Recipe", options: Mapping[str, Any]) -> "ImageSet":
    from cliptune.datasets import open_set
    from cliptune.datasets.code import typed_code
    from cliptune.protocols import ELSEWHERE, make_episode, resolved

    data = draft.data
    typed = typed_code(options.values())
    imageset = open_set(data.name, data.root or None, data.split_seed, data.missing, data.names or None, typed)
    protocol = resolved(draft.protocol, imageset)
    if protocol.name not in ELSEWHERE:  # those open many sets
        make_episode(protocol, imageset, data.template, lambda name: open_set(name, data.root or None))
    return imageset


def _masks(draft: "Recipe") -> "MaskSet":
    from cliptune.datasets.mask_sets import open_masks
    from cliptune.datasets.segmentation import refuse_wordless

    assert draft.segment is not None
    data, settings = draft.data, draft.segment
    maskset = open_masks(data.name, data.root or None, data.missing, settings.words or None, settings.value)
    refuse_wordless(maskset, settings.prompt)
    return maskset


def refuse_folder(
    tables: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],
    preset: str,
    task: str,
    out: Path | None,
    *,
    resume: bool,
    fresh: bool,
) -> None:
    """Refuse the run folder as `pipeline.execute` would, before the data are opened.

    Raises:
        UserError: it holds no run, another, or an unfinished one; it cannot be written.
    """
    from cliptune import files
    from cliptune import recipe as recipes
    from cliptune.records import refuse_taken
    from cliptune.runs import run_name
    from cliptune.tasks import with_task

    tables = with_task(tables, options, task)
    draft = recipes.draft(tables, options, preset)
    folder = files.user_path(out) if out else Path("runs") / run_name(draft)
    if not folder.exists():
        files.writable_folder(folder)
    refuse_taken(folder, draft, options, resume=resume, fresh=fresh)
