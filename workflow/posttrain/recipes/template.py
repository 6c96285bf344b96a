"""Chat templates, read and checked as text: no tokenizer is needed to refuse one."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

from posttrain.files import Refusal
from posttrain.recipes.page import file_of, text_of

CLOCK = "strftime_now"  # transformers offers it; a date in the training text makes every build another model
DRAWS = "draws, and every build would be another; say one thing, or leave it out"
FICKLE = {
    (nodes.Name, CLOCK): "reads the clock; write the date, or leave it out",
    (nodes.Name, "lipsum"): DRAWS,
    (nodes.Filter, "random"): DRAWS,
}


class Generation(Extension):
    """`{% generation %}…{% endgeneration %}`: what the assistant says, as transformers marks it."""

    tags = {"generation"}

    def parse(self, parser: jinja2.parser.Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: jinja2.runtime.Macro) -> str:
        return caller()


def read(folders: list[Path], name: str) -> str:
    """The text of a template, refused if it is missing, broken, or reaches for more than the conversation."""
    path = file_of(folders, name, ".jinja")
    text = text_of(path)
    if not text.strip():
        raise Refusal(f"{path}: is empty, and a model would read nothing of a conversation")
    refuse_faults(path, text)
    return text


@cache  # many models have one template
def refuse_faults(path: Path, text: str) -> None:
    refuse_faults_in(environment(), path, text)


def refuse_faults_in(jinja: jinja2.Environment, path: Path, text: str) -> None:
    """Raises: Refusal, if a text is broken where it will be rendered, or reaches for more than it is told."""
    try:
        tree = jinja.parse(text)
        for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Name, nodes.Filter)):
            refuse_reach(path, node)
        jinja.compile(tree)  # which knows the filters that there are
    except jinja2.TemplateSyntaxError as error:
        raise Refusal(f"{path}:{error.lineno}: {error.message}") from None
    except SyntaxError as error:  # of the Python that it becomes
        raise Refusal(f"{path}: {error.msg}") from None


def environment() -> ImmutableSandboxedEnvironment:
    """Jinja as transformers renders a conversation in it."""
    return ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )


class Unsayable(Exception):
    """Raised where a text of one's own (a rubric, a follow-up) fails as a template."""


def filled(text: str, **told: Any) -> str:
    """What a text of one's own says, told this. Raises: Unsayable, if it asks for more."""
    try:
        return compiled(text).render(told)
    except Exception as error:  # a template fails in any way that Python can
        raise Unsayable(str(error).rstrip(".") or type(error).__name__) from None


@cache
def compiled(text: str) -> jinja2.Template:
    """In a Jinja that reaches for nothing but what it is given, and draws nothing by itself."""
    strict = environment()
    strict.undefined = jinja2.StrictUndefined
    for kind, name in FICKLE:
        (strict.filters if kind is nodes.Filter else strict.globals).pop(name, None)
    return strict.from_string(text)


def refuse_reach(path: Path, node: nodes.Node) -> None:
    if isinstance(node, nodes.Name | nodes.Filter) and (why := FICKLE.get((type(node), node.name))):
        raise Refusal(f"{path}:{node.lineno}: {node.name} {why}")
    if (reached := str(asked_for(node))).startswith("_"):
        raise Refusal(f"{path}:{node.lineno}: {reached} reaches into Python; a template reads messages only")


def asked_for(node: nodes.Node) -> Any:
    """The attribute or the item that a part of a template names; nothing if it asks for none, or works out which."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    said = [node.arg] if isinstance(node, nodes.Getitem) else []
    if isinstance(node, nodes.Filter) and node.name == "attr":
        said = [*node.args, *(keyword.value for keyword in node.kwargs)]
    return getattr(said[0], "value", "") if said else ""


def marks_answers(text: str) -> bool:
    """Whether a template marks the assistant's turns, which assistant_only_loss needs."""
    return re.search(r"{%[-+]?\s*generation\b", text) is not None


USER, ANSWER = {"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}
CONVERSATIONS = [[USER, ANSWER, USER, ANSWER], [{"role": "system", "content": "zero"}, USER, ANSWER]]


def like(folder: Path, text: str) -> str | None:
    """The name of the template that makes the same text of conversations as this one; None if there is none."""
    wanted = rendered(text)
    known = sorted(folder.glob("*.jinja"))
    return next((path.stem for path in known if wanted and rendered(text_of(path)) == wanted), None)


def rendered(text: str) -> list[str]:
    """Conversations as a template has them; none if it fails."""
    try:
        made = environment().from_string(text)
        return [made.render(messages=said, bos_token="<s>", eos_token="</s>") for said in CONVERSATIONS]
    except Exception:  # a foreign template may fail in any way that Python can
        return []
