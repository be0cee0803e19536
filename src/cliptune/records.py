"""run.json of a run in the making, and whether an equal run lies in its folder already."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune import environment, files
from cliptune import recipe as recipes
from cliptune.datasets import contents
from cliptune.datasets.episodes import Episode
from cliptune.datasets.images import printable
from cliptune.errors import UserError
from cliptune.methods.base import Adapter
from cliptune.runs import read_record
from cliptune.settings import plain
from cliptune.training.distributed import alike

if TYPE_CHECKING:
    from cliptune.planning import AnyPlan


def describe(plan: "AnyPlan", adapter: Adapter, folder: Path) -> dict[str, Any]:
    """The part of run.json that is known without training."""
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
    group, fix = plan.machine.group, "give every machine the same data, model and --dtype"
    alike(group, "settings", plan.recipe.essence(), fix)
    alike(group, "images", plan.episode.sha256, fix)
    alike(group, "weights", plan.backbone.identity.sha256, fix)


def already_done(folder: Path, plan: "AnyPlan", *, resume: bool, fresh: bool) -> bool:
    """Whether an equal finished run lies there; refuses what must not be overwritten."""
    if not folder.exists():
        return False
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / "run.json").is_file()):
        raise UserError(f"{folder} exists and is not a run", "give another folder with --out")
    if fresh or not (folder / "run.json").is_file():
        return False
    record = read_record(folder)
    then = recipes.assemble(record["recipe"], preset="auto").essence() if "recipe" in record else {}
    if then and then["train"]["dtype"] == "auto":  # written before the precision was resolved
        then["train"]["dtype"] = record["environment"]["dtype"]
    now = plan.recipe.essence()
    if then != now:
        changed = [
            f"{section}.{key}: {then.get(section, {}).get(key)!r} there, {value!r} now"
            for section, table in now.items()
            for key, value in table.items()
            if then.get(section, {}).get(key) != value
        ]
        raise UserError(
            f"{folder} holds a run with other settings ({'; '.join(changed[:2])})",
            "start over with --fresh, or give another folder with --out",
        )
    for what, then_hash, now_hash in (
        ("images", record["data"]["episode_sha256"], plan.episode.sha256),
        ("backbone", record["model"]["sha256"], plan.backbone.identity.sha256),
    ):
        if then_hash != now_hash:
            raise UserError(
                f"{folder} holds a run on other {what} ({then_hash[:12]} there, {now_hash[:12]} now)",
                "start over with --fresh, or give another folder with --out",
            )
    _refuse_replaced(folder, plan.episode)
    if record["status"] == "finished":
        return True
    if not resume:
        raise UserError(f"{folder} holds an unfinished run", "go on with --resume, or start over with --fresh")
    return False


def _refuse_replaced(folder: Path, episode: Any) -> None:
    """Refuse images that are no longer the ones the run in `folder` saw, although they are called the same.

    Raises:
        UserError: some files have another content.
    """
    recorded = contents.read(folder)
    replaced = recorded.differing(episode.files()) if recorded else []
    if replaced:
        many = "1 file has" if len(replaced) == 1 else f"{len(replaced):,} files have"
        raise UserError(
            f"{folder} holds a run on other images: {many} changed under the same name, first {printable(replaced[0])}",
            "start over with --fresh, or give another folder with --out",
        )
