"""What a judge is asked: a template that is read and checked as text."""

from pathlib import Path

from jinja2 import nodes
from jinja2.meta import find_undeclared_variables

from posttrain.files import Refusal
from posttrain.recipes import template
from posttrain.words import did_you_mean

# By mode: what a rubric is told, what it must show, and how it must ask for a verdict.
TOLD = {
    "pointwise": ("prompt", "reference", "answer", "lowest", "highest"),
    "pairwise": ("prompt", "reference", "first", "second"),
}
LIKE = {"prompt": [{"role": "user", "content": "a prompt"}], "reference": "an answer", "lowest": "1", "highest": "10"}
SHOWN = {"pointwise": ("answer",), "pairwise": ("first", "second")}
VERDICT = {"pointwise": "Rating: [[", "pairwise": "Verdict: [["}


def read(folders: list[Path], name: str, mode: str) -> str:
    """The text of a rubric, refused if it is missing or broken, or not one of the mode."""
    text = template.read(folders, name)
    tree = template.environment().parse(text)
    unknown = find_undeclared_variables(tree) - set(TOLD[mode])
    for node in tree.find_all(nodes.Name):
        if node.name in unknown:
            said = f"{name}.jinja:{node.lineno}: {node.name} is nothing that a {mode} rubric is told"
            raise Refusal(f"{said}. {did_you_mean(node.name, list(TOLD[mode]))}")
    unshown = [shown for shown in SHOWN[mode] if shown not in find_undeclared_variables(tree)]
    if unshown:
        raise Refusal(f"{name}.jinja: does not show {{{{ {unshown[0]} }}}}, which a {mode} rubric asks about")
    if VERDICT[mode] not in text:
        raise Refusal(f"{name}.jinja: does not ask for `{VERDICT[mode]}…]]`, which is what is read of a reply")
    try:
        template.filled(text, **LIKE, **dict.fromkeys(SHOWN[mode], "an answer"))
    except template.Unsayable as error:
        raise Refusal(f"{name}.jinja: {error}; a turn of the prompt has a role and a content") from None
    return text
