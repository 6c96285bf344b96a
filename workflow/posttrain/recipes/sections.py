"""The sections of a recipe page but for models: rows, and where they come from."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from posttrain.recipes.fields import Count, Entry, Finite, NotNegative
from posttrain.recipes.runtime import Runtime, SampleRuntime


class Source(Entry):
    """Rows from one place."""

    hub: str | None = Field(None, description="a dataset's id on the hub, pinned in config/lock.yaml")
    subset: str | None = Field(None, description="the hub dataset's configuration, if it has several")
    path: str | None = Field(None, description="a jsonl, json, parquet or csv file")
    generator: str | None = Field(None, description="a function of posttrain.data.generators")
    args: dict[str, Any] = Field({}, description="the generator's arguments")
    split: str = Field("train", description="split of the hub dataset")
    columns: list[str] | dict[str, str] | None = Field(None, description="columns to keep, or {theirs: ours}")
    skip: int = Field(0, ge=0, description="rows to leave out at the start")
    rows: Count | None = Field(None, description="rows to take after those; all if unsaid")

    @model_validator(mode="after")
    def one_place(self) -> "Source":
        said = [name for name in ("hub", "path", "generator") if getattr(self, name)]
        if len(said) != 1:
            raise ValueError(f"a source has one of hub, path, generator; this has {', '.join(said) or 'none'}")
        if self.generator and self.rows is None:
            raise ValueError("a generator has no end: say how many `rows`")
        if self.args and not self.generator:
            raise ValueError("args are a generator's")
        if isinstance(self.columns, dict) and len(set(self.columns.values())) < len(self.columns):
            raise ValueError("columns makes one column of two; name each of ours once")
        return self


class Rows(Entry):
    """Rows, as parquet splits: sources one after the other, in the order written."""

    sources: list[Source] = Field(min_length=1, description="what the train split is made of")
    test: list[Source] = Field([], description="what the test split is made of")
    runtime: Runtime = Runtime()


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
