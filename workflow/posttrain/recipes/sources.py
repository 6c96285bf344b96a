"""Rows that are read or made, not sampled: where they come from, and what is left out of them."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from posttrain.recipes.fields import Count, Entry
from posttrain.recipes.runtime import Runtime

PLACES = ("hub", "path", "target", "generator")
Scalar = str | int | float | bool
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]  # a folder of that name may be made
FILES = r"^[\w*][\w.*-]*(/[\w*][\w.*-]*)*$"  # of a repository: nothing above it, and no address


class Source(Entry):
    """Rows from one place."""

    hub: str | None = Field(None, description="a dataset's id on the hub, pinned in config/lock.yaml")
    subset: Word | None = Field(None, description="the hub dataset's configuration, if it has several")
    files: Annotated[str, Field(pattern=FILES)] | None = Field(
        None, description="a pattern of the hub dataset's files that hold the split; as its own card says if unsaid"
    )
    path: str | None = Field(None, description="a jsonl, json, parquet or csv file, or a folder of save_to_disk")
    target: str | None = Field(None, description="another target: `data/<name>` or `preferences/<name>`")
    generator: str | None = Field(None, description="a function of posttrain.data.generators")
    args: dict[str, Any] = Field({}, description="the generator's arguments")
    split: Word = Field("train", description="split of a hub dataset, a saved one or a target")
    columns: list[str] | dict[str, str] | None = Field(None, description="columns to keep, or {theirs: ours}")
    format: Literal["hh_rlhf", "questions"] | None = Field(
        None,
        description="how text in place of turns is read: `hh_rlhf` is a dialogue of `Human:` and `Assistant:`; "
        "`questions` is a column of what the user asks (a text, or a list: turn by turn), beside which `answers` are "
        "known good ones",
    )
    exchanges: Count | None = Field(
        None, description="exchanges to keep of a conversation, the first: of the user and the assistant; all if unsaid"
    )
    where: dict[str, Scalar | list[Scalar]] | None = Field(
        None, description="only rows of which these columns have this value, or one of these"
    )
    skip: int = Field(0, ge=0, description="rows to leave out at the start")
    rows: Count | None = Field(None, description="rows to take after those; all if unsaid")
    weight: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="share of the rows to take, in place of `rows`: of n the whole part of weight × n"
    )

    @model_validator(mode="after")
    def one_place(self) -> "Source":
        said = [name for name in PLACES if getattr(self, name)]
        if len(said) != 1:
            raise ValueError(f"a source has one of {', '.join(PLACES)}; this has {', '.join(said) or 'none'}")
        if self.generator and self.rows is None:
            raise ValueError("a generator has no end: say how many `rows`")
        if self.args and not self.generator:
            raise ValueError("args are a generator's")
        if self.files and (not self.hub or self.subset):
            raise ValueError("files are a pattern of paths in a `hub` dataset, without a `subset`")
        if self.rows and self.weight:
            raise ValueError("weight is a share of the rows and `rows` a number of them; say one of the two")
        if isinstance(self.columns, dict) and len(set(self.columns.values())) < len(self.columns):
            raise ValueError("columns makes one column of two; name each of ours once")
        return self


class Lengths(Entry):
    """How long a row may be: characters of all that is said in it."""

    min_chars: Count = Field(1, description="characters that a row has at least")
    max_chars: Count | None = Field(None, description="characters that it has at most")

    @model_validator(mode="after")
    def leaves_some(self) -> "Lengths":
        if self.max_chars is not None and self.max_chars < self.min_chars:
            raise ValueError(f"max_chars {self.max_chars} is less than min_chars {self.min_chars}")
        return self


class Decontamination(Entry):
    """Rows that hold a run of words of a benchmark are left out (GPT-3's appendix C, arXiv 2005.14165)."""

    against: list[str] = Field(min_length=1, description="the benchmarks: names under data:, all splits of them")
    ngram: Count = Field(
        13, description="words in a row, case and punctuation aside, that two texts share by no chance"
    )


class Rows(Entry):
    """Rows, as parquet splits: sources one after the other, in the order written.

    What is declared beside them is done in this order: each source's `where`, the rows that it takes, the checks of
    its rows, `lengths`, `decontaminate`, `deduplicate`, and the shuffle. `ledger.json` counts what each left out.
    """

    sources: list[Source] = Field(min_length=1, description="what the train split is made of")
    test: list[Source] = Field([], description="what the test split is made of")
    take: Literal["first", "shuffled"] = Field(
        "first", description="which rows `rows` and `weight` take of a source: the first, or the first once shuffled"
    )
    seed: int | None = Field(
        None, ge=0, lt=1 << 32, description="seed of the shuffle of the whole set; in the order of sources if unsaid"
    )
    lengths: Lengths | None = Field(None, description="leave out rows that are too short or too long")
    deduplicate: Literal["rows", "prompts"] | None = Field(
        None, description="leave out rows that are equal to an earlier one or to one of `test`, or whose prompts are"
    )
    decontaminate: Decontamination | None = Field(None, description="leave out rows that hold text of benchmarks")
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def shuffles_by_a_seed(self) -> "Rows":
        if self.take == "shuffled" and self.seed is None:
            raise ValueError("take shuffled wants a `seed`")
        return self

    @model_validator(mode="after")
    def holds_out_what_it_tests_on(self) -> "Rows":
        for tested in self.test:
            for i, source in enumerate(self.sources):
                if overlap(source, tested):
                    raise ValueError(
                        f"sources {i + 1} of {len(self.sources)} has rows of `test`: a model is not tested on what it "
                        "was trained on; name another split, or part the two with `skip` and `rows`"
                    )
        return self


def overlap(one: Source, other: Source) -> bool:
    """Whether two sources may have a row in common: of one place and split, numbers of rows that are not apart.

    What `where` leaves of a split may be anywhere in it, and so may a share.
    """
    if [place_of(one), one.split] != [place_of(other), other.split]:
        return False
    if one.where and other.where and apart(one.where, other.where):
        return False
    if one.where != other.where or one.weight or other.weight:
        return True
    first, last = sorted((one, other), key=lambda source: source.skip)
    return first.rows is None or first.skip + first.rows > last.skip


def place_of(source: Source) -> list:
    """Where a source's rows are, whatever the revision of a repository."""
    hub = source.hub and source.hub.partition("@")[0]
    return [hub, source.subset, source.files, source.path, source.target, source.generator, source.args]


def apart(one: dict, other: dict) -> bool:
    """Whether no row can be let through by both."""
    mine, theirs = ({name: listed(said) for name, said in where.items()} for where in (one, other))
    return any(name in theirs and not any(value in theirs[name] for value in mine[name]) for name in mine)


def listed(said: Any) -> list:
    return said if isinstance(said, list) else [said]


class Data(Rows):
    """`data/<name>`: conversations (`messages`), or plain `text`."""


class Preferences(Rows):
    """`preferences/<name>`: chosen and rejected answers to a prompt, or single completions with a `label`."""

    @model_validator(mode="after")
    def keeps_whole_answers(self) -> "Preferences":
        for part in ("sources", "test"):
            for source in getattr(self, part):
                if source.exchanges:
                    raise ValueError(f"{part} have no `exchanges`: those are kept of conversations, under data:")
        return self
