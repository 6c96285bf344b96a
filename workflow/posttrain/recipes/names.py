"""What a person may call an artifact."""

import re
from typing import Any

from posttrain.files import Refusal
from posttrain.recipes import sections

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LONGEST = 100  # what a person writes
LONGEST_POINT = 170  # a file system's 255, less `.run.json` and the host and process that a draft is named after
PART = r"[A-Za-z0-9][\w.-]*"
# org/name, or org/name@revision. `--` stands for its slashes in a file's name, which ends at 255 bytes.
HUB_ID = re.compile(rf"(?!.*(--|\.\.)|.{{151}}){PART}/{PART}(@{PART}(/{PART})*)?", re.ASCII)
ENDINGS = (".json", ".run", ".md", ".html")  # models/x.run.json is x's own record


def check_name(section: str, name: str, line: str) -> None:
    """Raises: Refusal, if an entry cannot be called so."""
    scanned = section == "published"  # its names are models', those of a scan too
    parts, longest = (re.split("[@=,+]", name), LONGEST_POINT) if scanned else ([name], LONGEST)
    if not all(map(NAME.fullmatch, parts)):
        raise Refusal(
            f"{line}: {section}.{name!r}: not a name. A name has letters, digits, '.', '_' and '-', "
            "and begins with a letter or digit"
        )
    if len(name) > longest:
        raise Refusal(
            f"{line}: {section}.{name}: a name has no more than {longest} characters, and this one {len(name)}"
        )
    if name.endswith(ENDINGS):
        raise Refusal(f"{line}: {section}.{name}: a name does not end in {', '.join(ENDINGS)}")


def check_use(name: str, item: Any, line: str) -> str:
    """What is used in a target's place, as `use:` says it; or a refusal."""
    section, _, rest = name.partition("/")
    if section not in sections.SECTIONS or section in ("evals", "published") or not rest:
        raise Refusal(f"{line}: use.{name}: say which target, as in `models/zephyr-7b-sft`")
    if not all(map(NAME.fullmatch, re.split("[@=,+]", rest))) or len(rest) > LONGEST_POINT:
        raise Refusal(f"{line}: use.{name}: {rest!r} is not a name of at most {LONGEST_POINT} characters")
    if not isinstance(item, str):
        raise Refusal(f"{line}: use.{name}: is the path of a folder, or a hub id")
    return item
