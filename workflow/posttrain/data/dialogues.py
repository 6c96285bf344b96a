"""Conversations that are kept as text, in the form of Anthropic/hh-rlhf, and the first exchanges of any."""

import re

from posttrain.data.rows import Unsound
from posttrain.data.turns import turn
from posttrain.files import Refusal

ROLES = {"Human": "user", "Assistant": "assistant"}
# Each begins with an empty line: "\n\nHuman: …\n\nAssistant: …"
SPEAKER = re.compile(rf"\n\n({'|'.join(ROLES)}):")
COLUMNS = ("messages", "chosen", "rejected")


def with_turns(row: dict, where: str) -> dict:
    """A row whose dialogues are turns. Raises: Unsound, if one is none; Refusal, if there is no text to read."""
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
