"""What a recipe page may say, field by field: docs/reference.md."""

import inspect

from pydantic.json_schema import models_json_schema

from posttrain.recipes import methods, sections
from posttrain.recipes.fields import Entry
from posttrain.recipes.site import Settings

HEAD = """\
# What a recipe may say

Every section, method and field, written by `python tests/generate.py --fix` from the classes that check them
(`workflow/posttrain/recipes/`). [Write a recipe](write-a-recipe.md) says how they go together.

Any entry may say `extends:`, the name of another of its section: it then says differences only, and `null` of what it
leaves out. A model may say `scan:`, which maps its own fields or those of `train` to lists of values.

What `config/site.yaml` may say stands [behind the sections](#configsiteyaml).
"""
SITE = "What is one place's and no recipe's: `config/site.example.yaml` is one to copy.\n"


def page() -> str:
    entries = {name: sections.KINDS.get(name, tuple(methods.METHODS.values())) for name in sections.SECTIONS}
    classes = concerned([*(kind for kinds in entries.values() for kind in kinds), Settings])
    _, made = models_json_schema([(kind, "validation") for kind in classes])
    lines = [HEAD]
    for section, kinds in entries.items():
        lines.append(f"## {section}\n")
        for kind in kinds:
            if section == "models":
                lines.append(f"### method: {kind.model_fields['method'].annotation.__args__[0]}\n")
            lines += told(kind, made["$defs"])
    lines += ["## config/site.yaml\n", SITE, *told(Settings, made["$defs"]), "## Parts\n"]
    shown = {kind for kinds in entries.values() for kind in kinds} - {kind.__mro__[1] for kind in classes}
    for kind in classes:
        if kind is not Settings and kind not in shown:
            lines += [f"### {kind.__name__}\n", *told(kind, made["$defs"])]
    return "\n".join(lines).rstrip() + "\n"


def concerned(kinds: list[type[Entry]]) -> list[type[Entry]]:
    """Classes of entries, those that their fields are of, and what these are children of, by name."""
    _, made = models_json_schema([(kind, "validation") for kind in kinds])
    fields = [kind for kind in below(Entry) if kind.__name__ in made["$defs"]]
    above = [parent for kind in fields for parent in kind.__mro__ if issubclass(parent, Entry) and parent.model_fields]
    return sorted({*fields, *above}, key=lambda kind: kind.__name__)


def below(kind: type) -> list[type]:
    return [each for child in kind.__subclasses__() for each in (child, *below(child))]


def told(kind: type[Entry], defs: dict) -> list[str]:
    """What a class says of itself, and of each of the fields that are its own."""
    said, parent = defs[kind.__name__], kind.__mro__[1]
    lines = [inspect.cleandoc(kind.__doc__) + "\n"] if kind.__doc__ else []
    if parent.model_fields:
        lines.append(f"All fields of [{parent.__name__}](#{parent.__name__.lower()}){' and' * bool(own(kind))}:\n")
    rows = []
    for name in own(kind):
        field = said["properties"][name]
        unsaid = "**must be said**" if name in said.get("required", []) else default(field)
        rows.append(f"| `{name}` | {value(field)} | {unsaid} | {field.get('description', '')} |")
    return [*lines, "| field | value | if unsaid | |", "|---|---|---|---|", *rows, ""] if rows else lines


def own(kind: type[Entry]) -> list[str]:
    """The fields of a class that its parent has not, or has otherwise."""
    above = kind.__mro__[1].model_fields
    fields = [name for name, field in kind.model_fields.items() if repr(field) != repr(above.get(name))]
    return [name for name in fields if name != "method"]


def default(field: dict) -> str:
    word = field.get("default")
    if word in (None, []) or isinstance(word, dict):
        return "–"
    return f"`{spelt(word)}`"


def spelt(word: object) -> str:
    return str(word).lower() if isinstance(word, bool) else str(word)


def value(field: dict) -> str:
    """What a field takes, in words."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(value(one) for one in field["anyOf"] if one.get("type") != "null")
    if "const" in field or "enum" in field:
        return ", ".join(f"`{spelt(word)}`" for word in field.get("enum", [field.get("const")]))
    inner = field.get("items") or field.get("additionalProperties")
    if isinstance(inner, dict):
        return f"{'list of' if field['type'] == 'array' else 'mapping to'} {value(inner)}"
    return {"object": "mapping"}.get(field.get("type"), field.get("type", "any")) + limits(field)


def limits(field: dict) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    said = [f"{sign} {field[key]:g}" for key, sign in signs.items() if field.get(key, 1 << 32) < 1 << 32]
    return f" {', '.join(said)}" if said else ""
