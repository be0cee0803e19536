"""The command parser's complaints in our words: what is wrong, and what to type instead with the person's own value."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cliptune.cli.other_tools import NOT_YET, OPTIONS, SETTINGS, SYNONYMS
from cliptune.registry import nearest

Verbs = Mapping[str, Callable[..., None]]

LIKENESS = 0.7
"""of two words (difflib's ratio) where one is offered for the other: fit and list have 0.57, trian and train 0.8"""

TRAINED = ("demo", "evaluate", "predict", "merge", "report")
"""verbs about runs that are trained, where a setting of training may be tried"""
EXPECTED = {"integer": "a whole number", "float": "a number", "number": "a number", "boolean": "true or false"}
"""words of the parser's complaints, and ours"""


def explain(problem: Any, arguments: Sequence[str], verbs: Verbs) -> tuple[str, str]:
    """What is wrong and what to type instead.

    Args:
        problem: a usage error of the command parser. arguments: the words typed. verbs: name → function.
    """
    verb = next((word for word in arguments if not word.startswith("-")), "")
    kind = type(problem).__name__
    message = " ".join(problem.format_message().split()).rstrip(".")
    if message.startswith("No such command"):
        return f"no such verb: {verb}", instead_of_verb(verb, verbs, arguments)
    option = getattr(problem, "option_name", "")
    typed = next((word for word in arguments if word in verbs), "")
    before = arguments[: list(arguments).index(typed)] if typed else []
    if option and any(word.partition("=")[0] == option for word in before):
        return f"option {option} stands before the verb", f"the verb comes first: cliptune {typed} … {option} …"
    if verb not in verbs:
        return f"no option {option} before a verb" if option else message, _instead_of_option(option)
    if kind == "NoSuchOption":
        return _no_option(problem, arguments, verb)
    if kind == "MissingParameter":
        return _missing(problem, verb, verbs)
    if kind == "BadParameter":
        return _bad_value(problem, arguments, verb)
    if kind == "BadOptionUsage":
        return _usage(problem.option_name, message, verb)
    if surplus := re.search(r"unexpected extra argument\S* \((.*)\)", message):
        return _surplus(surplus[1], arguments, verb, _options(problem))
    return message, f"see `cliptune {verb} --help`"


def _instead_of_option(option: str) -> str:
    """The second line for an option without a verb."""
    if option in ("-v", "-V", "--v", "-version"):
        return "cliptune --version"
    return "see `cliptune --help`"


def instead_of_verb(verb: str, verbs: Verbs, arguments: Sequence[str] = ()) -> str:
    """The second line for a verb that does not exist."""
    word = verb.lower().replace("_", "-")
    if word in ("version", "v"):
        return "cliptune --version"
    if word in ("help", "usage"):
        return next((f"cliptune {other} --help" for other in arguments if other in verbs), "cliptune --help")
    if word in verbs:
        return f"cliptune {shlex.join([word, *_behind(verb, arguments)])}"
    if (method := _method(verb)) or verb.lower().endswith(".toml"):
        return f"did you mean cliptune train {shlex.join([method or verb, *_behind(verb, arguments)])}?"
    for ours, theirs in NOT_YET.items():
        if word in theirs:
            return f"not supported yet; `cliptune {ours} RUN OUT` writes a model that transformers loads anywhere"
    for ours, theirs in SYNONYMS.items():
        if word in theirs:
            return f"did you mean 'cliptune {ours}'? verbs: {', '.join(verbs)}"
    close = nearest(word, verbs, cutoff=LIKENESS)
    return f"{f'did you mean {chr(39)}cliptune {close[0]}{chr(39)}? ' if close else ''}verbs: {', '.join(verbs)}"


def _behind(word: str, arguments: Sequence[str]) -> Sequence[str]:
    """What was typed after a word."""
    return arguments[list(arguments).index(word) + 1 :] if word in arguments else ()


def _method(word: str) -> str:
    """The method or shipped recipe of that name, '' where there is none."""
    from cliptune.methods import METHODS
    from cliptune.recipe import shipped
    from cliptune.registry import plain

    return next((name for name in (*METHODS, *shipped()) if plain(name) == plain(word)), "")


def _no_option(problem: Any, arguments: Sequence[str], verb: str) -> tuple[str, str]:
    word, value = _typed(problem.option_name, arguments)
    what, known = f"`cliptune {verb}` has no option {word}", _options(problem)
    bare = word.lstrip("-").replace("_", "-").lower()
    if told := _otherwise(word, bare, value, verb) or _of_training(word, bare, arguments, verb):
        return what, told
    fitting = [ours for ours, theirs in OPTIONS.items() if bare in theirs and ours in known]
    option = "--csv" if "--csv" in fitting and value.lower().endswith(".csv") else next(iter(fitting), "")
    if option:
        if option == "--device" and bare in ("gpu", "gpus", "cuda", "cpu"):
            value = "cpu" if bare == "cpu" else "cuda"
        if option == "--track" and bare in ("wandb", "tensorboard"):
            value = bare
        if option == "--dtype" and not value:
            value = {"fp16": "float16", "half": "float16", "bf16": "bfloat16"}.get(bare, "auto")
        return what, f"type {option}{f' {value}' if value and known[option] else ''}"
    if "--set" in known and (key := _setting(bare, arguments, verb)):
        return what, f"it is a setting: --set {_assignment(key, value)}"
    if "--set" not in known and verb in TRAINED and (key := _setting(bare, arguments, verb)):
        return what, f"it is a setting of training: cliptune train … --set {_assignment(key, value)}"
    if "--set" in known and bare in ("method", "peft", "adapter"):
        return what, f"the method comes first: cliptune {verb} {value or 'METHOD'}"
    if "--set" in known and bare in ("config", "cfg", "recipe"):
        file = value if value.lower().endswith(".toml") else "FILE.toml"
        return what, f"a recipe's file (TOML) comes first: cliptune {verb} {file}"
    close = nearest(word, known, cutoff=LIKENESS)
    offer = f"did you mean {close[0]}{f' {value}' if value and known[close[0]] else ''}? " if close else ""
    return what, f"{offer}see `cliptune {verb} --help`"


def _otherwise(word: str, bare: str, value: str, verb: str) -> str:
    """What to type for an option of other tools that no option of this verb is like; '' where nothing is known."""
    if verb == "merge" and bare in OPTIONS["--out"] + ("out",):
        return f"the new folder comes second: cliptune merge RUN {value or 'OUT'}"
    if verb == "predict" and bare in OPTIONS["--data"] + ("data", "source", "image", "img"):
        return f"images come behind the run: cliptune predict RUN {value or 'PATH'}"
    if verb in ("predict", "evaluate", "merge", "report") and bare in (
        "run",
        "run-dir",
        "checkpoint",
        "ckpt",
        "weights",
    ):
        return f"the run comes first: cliptune {verb} {value or 'RUN'} …"
    if bare in ("workers", "num-workers", "n-workers", "nproc", "threads", "num-threads", "jobs", "j"):
        if verb == "study":
            return f"type --workers {value or 'NUMBER'}"
        return "leave it out: images are read by as many threads as there are cores (OMP_NUM_THREADS=2 takes fewer)"
    if bare in ("quiet", "q", "silent"):
        return "leave it out; for no text at all: >/dev/null, and for programs: --json"
    if bare in ("verbose", "debug", "log-level"):
        return (
            "leave it out: all there is to tell is printed, and more is in the run's folder (metrics.jsonl, run.json)"
        )
    if word in ("-v", "-V", "--v", "-version"):
        return "for the version: cliptune --version"
    if not word.startswith("--") and ("/" in word or "." in word):
        return f"for a file whose name begins with a dash: ./{word}"
    return ""


def _of_training(word: str, bare: str, arguments: Sequence[str], verb: str) -> str:
    """What to do about an option of other tools that says how to train; '' where nothing is known."""
    if verb not in ("train", "check"):
        return ""
    if bare in ("dry-run", "dryrun") and verb == "train":
        words = [other for other in arguments if other not in (word, verb)]
        return f"cliptune {shlex.join(['check', *words])} says what would be done"
    if bare in ("classes", "class-names", "classnames", "labels"):
        return "classes are called as their folders; other names: --set data.names=names.json (folder → name)"
    if bare in ("optimizer", "optim", "opt"):
        return "leave it out: training is by AdamW; its settings: cliptune show train"
    if bare in ("loss", "criterion"):
        return "leave it out: training is by cross-entropy; what may be added: cliptune show loss"
    return ""


def _assignment(key: str, value: str) -> str:
    """`key=value` as a shell takes it."""
    return shlex.quote(f"{key}={value or 'VALUE'}")


def _typed(option: str, arguments: Sequence[str]) -> tuple[str, str]:
    """The option as it was typed ('-lr' where the parser saw '-l') and the value behind it, '' where there is none."""
    for place, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name == option or (len(option) == 2 and option[0] == "-" and name.startswith(option)):
            after = arguments[place + 1] if place + 1 < len(arguments) else ""
            is_value = bool(after) and (not after.startswith("-") or re.fullmatch(r"-\.?\d.*", after) is not None)
            return name, value if equals else after if is_value else ""
    return option, ""


def _setting(bare: str, arguments: Sequence[str], verb: str) -> str:
    """The dotted setting of that name, '' where there is none; the method that was typed goes first."""
    from cliptune import settings
    from cliptune.methods import METHODS
    from cliptune.recipe import KINDS as TABLES
    from cliptune.registry import plain

    for key, theirs in SETTINGS.items():
        if bare in theirs:
            return key
    tables = [f"{table}.{key}" for table, kind in TABLES.items() for key in settings.field_help(kind)]
    behind = arguments[list(arguments).index(verb) + 1 :]
    typed = [name for name in METHODS if behind and plain(name) == plain(behind[0])]
    own = [key for name in typed or METHODS for key in settings.declared(METHODS[name])]
    return next((key for key in [*own, *tables] if plain(key.rpartition(".")[2]) == plain(bare)), "")


def _missing(problem: Any, verb: str, verbs: Verbs) -> tuple[str, str]:
    from cliptune.cli.options import METHOD

    metavar = str(problem.param.metavar or problem.param.name).strip("[]").replace("|", " or ")
    if problem.param.metavar == METHOD:
        start = f"cliptune {verb} dora --data FOLDER"
        return (
            f"`cliptune {verb}` needs a {metavar} first",
            f"if in doubt: {start}; in minutes: linear_probe; all: cliptune list methods",
        )
    meaning = str(getattr(problem.param, "help", None) or "").rstrip(".")
    return f"`cliptune {verb}` needs {metavar}{f': {meaning}' if meaning else ''}", _example(verb, verbs)


def _example(verb: str, verbs: Verbs) -> str:
    lines = [line.strip() for line in (verbs[verb].__doc__ or "").splitlines()]
    shown = next((line for line in lines if line.startswith("cliptune ")), "")
    return f"like: {shown}" if shown else f"see `cliptune {verb} --help`"


def _bad_value(problem: Any, arguments: Sequence[str], verb: str) -> tuple[str, str]:
    param = problem.param
    names = [name for name in getattr(param, "opts", ()) if name.startswith("-")]
    option = next((name for name in names if any(word.partition("=")[0] == name for word in arguments)), "")
    _, value = _typed(option, arguments) if option else ("", "")
    if option == "--threshold" and (percent := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value)):
        return f"--threshold {value}: expected a number", f"type --threshold {float(percent[1]) / 100:g}"
    if option == "--seed" and re.fullmatch(r"[\d\s,–-]+", value) and "--seeds" in _options(problem):
        return f"--seed {value}: one whole number", f"several, one after another: --seeds {value}"
    message = str(problem.message)
    lowest = re.search(r"greater than or equal to (\S+)|x>=(\S+?)\.?$", message)
    if lowest:
        return f"{option} {value}: must be at least {lowest[1] or lowest[2]}", f"see `cliptune {verb} --help`"
    wanted = next((ours for word, ours in EXPECTED.items() if word in message), "")
    if option and wanted:
        return f"{option} {value}: expected {wanted}", f"see `cliptune {verb} --help`"
    return " ".join(problem.format_message().split()).rstrip("."), f"see `cliptune {verb} --help`"


def _usage(option: str, message: str, verb: str) -> tuple[str, str]:
    if "not take a value" in message:
        return f"{option} takes no value", f"write {option} alone"
    return f"{option} needs a value", f"write {option} VALUE, see `cliptune {verb} --help`"


def _surplus(words: str, arguments: Sequence[str], verb: str, known: Mapping[str, bool]) -> tuple[str, str]:
    what = f"`cliptune {verb}` does not expect '{words}'"
    before = arguments[max(0, list(arguments).index(words.split()[0]) - 2)] if words.split()[0] in arguments else ""
    if before == "--seed" and "--seeds" in known:
        seeds = ",".join([arguments[list(arguments).index("--seed") + 1], *words.split()])
        return what, f"several seeds, one after another: --seeds {seeds}"
    if "--set" in known and (whole := _apart(words, arguments)):
        return what, f"write it without blanks: --set {whole}"
    if "=" in words and "--set" in known:
        return what, f"did you mean --set {words}?"
    if "--data" in known and not any(word.partition("=")[0] == "--data" for word in arguments):
        return what, f"did you mean --data {words}?"
    return what, f"leave it out, or see `cliptune {verb} --help`"


def _apart(words: str, arguments: Sequence[str]) -> str:
    """A setting that was typed with blanks around its '=', or without one, put together; '' where it was not."""
    surplus = words.split()
    place = list(arguments).index(surplus[0]) if surplus[0] in arguments else 0
    if place < 2 or arguments[place - 2] != "--set":
        return ""
    key, equals, value = arguments[place - 1].partition("=")
    if value or (equals and surplus[0].startswith("=")):
        return ""
    value = "".join(surplus[:2] if surplus[0] == "=" else surplus[:1]).removeprefix("=")
    return _assignment(key, value) if value and "=" not in value else ""


def given_twice(params: Sequence[Any], arguments: Sequence[str]) -> list[str]:
    """A remark on every option that is given twice with different values, where only the last counts."""
    remarks = []
    for param in params:
        names = [name for name in param.opts if name.startswith("--")]
        if param.multiple or getattr(param, "is_flag", False) or not names:
            continue
        values = [
            value if equals else (arguments[place + 1] if place + 1 < len(arguments) else "")
            for place, word in enumerate(arguments)
            for name, equals, value in [word.partition("=")]
            if name in names
        ]
        if len(set(values)) > 1:
            remarks.append(f"note: {names[0]} is given {len(values)} times, the last counts: {names[0]} {values[-1]}")
    return remarks


def _options(problem: Any) -> dict[str, bool]:
    """The options of the verb that was typed, and whether each takes a value."""
    params = problem.ctx.command.params if problem.ctx is not None else []
    return {
        name: not getattr(param, "is_flag", False) for param in params for name in param.opts if name.startswith("-")
    }
