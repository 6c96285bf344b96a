"""What is said around a prompt: a system turn, examples before it, and follow-ups that ask for more."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from posttrain.recipes import faults, page, template
from posttrain.recipes.fields import Entry

Said = Annotated[str, Field(pattern=r"\S")]
CRITIQUE_AND_REVISION = ["{{ choice.critique }}", "{{ choice.revision }}"]


class Turn(Entry):
    """A turn of an example."""

    role: Literal["user", "assistant"]
    content: Said


class Opening(Entry):
    """What a conversation begins with."""

    system: Said | None = Field(None, description="the system turn, in place of a prompt's own")
    few_shot: list[Turn] = Field([], description="turns before each prompt, `{role, content}`: examples of answers")

    @model_validator(mode="after")
    def takes_turns(self) -> "Opening":
        roles = [turn.role for turn in self.few_shot]
        if roles != ["user", "assistant"] * (len(roles) // 2):
            raise ValueError("few_shot takes turns: a user's, an assistant's, and so on, the last an assistant's")
        return self


class Principle(Entry):
    """What an answer is measured by, as two things to ask for."""

    critique: Said
    revision: Said


class Constitution(Opening):
    """`config/constitutions/<name>.yaml`: principles, one of which each answer is criticised and revised by."""

    principles: list[Principle] = Field(min_length=1)


class Conversation(Opening):
    """What is asked beside each prompt. The turns after it alone are kept, and the choice."""

    follow_ups: list[Said] = Field(
        [],
        description="what the user asks next, turn by turn: Jinja of `messages` (the prompt's turns), `answers` (those "
        "given so far) and `choice`",
    )
    choices: list[dict[str, Said]] = Field([], description="words for the follow-ups: each sample draws one of these")
    constitution: str | None = Field(
        None,
        description="a file of `config/constitutions/` with the opening and, as choices, principles; unless "
        "`follow_ups` says else, a critique is asked for, then a revision",
    )

    @model_validator(mode="after")
    def says_something_once(self) -> "Conversation":
        twice = [name for name in (*Opening.model_fields, "choices") if self.constitution and getattr(self, name)]
        if twice:
            raise ValueError(f"{twice[0]} is what the constitution says; leave one of the two out")
        if self.choices and not self.follow_ups:
            raise ValueError("choices are words for `follow_ups`; say those")
        if not self.model_dump(exclude_defaults=True):
            raise ValueError("says nothing; leave it out")
        return self


def resolved(conversation: Conversation, folders: list[Path]) -> dict:
    """A conversation as it is held: `system`, `few_shot`, `follow_ups` and `choices`, a constitution's among them."""
    if not conversation.constitution:
        return conversation.model_dump(exclude={"constitution"})
    read = constitution(folders, conversation.constitution)
    return {
        **read.model_dump(include=set(Opening.model_fields)),
        "follow_ups": conversation.follow_ups or CRITIQUE_AND_REVISION,
        "choices": [principle.model_dump() for principle in read.principles],
    }


def constitution(folders: list[Path], name: str) -> Constitution:
    """A constitution, refused if it is missing, there twice, or faulty."""
    return faults.checked(Constitution, page.file_of(folders, name, ".yaml"))[0]


def why_not(conversation: dict, i: int) -> str | None:
    """Why a follow-up cannot be asked; None if it can, whatever is chosen."""
    messages, answers = [{"role": "user", "content": "a prompt"}], ["an answer"] * (i + 1)
    for choice in conversation["choices"] or [{}]:
        try:
            said = template.filled(conversation["follow_ups"][i], messages=messages, answers=answers, choice=choice)
        except template.Unsayable as error:
            words = f" ({', '.join(choice)})" if choice else ""
            return f"{error}; it may read messages, answers, choice{words}"
        if not said.strip():
            return "says nothing"
    return None
