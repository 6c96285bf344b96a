"""Verifiers that recipes name: known ones, and those of a file, which is read here and run by the job alone."""

import ast
from pathlib import Path
from typing import NamedTuple

from posttrain.plan.stages.functions import arguments
from posttrain.plan.targets import Targets
from posttrain.recipes.catalogue import Named
from posttrain.recipes.page import text_of
from posttrain.score import verifiers
from posttrain.words import did_you_mean


class Verifying(NamedTuple):
    """What a target that verifies is made of."""

    own: dict
    names: dict[str, str] = {}
    texts: dict[str, str] = {}


def verifying(plan: Targets, entry: Named) -> Verifying:
    own = entry.recipe.model_dump(include={"verifier", "args", "time_limit"})
    if not isinstance(entry.recipe.verifier, str):
        text = own_function(plan, entry)
        names = {"file": entry.recipe.verifier.file}
        return Verifying(own | {"verifier": {"function": entry.recipe.verifier.function}}, names, {"verifier": text})
    given = 2  # the completion and the reference
    return Verifying(own | {"args": arguments(entry, (), "verifier", verifiers.KNOWN, verifiers.CHECKS, given)})


def own_function(plan: Targets, entry: Named) -> str:
    """The text of a person's own verifier. Raises: Refusal, if it has no such function that takes such arguments."""
    said, at = entry.recipe.verifier, ("verifier", "file")
    place = plan.here / Path(said.file).expanduser()
    if place.suffix != ".py" or not place.is_file():
        why = f"there is no file {said.file}" if place.suffix == ".py" else f"{said.file} is no file of Python's (.py)"
        raise entry.refuse(at, why)
    text = text_of(place)
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise entry.refuse(at, f"{said.file}:{error.lineno}: {error.msg}") from None
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if said.function not in functions:
        why = f"{said.file} has no function {said.function!r}. {did_you_mean(said.function, list(functions))}"
        raise entry.refuse(("verifier", "function"), why)
    check_arguments(entry, functions[said.function].args)
    return text


def check_arguments(entry: Named, takes: ast.arguments) -> None:
    """Raises: Refusal, if a function's arguments are not the row's columns and those that the recipe gives."""
    args = takes.args + takes.kwonlyargs
    defaults = [None] * (len(takes.args) - len(takes.defaults)) + takes.defaults + takes.kw_defaults
    own = {arg.arg: default for arg, default in zip(args, defaults, strict=True) if arg.arg not in verifiers.GIVEN}
    for name in entry.recipe.args:
        if name in verifiers.GIVEN or (name not in own and not takes.kwarg):
            raise entry.refuse(("args", name), f"no such argument. {did_you_mean(name, list(own))}")
    for name, default in own.items():
        if default is None and name not in entry.recipe.args:
            raise entry.refuse(("args", name), "is missing")
