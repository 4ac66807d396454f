"""What fuzzing.py throws at `dv`: Hypothesis strategies for arguments, damaged files, rows and notes in videos.

No value begins with `/` or climbs far: what they name lies in the sandbox.
"""

from __future__ import annotations

import copy
import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, get_args

from hypothesis import strategies as st
from typer.main import get_command

from dreamvideo_cli.main import app

Commands = Mapping[tuple[str, ...], Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

ODD_TEXTS = (
    "", " ", "-", "--", "---", ".", "..", "../x", "@", "fox@", "fox@0", "fox@999999999999999999999", "@1", "a@1@2",
    "nul\0byte", "\udcff", "\ud800", "new\nline", "\r", "\t", "\x1b[31m", "\u202etxet", "cafe\u0301", "caf\u00e9",
    "e\u0301" * 40, "\u0301", "狐", "собака", "🦊", "FOX", "Fox", "CON", "nul", "aux.mp4", "x" * 300, "x" * 70_000,
    "a/b", "a\\b", "a:b", "x.mp4/y", "photos/1.png/x", "*", "?", "[bold]x[/bold]", "{seed}", "{row}", "{", "%s",
    "$HOME", "`id`", "~x", "~", "-1", "0", "1", "1e309", "nan", "inf", "-inf", "9" * 40, "0x10", "1_000", "٣",
    "None", "null", "true", "=", "a=b", "file:x", "https://x.invalid/y", "org/model", "a/b/c", "?mode=memory",
)  # fmt: skip
"""Written down because chance seldom finds them."""

_FITTING: Mapping[str, Sequence[str]] = {
    "name": ("fox", "fox@1", "walk", "rex", "embedded"),
    "names": ("fox", "fox@1", "fox@2", "walk@1"),
    "old": ("fox", "walk"),
    "new": ("rex", "spin"),
    "run": ("fox", "1"),
    "tags": ("best", "film"),
    "text": ("sharp ears",),
    "subject": ("fox", "fox@1", "rex"),
    "motion": ("walk", "walk@1"),
    "images": ("photos", "photos/1.png", "empty", "clips"),
    "clips": ("clips", "clips/car.mp4", "photos", "torn.mp4"),
    "masks": ("photos", "empty"),
    "appearance": ("photos/1.png", "made.mp4"),
    "references": ("photos", "empty"),
    "again": ("made.mp4", "made.png", "torn.mp4", "photos/1.png"),
    "file": ("made.mp4", "made.gif", "both.dvpack", "rows.jsonl", "torn.mp4", "photos"),
    "videos": ("made.mp4", "clips", "torn.mp4"),
    "base": ("embedded", "empty", "photos"),
    "model": ("photos", "org/model"),
    "output": ("out.mp4", "out.gif", "out-{seed}.webp", "out.png", "out.dvpack", "made.mp4", "empty/x.mp4"),
    "contact_sheet": ("sheet.png",),
    "csv": ("out.csv",),
    "folder": ("out", "empty"),
    "size": ("16", "32x16"),
    "prompt": ("a * runs", "a fox walks", "a dog"),
    "steps": ("1", "2"),
    "frames": ("2", "8"),
    "count": ("1", "2"),
    "seed": ("0", "7"),
    "fps": ("8", "0.5"),
    "guidance_scale": ("1", "9"),
    "older_than": ("1h", "30d"),
    "max_size": ("1GB", "0"),
    "method": ("lora", "dreamix", "dreamvideo", "textual-inversion"),
    "class_word": ("dog",),
}
"""Values that lead further in, by parameter."""

_STARTS: Mapping[tuple[str, ...], Sequence[Sequence[str]]] = {
    ("subject", "learn"): (("rex", "photos", "--class", "dog"), ("fox", "photos/1.png", "--class=dog", "--dry-run")),
    ("motion", "learn"): (("spin", "clips"), ("walk", "clips/car.mp4", "--dry-run")),
    ("compose",): (("a * runs", "--subject", "fox"), ("a dog", "--motion", "walk"), ("--from", "made.mp4")),
    ("batch",): (("rows.jsonl",), ("-", "--format", "jsonl")),
    ("eval",): (("made.mp4", "--references", "photos"),),
    ("import",): (("both.dvpack",), ("both.dvpack", "fox", "--as", "rex")),
    ("rm",): (("fox@1", "--yes"),),
    ("prune",): (("--versions", "--orphans", "--yes"),),
}
"""Whole command lines that work, for commands that chance seldom gets to work."""

OUTPUTS = ("output", "contact_sheet", "csv", "folder")
"""Parameters that name what a command may write."""


def texts() -> st.SearchStrategy[str]:
    """Any text, surrogates included, that is no path out of the sandbox."""
    free = st.text(alphabet=st.characters(exclude_characters="/"), max_size=12)
    return st.one_of(st.sampled_from(ODD_TEXTS), free)


class _Commands(dict[tuple[str, ...], Any]):
    def __repr__(self) -> str:
        return "commands"


def commands() -> Commands:
    """Every command that does something, by its words."""
    found: dict[tuple[str, ...], Any] = {}
    waiting: list[tuple[tuple[str, ...], Any]] = [((), get_command(app))]
    while waiting:
        path, command = waiting.pop()
        inner = getattr(command, "commands", {})
        waiting += [((*path, name), below) for name, below in inner.items()]
        if not inner or getattr(command, "invoke_without_command", False):
            found[path] = command
    return _Commands(sorted(found.items()))


@st.composite
def command_lines(draw: Draw, known: Commands) -> list[str]:
    """A command with some of its arguments and options, fitting or odd, and now and then a word too many."""
    path = draw(st.sampled_from(list(known)))
    parameters = known[path].params
    words: list[str] = []
    if path in _STARTS and draw(st.integers(0, 2)):
        words += draw(st.sampled_from(_STARTS[path]))
    else:
        for parameter in parameters:
            if parameter.param_type_name == "argument" and draw(st.integers(0, 9)):
                many = parameter.nargs == -1
                words += [draw(_value(parameter)) for _ in range(draw(st.integers(0, 3)) if many else 1)]
    options = [parameter for parameter in parameters if parameter.param_type_name == "option"]
    if options:
        for option in draw(st.lists(st.sampled_from(options), max_size=4)):
            words += draw(_written(option))
    for word in draw(st.lists(texts(), max_size=1)) if draw(st.integers(0, 4)) == 0 else ():
        words.insert(draw(st.integers(0, len(words))), word)
    # No process can be given a zero byte in a word; rows and notes may hold some.
    return [*path, *(word.replace("\0", "") for word in words)]


def _value(parameter: Any) -> st.SearchStrategy[str]:
    odd = texts()
    if parameter.name in _FITTING:
        return st.one_of(st.sampled_from(_FITTING[parameter.name]), odd)
    wanted = parameter.type_descriptor.annotation
    if choices := get_args(wanted):
        return st.one_of(st.sampled_from([str(choice) for choice in choices]), odd)
    if wanted is int:
        return st.one_of(st.integers(-2, 40).map(str), st.integers().map(str), odd)
    if wanted is float:
        return st.one_of(st.floats(0, 2).map(str), st.floats().map(str), odd)
    return odd


@st.composite
def _written(draw: Draw, option: Any) -> list[str]:
    """An option as it may be typed: `--a b`, `--a=b`, doubled, or with its value missing."""
    name: str = draw(st.sampled_from([*option.opts, *option.secondary_opts]))
    if option.is_flag or not draw(st.integers(0, 19)):
        return [name]
    value = draw(_value(option))
    words = [f"{name}={value}"] if name.startswith("--") and draw(st.booleans()) else [name, value]
    doubled: bool = draw(st.integers(0, 9)) == 0
    return words * (1 + doubled)


def may_write(words: Sequence[str], known: Commands) -> list[str]:
    """The values that a command line gives to options naming an output."""
    names = {name for command in known.values() for each in command.params if each.name in OUTPUTS
             for name in each.opts}  # fmt: skip
    given = [after for word, after in pairwise(words) if word in names]
    given += [word.partition("=")[2] for word in words if word.partition("=")[0] in names]
    return given + [word[2:] for word in words if word.startswith("-o")]


def json_values() -> st.SearchStrategy[Any]:
    """Any JSON, and what Python's reader takes for it: NaN, infinities, lone surrogates."""
    plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts())
    return st.recursive(
        plain, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts(), inner, max_size=3)),
        max_leaves=5,
    )  # fmt: skip


@st.composite
def changed_json(draw: Draw, document: Any) -> Any:
    """A document with up to three of its values replaced, left out or added."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        node = changed
        while isinstance(node, dict | list) and node:
            key = draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
            if isinstance(node[key], dict | list) and node[key] and draw(st.booleans()):
                node = node[key]
                continue
            what = draw(st.sampled_from(("replace", "drop", "add")))
            if what == "drop":
                del node[key]
            elif what == "add" and isinstance(node, dict):
                node[draw(texts())] = draw(json_values())
            else:
                node[key] = draw(json_values())
            break
    return changed


@st.composite
def changed_bytes(draw: Draw, content: bytes) -> bytes:
    """A file with some bytes changed, cut short, or longer."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        # Most of what a format says is at the beginning.
        last = len(changed) - 1 if draw(st.booleans()) else min(200, len(changed) - 1)
        changed[draw(st.integers(0, last))] = draw(st.integers(0, 255))
    cut = draw(st.one_of(st.just(len(changed)), st.integers(0, len(changed))))
    more: bytes = draw(st.one_of(st.just(b""), st.binary(max_size=20)))
    return bytes(changed[:cut]) + more


@st.composite
def changed_safetensors(draw: Draw, content: bytes) -> bytes:
    """Weights with another header, or with changed bytes."""
    if draw(st.booleans()):
        return bytes(draw(changed_bytes(content)))
    length = int.from_bytes(content[:8], "little")
    header = as_json(draw(changed_json(json.loads(content[8 : 8 + length]))))
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def as_json(document: Any) -> bytes:
    """As `json` writes it, NaN and all."""
    return json.dumps(document).encode()


@st.composite
def batch_files(draw: Draw, columns: Sequence[str]) -> tuple[str, bytes]:
    """A batch file's suffix and contents: rows with odd columns and values, or any bytes."""
    suffix = draw(st.sampled_from(("csv", "jsonl", "toml")))
    names = st.one_of(*[st.sampled_from(columns)] * 9, texts())
    values = {name: st.sampled_from(fitting) for name, fitting in _FITTING.items()}
    rows = []
    for _ in range(draw(st.integers(0, 3))):
        row = {"prompt": draw(st.sampled_from([*["a dog"] * 8, "a * runs", ""]))}
        for name in draw(st.lists(names, max_size=4)):
            fitting = values.get(name.replace("-", "_")) if draw(st.integers(0, 4)) else None
            row[name] = draw(fitting if fitting is not None else st.one_of(texts(), json_values()))
        rows.append(row)
    content = {"csv": _as_csv, "jsonl": _as_jsonl, "toml": _as_toml}[suffix](rows)
    return suffix, draw(changed_bytes(content)) if content and draw(st.integers(0, 3)) == 0 else content


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _as_jsonl(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(as_json(row) + b"\n" for row in rows)


def _as_toml(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Near enough to TOML: its strings, numbers and lists are written like JSON's."""
    tables = ("[[job]]", "[[grid]]", "[defaults]")
    lines = []
    for number, row in enumerate(rows):
        lines += [tables[number % 3], *(f"{json.dumps(name)} = {json.dumps(value)}" for name, value in row.items())]
    return "\n".join(lines).encode()
