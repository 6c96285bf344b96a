"""The sections of a recipe page but for models: rows, and where they come from."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from posttrain.recipes.fields import Count, Entry, Finite, NotNegative
from posttrain.recipes.runtime import Runtime, SampleRuntime

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
    target: str | None = Field(None, description="another target: data/<name> or preferences/<name>")
    generator: str | None = Field(None, description="a function of posttrain.data.generators")
    args: dict[str, Any] = Field({}, description="the generator's arguments")
    split: Word = Field("train", description="split of a hub dataset, a saved one or a target")
    columns: list[str] | dict[str, str] | None = Field(None, description="columns to keep, or {theirs: ours}")
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
    its rows, `lengths`, `deduplicate`, `decontaminate`, and the shuffle. `ledger.json` counts what each left out.
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


class Sampling(Entry):
    """How completions are drawn. All of it is what they are, `block_size` too: other shapes sum in another order."""

    n: Count = Field(1, description="completions of each prompt")
    temperature: NotNegative = Field(1, description="0 takes the likeliest token")
    top_k: int = Field(0, ge=0, description="the likeliest tokens to draw from; 0 for all")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(1, description="the likeliest tokens that make up this share")
    max_new_tokens: Count = Field(256, description="tokens after which a completion is cut")
    seed: int = Field(
        0,
        ge=0,
        lt=1 << 32,
        description="seed of every draw, with the prompt's row and the sample's number: give another round another",
    )
    block_size: Annotated[int, Field(gt=1)] = Field(64, description="sequences that are generated side by side")

    @model_validator(mode="after")
    def worth_drawing(self) -> "Sampling":
        if self.temperature == 0 and self.n > 1:
            raise ValueError(f"n {self.n} at temperature 0 is {self.n} times the same completion; say n: 1")
        return self


class Completions(Entry):
    """`completions/<name>`: sampled answers to each prompt of a data set (its turns before the last answer)."""

    model: str = Field(description="the model that answers: a target's name or a hub id")
    prompts: str = Field(description="the rows: a name under data:")
    split: Literal["train", "test"] = Field("train", description="which split of them")
    sampling: Sampling = Sampling()
    runtime: SampleRuntime = SampleRuntime()


class Scores(Entry):
    """`scores/<name>`: a score for each completion."""

    completions: str = Field(description="what is scored: a name under completions:")
    reward_model: str | None = Field(None, description="a model of method reward, or a hub id of one")
    verifier: str | None = Field(None, description="a function of posttrain.score.verifiers")
    args: dict[str, Any] = Field({}, description="the verifier's arguments")
    max_length: Count = Field(1024, description="tokens of prompt and completion that a reward model may be given")
    runtime: SampleRuntime = SampleRuntime()

    @model_validator(mode="after")
    def one_scorer(self) -> "Scores":
        if bool(self.reward_model) == bool(self.verifier):
            raise ValueError("a scorer is one of reward_model, verifier")
        if self.args and not self.verifier:
            raise ValueError("args are a verifier's")
        return self


class SelectedData(Entry):
    """`data/<name>` of sampled completions: of each prompt the best."""

    scores: str = Field(description="the scored completions: a name under scores:")
    select: Literal["best_of_n"]
    min_score: Finite | None = Field(None, description="what the best must have; any if unsaid")
    runtime: Runtime = Runtime()


class SelectedPreferences(Entry):
    """`preferences/<name>` of sampled completions: of each prompt the best against the worst."""

    scores: str = Field(description="the scored completions: a name under scores:")
    select: Literal["best_vs_worst"]
    min_score: Finite | None = Field(None, description="what the best must have; any if unsaid")
    min_margin: NotNegative = Field(0, description="by how much the best must beat the worst; ties never do")
    runtime: Runtime = Runtime()


class Evaluation(Entry):
    """`evals/<model>/<name>`: figures of each of some models, on a split that none was trained on."""

    models: list[str] = Field(min_length=1, description="the models: names of targets or hub ids")
    split: Literal["train", "test"] = Field("test", description="which split of the rows")
    runtime: SampleRuntime = SampleRuntime()


class AnswersEvaluation(Evaluation):
    """How many answers are right: greedily, sampled, and of n samples the best (pass@k, arXiv 2107.03374)."""

    prompts: str = Field(description="the rows: a name under data:")
    verifier: str = Field(description="a function of posttrain.score.verifiers; 1 is right")
    args: dict[str, Any] = Field({}, description="the verifier's arguments")
    sampling: Sampling = Sampling()


class PairsEvaluation(Evaluation):
    """How often a reward model prefers the chosen answer."""

    pairs: str = Field(description="the rows: a name under preferences:")
    max_length: Count = Field(1024, description="tokens of prompt and answer that the model may be given")


class TextEvaluation(Evaluation):
    """How many bits a model needs for a byte of text."""

    text: str = Field(description="the rows: a name under data:")
    max_length: Count = Field(1024, description="tokens of a text that the model sees at once")


EVALUATIONS = {"prompts": AnswersEvaluation, "pairs": PairsEvaluation, "text": TextEvaluation}
KINDS: dict[str, tuple[type[Entry], ...]] = {
    "data": (Data, SelectedData),
    "completions": (Completions,),
    "scores": (Scores,),
    "preferences": (Preferences, SelectedPreferences),
    "evals": tuple(EVALUATIONS.values()),
}
SECTIONS = ("data", "completions", "scores", "preferences", "models", "evals")


def kind_of(section: str, value: dict) -> type[Entry]:
    """The schema of an entry of a section other than models."""
    if section in ("data", "preferences"):
        mixed, selected = KINDS[section]
        return selected if "scores" in value or "select" in value else mixed
    if section == "evals":
        return next((kind for field, kind in EVALUATIONS.items() if field in value), AnswersEvaluation)
    return KINDS[section][0]
