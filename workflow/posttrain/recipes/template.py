"""Chat templates, read and checked as text: no tokenizer is needed to refuse one."""

import re
from functools import cache
from pathlib import Path

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

from posttrain.files import Refusal
from posttrain.recipes.page import file_of, text_of

CLOCKS = {"strftime_now"}  # transformers offers it; a date in the training text makes every build another model


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
    refuse_faults(path, text)
    return text


@cache  # many models have one template
def refuse_faults(path: Path, text: str) -> None:
    try:
        tree = environment().parse(text)
    except jinja2.TemplateSyntaxError as error:
        raise Refusal(f"{path}:{error.lineno}: {error.message}") from None
    for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Name)):
        refuse_reach(path, node)


def environment() -> ImmutableSandboxedEnvironment:
    """Jinja as transformers renders a conversation in it."""
    return ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )


def refuse_reach(path: Path, node: nodes.Node) -> None:
    if isinstance(node, nodes.Name):
        if node.name in CLOCKS:
            raise Refusal(f"{path}:{node.lineno}: {node.name} reads the clock; write the date, or leave it out")
        return
    reached = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", "")
    if str(reached).startswith("_"):
        raise Refusal(f"{path}:{node.lineno}: {reached} reaches into Python; a template reads messages only")


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
