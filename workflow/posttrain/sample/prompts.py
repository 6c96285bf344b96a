"""The prompts of a data set, and those that leave a model room to answer."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import TemplateError

from posttrain.checkpoints import open_chat_tokenizer, places, prompt_ids
from posttrain.data import rows
from posttrain.data.ledger import Ledger
from posttrain.data.rows import options_of
from posttrain.files import Refusal


@dataclass(frozen=True)
class Prompt:
    number: int  # its row in the split
    turns: list[dict]
    reference: str | None  # the answer that the row has, if it ends in one
    later: tuple[str, ...] = ()  # what its user asks next, each behind an answer to what was asked before


def read(path: Path, every_turn: bool = False) -> list[Prompt]:
    """A prompt a row: its turns, less a last one of the assistant's.

    Args:
        every_turn: whether each of the user's turns is asked, one after the other, and what the row's assistant says
            between them left out.
    """
    prompts = []
    for number, row in enumerate(rows.read(path)):
        if "messages" not in row:
            raise Refusal(f"{path}: its rows are plain text; prompts are the turns of conversations")
        if told := options_of(row):
            raise Refusal(
                f"{path} row {number + 1}: its chat_template_kwargs tell a template {', '.join(told)}, and a prompt is "
                "its turns alone; leave the column out of the source (`columns: [messages]`)"
            )
        turns, reference = row["messages"], None
        if turns[-1]["role"] == "assistant":
            turns, reference = turns[:-1], turns[-1]["content"]
        if not turns:
            raise Refusal(f"{path} row {number + 1}: has an answer and no prompt")
        prompt = Prompt(number, turns, reference)
        prompts.append(turn_by_turn(prompt, f"{path} row {number + 1}") if every_turn else prompt)
    return prompts


def turn_by_turn(prompt: Prompt, where: str) -> Prompt:
    """A prompt up to its first question, the others to be asked later."""
    roles = [turn["role"] for turn in prompt.turns]
    first = roles.index("user") if "user" in roles else len(roles)
    if odd := next((role for role in roles[first:] if role not in ("user", "assistant")), None):
        raise Refusal(
            f"{where}: a turn of the {odd} stands behind the first question; each turn here is asked or answered"
        )
    if "user" not in roles:
        raise Refusal(f"{where}: nobody asks anything")
    later = [turn["content"] for turn in prompt.turns[first + 1 :] if turn["role"] == "user"]
    return replace(prompt, turns=prompt.turns[: first + 1], later=tuple(later))


class Room:
    """What a model has places for, behind a completion's."""

    def __init__(self, folder: Path, max_new_tokens: int) -> None:
        self.folder, self.tokenizer = folder, open_chat_tokenizer(folder)
        self.tokens = places(folder) - max_new_tokens

    def holds(self, turns: list[dict]) -> bool:
        try:
            return len(prompt_ids(self.tokenizer, turns)) <= self.tokens
        except TemplateError as error:
            roles = ", ".join(turn["role"] for turn in turns)
            raise Refusal(f"{self.folder}: its chat template takes no turns of {roles}: {error}") from None


def fitting(
    blocks: list[list[Prompt]],
    folder: Path,
    max_new_tokens: int,
    asked: Callable[[list[dict]], list[dict]] = list,
) -> tuple[list[list[Prompt]], Ledger]:
    """Of blocks of prompts those behind which the model of a folder has room for a completion, and a ledger of the
    others. The blocks stay: which prompts are answered side by side hangs on no other block.

    Args:
        asked: of a prompt's turns, what the model is first asked.
    """
    room, ledger = Room(folder, max_new_tokens), Ledger("prompts")

    def fits(prompt: Prompt) -> bool:
        ledger.read += 1
        if room.holds(asked(prompt.turns)):
            return True
        ledger.drop("no room behind the prompt", prompt.turns)
        return False

    found = ([prompt for prompt in block if fits(prompt)] for block in blocks)
    return [block for block in found if block], ledger
