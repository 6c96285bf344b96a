"""Conversations that are kept as text, in the form of Anthropic/hh-rlhf or as what is asked, and the first exchanges of
any."""

import re
from itertools import zip_longest

from posttrain.data.rows import Unsound
from posttrain.data.turns import turn
from posttrain.files import Refusal

ROLES = {"Human": "user", "Assistant": "assistant"}
# Each begins with an empty line: "\n\nHuman: …\n\nAssistant: …"
SPEAKER = re.compile(rf"\n\n({'|'.join(ROLES)}):")
COLUMNS = ("messages", "chosen", "rejected")


def with_turns(row: dict, where: str) -> dict:
    """A row whose dialogues of hh-rlhf's form are turns.

    Raises: Unsound, if one is none; Refusal, if there is no text to read.
    """
    read = {name: row[name] for name in COLUMNS if name in row}
    if not read or not all(isinstance(value, str) for value in read.values()):
        said = ", ".join(sorted(read)) or ", ".join(sorted(row))
        raise Refusal(f"{where}: format hh_rlhf reads text in {', '.join(COLUMNS)}, and there is none in {said}")
    return row | {name: turns(value) for name, value in read.items()}


def turns(text: str) -> list[dict]:
    """What the two say, by turns. Raises: Unsound, for some dialogues of hh-rlhf are not whole."""
    before, *said = SPEAKER.split(text)
    made = [turn(ROLES[who], words.strip()) for who, words in zip(said[::2], said[1::2], strict=True)]
    if before.strip() or [each["role"] for each in made] != list(ROLES.values()) * (len(made) // 2) or not made:
        raise Unsound("is no dialogue in which `Human:` and `Assistant:` take turns")
    return made


def with_questions(row: dict, where: str) -> dict:
    """A row of what the user asks, one turn after the other, with a known good answer behind each that has one.

    Raises: Refusal, if nothing is asked, or there are answers to more than that.
    """
    questions, answers = (texts(row, name, where) for name in ("questions", "answers"))
    if not questions:
        raise Refusal(f"{where}: format questions reads a column `questions`, and there is none in {', '.join(row)}")
    if len(answers) > len(questions):
        raise Refusal(f"{where}: column 'answers': are {len(answers)}, and the questions {len(questions)}")
    said = []
    for question, answer in zip_longest(questions, answers):
        said += [turn("user", question), *([turn("assistant", answer)] if answer else [])]
    return {"messages": said}


def texts(row: dict, column: str, where: str) -> list[str]:
    """A column of a text, or of a list of them; of none if it is not there."""
    said = row.get(column) or []
    if not isinstance(said, str | list):
        raise Refusal(f"{where}: column {column!r}: is neither a text nor a list of them")
    return [said] if isinstance(said, str) else said


def text(turns: list[dict]) -> str:
    """The text that is read as these turns."""
    names = {role: name for name, role in ROLES.items()}
    return "".join(f"\n\n{names[each['role']]}: {each['content']}" for each in turns)


def first(exchanges: int, row: dict, where: str) -> dict:
    """A row's conversation up to where the user speaks once more. Raises: Unsound, if nobody has answered by then."""
    if "messages" not in row:
        raise Refusal(f"{where}: `exchanges` are those of a conversation, and the row is plain `text`")
    spoken = [i for i, each in enumerate(row["messages"]) if each["role"] == "user"]
    kept = row["messages"][: spoken[exchanges]] if len(spoken) > exchanges else row["messages"]
    if kept[-1]["role"] != "assistant":
        raise Unsound("the exchanges to keep do not end in an answer")
    return row | {"messages": kept}


# By `format` of a source, how its rows are read.
FORMATS = {"hh_rlhf": with_turns, "questions": with_questions}
