"""From the name of a backbone to its hub id or folder; a name of other tools is answered with ours."""

import re
from pathlib import Path

from cliptune.errors import UserError
from cliptune.files import user_path
from cliptune.models import zoo
from cliptune.registry import nearest

HUB_ID = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9_][\w.-]*(?<![-.])/[A-Za-z0-9_][\w.-]*(?<![-.])")
"""huggingface_hub's rule for 'owner/name' (its `validate_repo_id`); longer than `LONGEST` is none either"""
LONGEST = 96
PREFIX = re.compile(r"(?:hf[-_]hub:|hf://|(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/)", re.IGNORECASE)
"""what open_clip, timm and browsers write before a hub id"""
ARCHITECTURE = re.compile(
    r"vit[-_ ]?(?P<size>base|large|huge|giant|bigg|[blhg])[-_ /]*(?:patch[-_]?)?(?P<patch>\d\d)"
    r"(?:[-_@ ]*(?P<side>\d{3})(?:px)?)?",
    re.IGNORECASE,
)
"""ViT-B/16 as OpenAI, open_clip, timm and transformers spell it"""
OTHER_TOWERS = re.compile(r"\b(?:rn|resnet|convnext|eva|coca|nllb|roberta|xlm|mobileclip|vitamin)\w*", re.IGNORECASE)
"""CLIPs whose towers are no plain transformers, by open_clip's names"""
OTHER_LOSSES = re.compile(r"siglip", re.IGNORECASE)


def source_of(name: str) -> str:
    """The hub id or the folder of a backbone's weights; nothing is opened.

    Raises:
        UserError: no name of the zoo, no folder of a checkpoint and no hub id; tells the name that is meant.
    """
    if name == "mini":
        return str(zoo.MINI)
    if name in zoo.ZOO:
        return zoo.ZOO[name].source
    if not name.strip():
        raise UserError("--model '' names nothing", "give a folder or a backbone's name: cliptune list models")
    folder = user_path(name)
    if folder.exists():
        if not (folder / "config.json").is_file():
            raise _no_checkpoint(name, folder)
        return str(folder.resolve())
    if prefix := PREFIX.match(name):
        bare = name[prefix.end() :].strip("/")
        raise UserError(f"--model {name}: a hub id is written without '{prefix[0]}'", f"--model {_by_source(bare)}")
    path = name.startswith((".", "~", "/", "\\"))
    if path:
        raise UserError(f"backbone '{name}': no such folder", "name the folder it is in now: --model FOLDER")
    if _is_hub_id(name) and not any(map(ARCHITECTURE.fullmatch, (name, name.partition("/")[0]))):
        return name
    raise UserError(
        f"no backbone '{name}': not a zoo name, not a folder",
        f"{suggestion(name)}zoo: {', '.join(zoo.names())}; or a hub id like openai/clip-vit-base-patch16; or a folder",
    )


def _no_checkpoint(name: str, folder: Path) -> UserError:
    """The two lines for a folder without config.json, or a file."""
    if (folder / "run.json").is_file():
        return UserError(f"{name} is a run and no model", f"make a model of it first: cliptune merge {name} merged/")
    if folder.is_file():
        whole = (folder.parent / "config.json").is_file()
        fix = f"give {folder.parent}" if whole else "give the folder of a transformers CLIP checkpoint"
        return UserError(f"{name} is a file", fix)
    return UserError(f"{name}: no config.json there", "give the folder of a transformers CLIP checkpoint")


def suggestion(name: str) -> str:
    """'did you mean …? ' for another tool's name or a slip, or that it is not supported; '' where neither fits."""
    if OTHER_LOSSES.search(name) or OTHER_TOWERS.match(name.rpartition("/")[2]):
        return "not supported: the towers must be the transformers of CLIPModel; "
    written = ARCHITECTURE.search(name)
    if written is None or written["patch"] not in {str(ours.patch) for ours in zoo.ZOO.values()}:
        close = nearest(name, [*zoo.names(), *(zoo.SEGMENTERS if "seg" in name.lower() else ())])
        return f"did you mean '{close[0]}'? " if close else ""
    known = {_key(ARCHITECTURE.search(ours), ours): ours for ours in zoo.ZOO}
    laion = _key(written, name)
    if ours := known.get(laion) or known.get((*laion[:3], False)):
        return f"did you mean '{ours}'? "
    return "that architecture has no short name, give its hub id (transformers' CLIPModel) or a folder; "


def remark(name: str) -> str:
    """`suggestion` for a hub id that could not be read, where its owner is one whose backbones the zoo names."""
    owners = {ours.source.partition("/")[0] for ours in zoo.ZOO.values()}
    known = {ours.source for ours in zoo.ZOO.values()}
    return suggestion(name) if "/" in name and name.partition("/")[0] in owners and name not in known else ""


def _key(written: re.Match[str] | None, name: str) -> tuple[str, str, str, bool]:
    """Size, patch, side of the image where it is not 224, and whether the weights are LAION's."""
    assert written is not None
    side = written["side"] or ""
    return written["size"].lower()[:1], written["patch"], "" if side == "224" else side, "laion" in name.lower()


def _by_source(hub_id: str) -> str:
    """The zoo's name of a hub id, where it has one."""
    return next((name for name, ours in zoo.ZOO.items() if ours.source.lower() == hub_id.lower()), hub_id)


def _is_hub_id(name: str) -> bool:
    return len(name) <= LONGEST and HUB_ID.fullmatch(name) is not None
