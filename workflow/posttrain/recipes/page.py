"""A recipe page: YAML in which every value knows its file and line."""

import math
import re
from pathlib import Path
from typing import Any

import yaml

from posttrain.files import Refusal
from posttrain.words import did_you_mean, dotted

LARGEST = 1 << 20  # bytes: a page is written by hand
DEEPEST = 20  # nested collections

SCALARS = yaml.constructor.SafeConstructor()
Where = dict[tuple, str]  # a value's path in the page → "file:line"


BOOLEAN, INTEGER, FLOAT = (f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float"))


class Loader(yaml.CSafeLoader):
    """YAML 1.1 in which 1e-5 is a number, 1:30 and 010 are none, and `no` is Norwegian's code and no boolean."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in kinds if tag not in (BOOLEAN, INTEGER)]
        for first, kinds in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


class Dumper(yaml.SafeDumper):
    """What that reads as a number is written in quotes: some commits look like one."""


DIGITS = list("-+0123456789")  # a number's first
EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$")
for kind in (Loader, Dumper):
    kind.add_implicit_resolver(FLOAT, EXPONENT, DIGITS)
Loader.add_implicit_resolver(BOOLEAN, re.compile(r"(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
Loader.add_implicit_resolver(INTEGER, re.compile(r"[-+]?(0|[1-9][\d_]*|0x[\da-fA-F_]+)$"), DIGITS)


def file_of(folders: list[Path], name: str, suffix: str) -> Path:
    """The file of a name in one of some folders. Raises: Refusal, if it is missing, or there twice."""
    files = [file for folder in folders for file in sorted(folder.glob(f"*{suffix}"))]
    found = [file for file in files if file.stem == name]
    if not found:
        hint = did_you_mean(name, [file.stem for file in files])
        raise Refusal(f"there is no {folders[0] / name}{suffix}. {hint}")
    if len(found) > 1:
        raise Refusal(f"{name} is the name of {' and of '.join(map(str, found))}; rename one of them")
    return found[0]


def text_of(path: Path) -> str:
    """The text of a file written by hand."""
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise Refusal(f"{path}: {size} bytes; what is written by hand has at most {LARGEST}")
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise Refusal(f"{path}:{line}: not UTF-8 (byte {error.object[error.start]:#04x}); save it as UTF-8") from None
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from None


def read(path: Path) -> tuple[dict, Where]:
    """A page's value, and where each part of it stands."""
    text = text_of(path)
    try:
        refuse_tricks(path, text)
        value, where = value_of(path, text)
    except yaml.MarkedYAMLError as error:
        line = line_of(error.problem_mark)
        tabs = any("\t" in said for said in text.split("\n")[line - 1 : line])
        hint = "; indent with spaces, not tabs" if tabs else ""
        raise Refusal(f"{path}:{line}: not YAML: {error.problem}{hint}") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise Refusal(f"{path}:{line}: not YAML: the character {error.character:#04x} is not allowed") from None
    if not isinstance(value, dict):
        raise Refusal(f"{path}:1: a recipe page is a mapping (data:, preferences:, models:, use:)")
    return value, where


def with_section(path: Path, text: str, name: str, entries: dict[str, str]) -> str:
    """A page's text with these entries in place of a section's, a line each; all else stays as it was written."""
    section = yaml.dump({name: dict(sorted(entries.items()))}, Dumper=Dumper, sort_keys=False, width=math.inf)
    lines = text.splitlines(keepends=True)
    begins = next((i for i, line in enumerate(lines) if re.match(rf"{name}\s*:", line)), len(lines))
    ends = next((i for i, line in enumerate(lines) if i > begins and re.match(r"[^\s#]", line)), len(lines))
    while ends > begins + 1 and re.match(r"#|\s*$", lines[ends - 1]):  # what stands before the next section is its own
        ends -= 1
    if begins == len(lines) and text and not text.endswith("\n"):
        section = f"\n{section}"
    made = "".join([*lines[:begins], section, *lines[ends:]])
    try:
        kept = value_of(path, made)[0] == {**value_of(path, text)[0], name: entries}
    except (yaml.YAMLError, Refusal):
        kept = False
    if not kept:
        raise Refusal(f"{path}: {name}: cannot be rewritten; write it as `{name}:` with a line for each entry below it")
    return made


def value_of(path: Path, text: str) -> tuple[Any, Where]:
    """The value of a page's text, and where each part of it stands. Raises: Refusal, if a key is said twice."""
    where: Where = {}
    node = yaml.compose(text, Loader)
    return {} if node is None else construct(node, path, (), where), where


def line_of(mark: Any) -> int:
    return mark.line + 1 if mark else 1


def refuse_tricks(path: Path, text: str) -> None:
    """Refuse anchors, aliases, tags and deep nesting before anything expands or recurses over them."""
    depth = 0
    for event in yaml.parse(text, Loader):
        line = f"{path}:{line_of(event.start_mark)}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise Refusal(f"{line}: anchors and aliases are not read; a recipe inherits with `extends:`")
        if getattr(event, "tag", None):
            raise Refusal(f"{line}: the tag {event.tag} is not read; write a plain value")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise Refusal(f"{line}: nested more than {DEEPEST} deep")


def construct(node: yaml.Node, path: Path, at: tuple, where: Where) -> Any:
    """A node's value; notes where it stands, and refuses a key said twice."""
    where.setdefault(at, f"{path}:{line_of(node.start_mark)}")
    if isinstance(node, yaml.SequenceNode):
        return [construct(item, path, (*at, i), where) for i, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return scalar(node, path)
    value: dict = {}
    for key_node, item in node.value:
        line = f"{path}:{line_of(key_node.start_mark)}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise Refusal(f"{line}: a key is a plain word")
        key = key_node.value
        if key in value:
            raise Refusal(f"{line}: {dotted((*at, key))} is said twice (first in {where[(*at, key)]}); keep one")
        where[(*at, key)] = line
        value[key] = construct(item, path, (*at, key), where)
    return value


def scalar(node: yaml.ScalarNode, path: Path) -> Any:
    try:
        value = SCALARS.construct_object(node)
    except ValueError as error:
        raise Refusal(f"{path}:{line_of(node.start_mark)}: {node.value}: {error}") from None
    if not isinstance(value, str | int | float | bool | None) or (not isinstance(value, str) and ":" in node.value):
        return node.value  # a date is a word here, and so is 1:30
    return value
