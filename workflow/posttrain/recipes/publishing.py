"""Where a model is published, and as what."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from posttrain.recipes.fields import Entry

LONGEST = 96
PART = r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9_])?"
REPO = re.compile(rf"(?!.*(--|\.\.))(?!.*\.git$){PART}/{PART}", re.ASCII)  # of huggingface_hub's validate_repo_id
# What the hub reads of the card; whether it knows a licence's name it says itself, before anything is sent.
LICENCE = r"[a-z0-9][a-z0-9.+-]{0,63}"
LANGUAGE = r"[a-z]{2,3}|code|multilingual"  # ISO 639
TAG = r"[A-Za-z0-9][\w.:/+ -]{0,63}"


def a_repo(name: str) -> str:
    if not REPO.fullmatch(name) or len(name) > LONGEST:
        raise ValueError(f"{name!r} is no repository's id: owner/name, of letters, digits, '-', '_' and '.'")
    return name


def spelt(pattern: str, why: str) -> AfterValidator:
    """A check that all of a word is of a pattern; why says what it is if it is not."""

    def check(word: str) -> str:
        if not re.fullmatch(pattern, word):
            raise ValueError(f"{word!r} is no {why}")
        return word

    return AfterValidator(check)


def a_set(path: str) -> str:
    if not path.startswith(("data/", "preferences/")):
        raise ValueError("is no set of rows: say data/name or preferences/name")
    return path


Repo = Annotated[str, AfterValidator(a_repo)]
Licence = Annotated[str, spelt(LICENCE, "licence as the hub writes it: apache-2.0, cc-by-4.0, …, or other")]
Language = Annotated[str, spelt(LANGUAGE, "language: a code of ISO 639 (en, nl, frr), `code` or `multilingual`")]
Tag = Annotated[str, spelt(TAG, "tag: letters, digits and . : / + - _, at most 64")]


class Licensed(Entry):
    """A repository and its terms."""

    repo: Repo = Field(description="the repository of the hub: owner/name")
    license: Licence | None = Field(None, description="by the hub's name for it: apache-2.0, …, other")
    license_name: str | None = Field(None, description="what `license: other` is called")
    license_link: str | None = Field(None, pattern=r"^(https://\S+|LICENSE[\w.-]*)$", description="where it stands")

    @model_validator(mode="after")
    def names_another_licence(self) -> "Licensed":
        named = bool(self.license_name), bool(self.license_link)
        if self.license == "other" and not all(named):
            raise ValueError("license other says nothing alone: give it license_name and license_link")
        if self.license != "other" and any(named):
            raise ValueError("license must be other where license_name or license_link is said")
        return self


class PublishedRows(Licensed):
    """A set of rows that is published with a model, to a repository of its own."""

    license: Licence = Field(description="by the hub's name for it; of rows none is taken for granted")


class Publication(Licensed):
    """`published/<model>`: a model's files, card, manifest and run record in a repository of the hub.

    The entry's name is the model's, of a scan one of its models'. The license of the bases holds where none is said.
    """

    private: bool = Field(True, description="whether only its owner sees it; also of what is published with it")
    language: list[Language] = Field([], description="what it speaks: [en]")
    tags: list[Tag] = Field([], description="what it is found by on the hub")
    datasets: dict[Annotated[str, AfterValidator(a_set)], PublishedRows] = Field(
        {}, description="rows to publish too: `{preferences/ours: {repo: me/ours, license: mit}}`"
    )
