"""Functions that a recipe names, and the arguments that it gives them."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from posttrain.recipes.catalogue import Named
from posttrain.words import did_you_mean


def arguments(
    entry: Named, at: tuple, field: str, known: dict[str, Callable], checks: dict[str, Callable], given: int = 0
) -> dict[str, Any]:
    """All arguments of a function that a recipe names, those too that it leaves as they are: they are what is made.

    Refused are a function that is not known, an argument that it does not take or can do nothing with, and the lack of
    one that it needs.

    Args:
        at: the part of the recipe that has the field, and `args` beside it.
        checks: of some functions, what finds the argument that is wrong, given all of them, and why; or None.
        given: how many arguments, the first, are not the recipe's to say.
    """
    said = entry.recipe
    for key in at:
        said = said[key] if isinstance(key, int) else getattr(said, key)
    name = getattr(said, field)
    if name not in known:
        raise entry.refuse((*at, field), f"there is no {field} {name!r}. {did_you_mean(name, list(known))}")
    takes = dict(list(signature(known[name]).parameters.items())[given:])
    for argument in said.args:
        if argument not in takes:
            raise entry.refuse((*at, "args", argument), f"no such argument. {did_you_mean(argument, list(takes))}")
    for argument, taken in takes.items():
        if taken.default is taken.empty and argument not in said.args:
            raise entry.refuse((*at, "args", argument), "is missing")
        if argument in said.args and not isinstance(said.args[argument], taken.annotation):
            wanted = taken.annotation.__name__
            raise entry.refuse((*at, "args", argument), f"{said.args[argument]!r} is no {wanted}")
    args = {argument: said.args.get(argument, taken.default) for argument, taken in takes.items()}
    if name in checks and (wrong := checks[name](args)):
        where, why = wrong
        raise entry.refuse((*at, "args", *where), why)
    return args
