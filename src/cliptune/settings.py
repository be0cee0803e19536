"""Plain values to frozen dataclasses, strictly: an unknown key or a wrong type never runs.

Also the way back (TOML), `--set key=value`, and the help text under each field.
"""

import ast
import dataclasses
import functools
import importlib.util
import inspect
import math
import os
import re
import textwrap
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

from cliptune.errors import UserError
from cliptune.registry import nearest

T = TypeVar("T")


def build(kind: type[T], values: dict[str, Any], where: str = "") -> T:
    """A `kind` (dataclass) from plain values; missing keys take the field's default.

    Raises:
        UserError: unknown key (nearest offered), one that has no default left out, or a value of the wrong type or
            outside its choices.
    """
    if not isinstance(values, dict):
        raise UserError(f"{where or kind.__name__} = {values!r}", "expected a table of settings")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = _hints(kind)  # type: ignore[arg-type]  # a dataclass, which is hashable as a type
    ready = {}
    for key, value in values.items():
        place = f"{where}.{key}" if where else key
        refuse_unknown(key, fields, place)
        ready[key] = convert(value, hints[key], place)
    for key, field in fields.items():
        if key not in ready and field.default is field.default_factory is dataclasses.MISSING:
            raise UserError(f"{f'{where}.' if where else ''}{key} is missing", f"write {key} = …")
    return kind(**ready)


@functools.cache
def _hints(kind: type) -> Mapping[str, Any]:
    """Types by field; a study of a thousand runs asks thousands of times."""
    return typing.get_type_hints(kind)


def refuse_unknown(key: str, names: Iterable[str], place: str = "") -> None:
    """Raise UserError with the nearest name unless `key` is one of `names`; `place` is the key with its table."""
    names, place = list(names), place or key
    if key not in names:
        close = nearest(key, names)
        offer = f"did you mean {place.removesuffix(key)}{close[0]}? " if close else ""
        raise UserError(f"{place}: no such setting", f"{offer}known: {', '.join(names) or 'none'}")


@functools.cache
def declared(target: str) -> Mapping[str, Any]:
    """Fields of the dataclass 'module:Class' and their types, read from the source: nothing heavy is imported.

    Returns:
        name → type; None where the annotation is none of int, float, bool, str and Literal[…].
    """
    module, _, name = target.partition(":")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    source = getattr(spec.loader, "get_source")(module)  # noqa: B009  not of every loader
    body = ast.parse(source).body
    owner = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == name)
    imported = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    fields: dict[str, Any] = {}
    for base in owner.bases:
        if isinstance(base, ast.Name):
            fields |= declared(imported.get(base.id, f"{module}:{base.id}"))
    for node in owner.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = ast.unparse(node.annotation)
            if not text.startswith("ClassVar"):
                fields[node.target.id] = _simple(node.annotation)
    return types.MappingProxyType(fields)


def _simple(annotation: ast.expr) -> Any:
    """The type that an annotation of one word or Literal[…] means, else None."""
    if isinstance(annotation, ast.Name):
        return {"int": int, "float": float, "bool": bool, "str": str}.get(annotation.id)
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal":
        choices = ast.literal_eval(annotation.slice)
        return Literal[choices]
    return None


def native(value: Any) -> Any:
    """A number of numpy's or torch's as Python's, a path as text; anything else as it is."""
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
        return value.item()
    return value


def convert(value: Any, hint: Any, place: str) -> Any:
    """`value` as the type `hint` says; int passes for float, bool never passes for a number."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value in arguments and type(value) in {type(choice) for choice in arguments}:
            return value
        raise UserError(f"{place} = {value!r}", f"one of: {', '.join(repr(choice) for choice in arguments)}")
    if origin in (typing.Union, types.UnionType):
        return _one_of(value, arguments, place)
    if origin is tuple:
        return _tuple(value, arguments, place)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, place)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise UserError(f"{place} = {value}", "expected a finite number")
        return number
    if isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise UserError(f"{place} = {value!r}", f"expected {_words(hint)}")


def _one_of(value: Any, choices: tuple[Any, ...], place: str) -> Any:
    for choice in choices:
        try:
            return convert(value, choice, place)
        except UserError:
            continue
    raise UserError(f"{place} = {value!r}", f"expected {' or '.join(_words(choice) for choice in choices)}")


def _tuple(value: Any, items: tuple[Any, ...], place: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise UserError(f"{place} = {value!r}", 'expected a list, like ["*.q", "*.v"] or [0.5, 1.0]')
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(convert(item, items[0], f"{place}[{i}]") for i, item in enumerate(value))
    if len(value) != len(items):
        raise UserError(f"{place} = {value!r}", f"expected {len(items)} values")
    return tuple(convert(item, hint, f"{place}[{i}]") for i, (item, hint) in enumerate(zip(value, items)))


def _words(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(repr(choice) for choice in typing.get_args(hint))
    return {int: "a whole number", float: "a number", str: "text in quotes", bool: "true or false"}.get(hint, str(hint))


def parse_assignment(text: str) -> tuple[str, Any]:
    """'train.lr=1e-3' → ('train.lr', 0.001). The value is TOML; a bare word counts as text.

    Raises:
        UserError: no '=', or a value that is neither.
    """
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not re.fullmatch(r"[A-Za-z_][\w.-]*", key):
        raise UserError(f"--set {text!r}: not a setting", "write --set key=value, for instance --set rank=4")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):  # a number may also have too many digits, a list too many brackets
        if re.fullmatch(r"(?:[A-Za-z_*/~]|\.{1,2}/)[\w./()*~-]*", value):
            return key, value
        raise UserError(
            f"--set {text!r}: {value!r} is not a TOML value",
            "numbers and true/false bare, text and lists like '[\"*.q\"]'",
        ) from None


def plain(value: Any) -> Any:
    """A dataclass tree as plain dicts, lists and scalars."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def to_toml(tables: dict[str, dict[str, Any]]) -> str:
    """Tables of scalars and lists as TOML text."""
    blocks = []
    for name, table in tables.items():
        lines = [f"{key} = {_toml(value)}" for key, value in table.items()]
        blocks.append("\n".join([f"[{name}]", *lines]))
    return "\n\n".join(blocks) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
    return "[" + ", ".join(_toml(item) for item in value) + "]"


def field_help(kind: type) -> dict[str, str]:
    """The string under each field of a dataclass, inherited fields included, on one line."""
    found: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(owner):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:]):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                found[field.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return {field.name: found.get(field.name, "") for field in dataclasses.fields(kind)}
