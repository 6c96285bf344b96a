"""What is wrong with an entry, in the words of the page."""

import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from posttrain.files import Refusal
from posttrain.recipes import elsewhere, methods, page
from posttrain.words import did_you_mean, dotted

Schema = TypeVar("Schema", bound=BaseModel)
PARTS = ("train", "runtime", "peft", "quantization")  # a model's sections


def checked(kind: type[Schema], path: Path) -> tuple[Schema, dict, page.Where]:
    """A file that is one entry, as its schema reads it and as typed, and where each part of it stands.

    Raises: Refusal, of every fault by its line.
    """
    value, where = page.read(path)
    where = {(): f"{path}:1"} | where  # which an empty file has not
    try:
        return kind.model_validate(value), value, where
    except ValidationError as error:
        found = of(kind, value, error, frozenset(), frozenset())
    lines = {key: next(where[key[:end]] for end in range(len(key), -1, -1) if key[:end] in where) for key in found}
    raise Refusal("\n".join(f"{lines[key]}: {dotted(key)}: {why}" for key, why in found.items()))


def of(
    kind: type[BaseModel], value: Any, error: ValidationError, inherited: frozenset[tuple], overlaid: frozenset[str]
) -> dict[tuple, str]:
    """The faults of an entry by their keys, each said once.

    Args:
        inherited: the keys that the entry has of what it extends.
        overlaid: the keys of its runtime that the site says.
    """
    # An unknown key first, for it explains a missing one; of a value's faults the first.
    errors = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    faults: dict[tuple, str] = {}
    for key, why in (fault(kind, value, e, overlaid) for e in errors):
        drop = f" (it is inherited; `{key[-1]}: null` leaves it out)" if key in inherited else ""
        faults.setdefault(key, why + drop)
    # Where one of two types was tried in vain, the one that was understood further is the one that was meant.
    deepest = [key for key in faults if not any(key == other[: len(key)] and key != other for other in faults)]
    return {key: faults[key] for key in deepest}


def fault(kind: type[BaseModel], value: Any, error: dict, overlaid: frozenset[str]) -> tuple[tuple, str]:
    """The key of a validation error, and what is wrong there."""
    key, inner = [], value
    for part in error["loc"]:  # a union adds the tried type's name to the path
        if not (isinstance(inner, dict) and part in inner) and not (isinstance(inner, list) and isinstance(part, int)):
            continue
        key.append(part)
        inner = inner[part]
    why = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        return error["loc"], f"is missing{meaning(kind, error['loc'])}"
    if error["type"] == "extra_forbidden":
        return tuple(key), f"no such key{unknown(kind, key)}"
    if error["type"] == "value_error":
        at, _, rest = why.partition(" ")
        at = at.split(".")  # the field that a validator begins with, or a part of it
        if key == ["runtime"] and overlaid and at[0] not in overlaid:  # the recipe alone may be sound
            return tuple(key), why
        return ((*key, *at), rest) if at[0] in fields_at(kind, key) else (tuple(key), why)
    return tuple(key), mistaken(key, inner, f"{why[0].lower()}{why[1:]}", error["type"])


def meaning(kind: type[BaseModel], key: tuple) -> str:
    """What a field is for."""
    fields = getattr(schema_at(kind, list(key[:-1])), "model_fields", {})
    return f" ({fields[key[-1]].description})" if key[-1] in fields and fields[key[-1]].description else ""


def unknown(kind: type[BaseModel], key: list) -> str:
    """What to say in place of a key that there is none of."""
    name, known = key[-1], fields_at(kind, key[:-1])
    if "method" in kind.model_fields:
        if homes := [dotted((*part, name)) for part in ((), *zip(PARTS)) if name in fields_at(kind, list(part))]:
            return f" here; say {homes[0]}"
        if name in elsewhere.OTHERWISE:
            return f": {elsewhere.OTHERWISE[name]}"
        if having := [method for method, other in methods.METHODS.items() if name in fields_at(other, key[:-1])]:
            return f" of this method; {', '.join(having)} {'have' if len(having) > 1 else 'has'} it"
        if elsewhere.is_trls(name):
            return f": TRL's {name} is not offered"
    return f". {did_you_mean(name, known)}"


def mistaken(key: list, value: Any, why: str, fault: str) -> str:
    """What is wrong with a value, and how it would be right."""
    name = next((part for part in reversed(key) if isinstance(part, str)), "")
    plain = value is None or isinstance(value, str | int | float)
    if plain and (instead := elsewhere.INSTEAD.get(name, {}).get(value)):
        return f"{value!r} {instead}"
    if isinstance(value, str) and fault.startswith(("float", "int", "bool")) and is_quoted(value):
        why += "; write it without quotes"
    elif isinstance(value, str) and fault.startswith("bool"):
        why += "; say true or false"
    if isinstance(value, int | float) and fault.startswith("string"):
        why += "; write it in quotes"
    return f"{value!r}: {why}"


def is_quoted(word: str) -> bool:
    """Whether a word would be a number or a boolean without its quotes."""
    try:
        float(word)
    except ValueError:
        return word in ("true", "false")
    return not re.match(r"[-+]?0\d", word)  # 010 is a word however it is written


def fields_at(kind: Any, key: list) -> list[str]:
    """The names of the fields that a part of a schema has."""
    return list(getattr(schema_at(kind, key), "model_fields", {}))


def schema_at(kind: Any, key: list) -> Any:
    """A part of a schema; None where it has no such part."""
    for part in key:
        if isinstance(part, int):
            continue
        if part not in getattr(kind, "model_fields", {}):
            return None
        kind = schema_in(kind.model_fields[part].annotation)
    return kind


def schema_in(kind: Any) -> type[BaseModel] | None:
    """The first schema that a type speaks of, as `list[Source] | None` does."""
    if hasattr(kind, "model_fields"):
        return kind
    return next((found for part in getattr(kind, "__args__", ()) if (found := schema_in(part))), None)
