"""run.json of a run in the making, and whether an equal run lies in its folder already."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune import files
from cliptune import recipe as recipes
from cliptune.counted import these
from cliptune.datasets import contents
from cliptune.datasets.episodes import Episode
from cliptune.datasets.images import printable
from cliptune.errors import UserError
from cliptune.files import is_leftover
from cliptune.recipe_presets import is_trained_by_steps
from cliptune.run_folder import HIDDEN, RunFolder, is_ours
from cliptune.runs import read_record
from cliptune.settings import plain

if TYPE_CHECKING:
    from cliptune.methods.base import Adapter
    from cliptune.planning import AnyPlan

PLACES = (("data", "name"), ("data", "names"), ("model", "name"))
"""settings that may be paths, whose files can be moved"""
AS_TYPED = (
    "train.lr",
    "train.steps",
    "train.epochs",
    "train.batch",
    "protocol.seed",
    "protocol.shots",
    "protocol.half",
)
"""settings that stand in a run's record as they were typed, unless they were left open (auto)"""


def describe(plan: "AnyPlan", adapter: "Adapter", folder: Path) -> dict[str, Any]:
    """The part of run.json that is known without training."""
    from cliptune import environment

    recipe, backbone = plan.recipe, plan.backbone
    trained = sum(parameter.numel() for parameter in adapter.trainable().values())
    record = {
        "format": 1,
        "name": folder.name,
        "method": recipe.method.name,
        "settings": plain(recipe.method),
        "model": {
            "name": backbone.name,
            "source": backbone.source if backbone.name != "mini" else "mini",
            "sha256": backbone.identity.sha256,
            "parameters": backbone.parameters,
            "identity": dataclasses.asdict(backbone.identity),
        },
        **plan.told(),
        **training_images(plan),
        "trainable_parameters": trained,
        "trainable_percent": 100 * trained / backbone.parameters,
        "sites": adapter.adapted_sites(),
        "inert": adapter.inert(),
        "environment": environment.describe(plan.machine),
        "recipe": recipe.tables(),
    }
    record["data"]["files_sha256"] = plan.episode.contents.sha256
    facts = adapter.facts()
    return record | ({"selection": facts} if "picked" in facts else {"facts": facts} if facts else {})


def training_images(plan: "AnyPlan") -> dict[str, Any]:
    """How training images are varied, and what decided it; empty where nothing is trained by steps."""
    if not is_trained_by_steps(plan.recipe.method):
        return {}
    augment = plan.augment()
    mirrored = augment.flip if augment.kind == "photo" else 0.0
    decided = {"decided": plan.mirroring.told()} if plan.mirroring else {}
    return {"training_images": {"kind": augment.kind, "mirrored": mirrored, "told": augment.told(), **decided}}


def episode_record(episode: Episode) -> dict[str, Any]:
    """What run.json says of an episode of classification."""
    return {
        "data": {
            "name": episode.imageset.name,
            "root": episode.imageset.root,
            "classes": list(episode.classes),
            "template": episode.template,
            "train": len(episode.train),
            "val": len(episode.val),
            "test": sum(len(test.items) for test in episode.tests.values()),
            "split": episode.imageset.split,
            "notes": list(episode.notes),
            "episode_sha256": episode.sha256,
        },
        "tests": {
            name: {"data": test.imageset.name, "classes": len(test.classes), "images": len(test.items)}
            for name, test in episode.tests.items()
        },
        "protocol": episode.protocol,
        **({"target": episode.target} if episode.target else {}),
        "shots": episode.shots,
        "seed": episode.seed,
    }


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    files.write_text(folder / "run.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def same_everywhere(plan: "AnyPlan") -> None:
    """Refuse to share a run among processes that understood it differently: other files, another precision.

    Raises:
        UserError: settings, images or weights differ between them.
    """
    from cliptune.training.distributed import alike

    group, fix = plan.machine.group, "give every machine the same data, model and --dtype"
    alike(group, "settings", plan.recipe.essence(), fix)
    alike(group, "images", plan.episode.sha256, fix)
    alike(group, "weights", plan.backbone.identity.sha256, fix)


def already_done(place: RunFolder, plan: "AnyPlan", *, resume: bool, fresh: bool) -> bool:
    """Whether an equal finished run lies there; refuses what must not be overwritten, and chooses `place.work`.

    Raises:
        UserError: another or an unfinished run is there, or what is no run.
    """
    folder = place.folder
    recorded = _holds_run(folder)
    if fresh:
        if recorded:
            place.make_beside()
        return False
    if resume and (place.beside / "run.json").is_file() and not place.beside.is_symlink():
        record = read_record(place.beside)
        if not difference(place.beside, record, plan):
            place.work = place.beside
            if record["status"] == "finished":
                place.exchange()
                return True
            return False
    if not recorded:
        return False
    record = read_record(folder)
    if reason := difference(folder, record, plan):
        raise _another(folder, reason)
    if record["status"] == "finished":
        return True
    if not resume:
        raise _unfinished(folder)
    return False


def refuse_taken(folder: Path, draft: recipes.Recipe, typed: Iterable[str], *, resume: bool, fresh: bool) -> None:
    """Refuse what `already_done` would refuse, as far as the typed settings tell; nothing is loaded for it.

    Args:
        draft: see `recipe.draft`. typed: the settings that were typed, dotted.

    Raises:
        UserError: what is there is no run, an unfinished one, or one with another method or another of those settings.
    """
    if not _holds_run(folder) or fresh:
        return
    record, place = read_record(folder), RunFolder(folder)
    if not is_ours(record) or (resume and place.beside.exists()):
        return  # `already_done` looks closer, once more is known
    there = record["recipe"]
    keys = [key.rpartition(".") for key in typed if key in AS_TYPED]
    pairs = [("method.name", there.get("method", {}).get("name"), draft.method.name)] + [
        (f"{section}.{key}", there.get(section, {}).get(key), plain(getattr(getattr(draft, section), key)))
        for section, _, key in keys
    ]
    changed = [f"{key}: {before!r} there, {now!r} now" for key, before, now in pairs if before != now and now != "auto"]
    if changed:
        raise _another(folder, f"with other settings ({'; '.join(changed[:2])})")
    if record["status"] != "finished" and not resume:
        if place.writable():
            with place.lock():  # a process that works there is named instead
                pass
        raise _unfinished(folder)


def _holds_run(folder: Path) -> bool:
    recorded = (folder / "run.json").is_file()
    if (folder.exists() or folder.is_symlink()) and not recorded and not _is_empty(folder):
        raise UserError(f"{folder} exists and is not a run", "give another folder with --out")
    return recorded


def _another(folder: Path, reason: str) -> UserError:
    return UserError(f"{folder} holds a run {reason}", "start over with --fresh, or give another folder with --out")


def _unfinished(folder: Path) -> UserError:
    return UserError(f"{folder} holds an unfinished run", "go on with --resume, or start over with --fresh")


def _is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but what a killed process left and the lock."""
    return folder.is_dir() and all(path.name == HIDDEN or is_leftover(path) for path in folder.iterdir())


def difference(folder: Path, record: Mapping[str, Any], plan: "AnyPlan") -> str:
    """In what a recorded run differs from a planned one, in words; empty where it does not.

    Raises:
        UserError: the record is not one of a run.
    """
    try:
        then = recipes.assemble(record["recipe"], preset="auto").essence()
        if then["train"]["dtype"] == "auto":  # written before the precision was resolved
            then["train"]["dtype"] = record["environment"]["dtype"]
        hashes = (
            ("images", record["data"]["episode_sha256"], plan.episode.sha256),
            ("backbone", record["model"]["sha256"], plan.backbone.identity.sha256),
        )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, OverflowError) as problem:
        raise UserError(
            f"{folder / 'run.json'} is not a run's record ({type(problem).__name__}: {str(problem)[:100]})",
            "give another folder with --out",
        ) from None
    now = plan.recipe.essence()
    for section, key in PLACES:  # what has moved is compared by its hash below
        before = str(then.get(section, {}).get(key, ""))
        if Path(before).is_absolute() and not Path(before).exists() and now.get(section, {}).get(key):
            then[section][key] = now[section][key]
    changed = [
        f"{section}.{key}: {then.get(section, {}).get(key)!r} there, {value!r} now"
        for section, table in now.items()
        for key, value in table.items()
        if then.get(section, {}).get(key) != value
    ]
    if changed or then != now:
        return f"with other settings ({'; '.join(changed[:2])})"
    for what, then_hash, now_hash in hashes:
        if then_hash != now_hash:
            return f"on other {what} ({str(then_hash)[:12]} there, {now_hash[:12]} now)"
    return _replaced(folder, plan.episode)


def _replaced(folder: Path, episode: Any) -> str:
    """'on other images' where files are no longer the ones that the run in `folder` saw, although called the same."""
    recorded = contents.read(folder)
    replaced = recorded.differing(episode.files()) if recorded else []
    if not replaced:
        return ""
    many = these(len(replaced), "file has", "files have")
    return f"on other images: {many} changed under the same name, first {printable(replaced[0])}"
