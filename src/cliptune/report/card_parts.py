"""What the model cards of every task share: front matter, lists, what was trained and on what."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cliptune.report import words


def table(run: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The table `key`; empty where it is missing."""
    found = run.get(key)
    return found if isinstance(found, Mapping) else {}


def front(run: Mapping[str, Any], pipeline: str, family: str) -> Iterator[str]:
    """YAML; JSON strings are YAML strings, so that no name can break it.

    Args:
        pipeline: the Hub's word for the task. family: a tag for the kind of backbone.
    """
    model, data = table(run, "model"), table(run, "data")
    source = str(model.get("source") or "")
    hub = source if source.count("/") == 1 and not source.startswith((".", "/", "~")) else model.get("name")
    yield "library_name: cliptune"
    if hub:
        yield f"base_model: {json.dumps(str(hub), ensure_ascii=False)}"
    yield f"pipeline_tag: {pipeline}"
    yield "tags:"
    for tag in (family, run.get("protocol") or "few-shot", "adapter", run.get("method"), data.get("name")):
        if tag:
            yield f"- {json.dumps(str(tag), ensure_ascii=False)}"


def inline(value: Any) -> str:
    """One line in which nothing is read as HTML or ends a code span."""
    return " ".join(str(value).split()).replace("<", "&lt;").replace("`", "'")


def bullets(pairs: list[tuple[str, Any]]) -> str:
    """A list of names and values; None is left out."""
    lines = [f"- {name}: {inline(words.plain(value))}" for name, value in pairs if value is not None]
    return "\n".join(lines or [f"- {words.NOT_MEASURED}"]) + "\n"


def trained(run: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Method, its settings, size and cost."""
    seconds = table(run, "seconds")
    sites = run.get("sites") or []
    return [
        ("method", run.get("method")),
        *((f"`{inline(key)}`", value) for key, value in table(run, "settings").items()),
        ("trainable parameters", words.count(run.get("trainable_parameters"))),
        ("share of the backbone", words.share(run.get("trainable_percent"))),
        ("sites", f"{len(sites):,}: {some(sites)}" if sites else None),
        ("training time", words.seconds(seconds.get("train"))),
        ("peak memory", words.size(run.get("peak_memory_bytes"))),
    ]


def data_rows(data: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What was trained and tested on."""
    classes = data.get("classes") or []
    return [
        ("name", data.get("name")),
        ("images", ", ".join(f"{key} {words.count(data.get(key))}" for key in ("train", "val", "test"))),
        ("classes", f"{len(classes):,}: {some(classes)}" if classes else None),
        ("prompt", data.get("template")),
        ("split", data.get("split")),
        *(("note", note) for note in data.get("notes") or ()),
        ("episode (sha256)", data.get("episode_sha256")),
    ]


def backbone(model: Mapping[str, Any]) -> str:
    """Which weights the adapter is an addition to."""
    return bullets(
        [
            ("name", model.get("name")),
            ("source", model.get("source")),
            ("weights (sha256)", model.get("sha256")),
            ("parameters", words.count(model.get("parameters"))),
        ]
    )


def environment(run: Mapping[str, Any]) -> str:
    """Versions and the machine."""
    return bullets(
        [(inline(key), value) for key, value in table(run, "environment").items() if value not in (None, "")]
    )


def some(names: list[Any], most: int = 20) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(str(name) for name in names[:most]) + more
