"""Conversations of several turns: what is asked first, what is asked next, and how far each came."""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from posttrain.data import rows
from posttrain.data.ledger import Ledger
from posttrain.data.turns import turn
from posttrain.files import Refusal
from posttrain.recipes.template import Unsayable, filled
from posttrain.sample.prompts import Prompt

# What a conversation that says nothing of them has: the prompt alone, its last question answered.
PLAIN = {"system": None, "few_shot": [], "follow_ups": [], "choices": [], "every_turn": False}


def opening(conversation: dict, prompt: list[dict]) -> list[dict]:
    """What is asked first: the system turn, examples, and the prompt's turns."""
    own = prompt[:1] if prompt[0]["role"] == "system" else []
    system = [turn("system", conversation["system"])] if conversation["system"] else own
    return [*system, *conversation["few_shot"], *prompt[len(own) :]]


@dataclass
class Talk:
    """One sample of a prompt in the making."""

    prompt: Prompt
    sample: int
    opening: list[dict]
    choice: int | None
    said: list[dict] = field(default_factory=list)  # after the prompt
    tokens: int = 0
    finished: bool = False

    @property
    def asked(self) -> list[dict]:
        return self.opening + self.said

    @property
    def answers(self) -> list[str]:
        return [said["content"] for said in self.said if said["role"] == "assistant"]

    def hear(self, answer: dict) -> None:
        self.said.append(turn("assistant", answer["completion"]))
        self.tokens, self.finished = self.tokens + answer["tokens"], answer["finished"]

    def ask(self, conversation: dict) -> bool:
        """Ask what comes behind the answers so far, the prompt's own next question or a follow-up; whether one does."""
        heard, follow_ups = len(self.answers), conversation["follow_ups"]
        if self.said[-1]["role"] == "user":  # there was no room for an answer to that
            return False
        if heard <= len(self.prompt.later):
            question = self.prompt.later[heard - 1]
        elif self.finished and heard <= len(follow_ups):
            question = self.follow_up(follow_ups[heard - 1], conversation["choices"])
        else:
            return False
        self.said.append(turn("user", question))
        self.finished = False
        return True

    def follow_up(self, said: str, choices: list[dict]) -> str:
        choice = {} if self.choice is None else choices[self.choice]
        try:
            return filled(said, messages=self.prompt.turns, answers=self.answers, choice=choice)
        except Unsayable as error:
            where = f"prompt {self.prompt.number}, sample {self.sample}"
            raise Refusal(f"conversation.follow_ups: {said!r}: {where}: {error}") from None

    def row(self) -> dict[str, Any]:
        """As `completions.parquet` has it: the last answer is the completion."""
        return {
            "prompt_id": self.prompt.number,
            "sample": self.sample,
            "prompt": self.prompt.turns,
            "reference": self.prompt.reference,
            "completion": self.answers[-1],
            "tokens": self.tokens,
            "finished": self.finished,
        }

    def columns(self) -> dict[str, Any]:
        """What a row has besides, of a conversation."""
        return {"turns": self.said, "choice": self.choice}


def schema_of(conversation: dict) -> pa.Schema:
    """What the rows of `completions.parquet` hold."""
    return rows.COMPLETIONS if conversation == PLAIN else rows.CONVERSATIONS


def unfinished(cut: list[dict], count: int) -> Ledger:
    """A ledger of so many conversations, of which these did not come to their end: they stay as far as they came."""
    ledger = Ledger("conversations")
    ledger.read = count
    for row in cut:
        ledger.drop(rows.why_not_taken(row), row["prompt"], row["completion"])
    return ledger
