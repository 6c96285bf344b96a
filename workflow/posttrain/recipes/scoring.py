"""What completions are worth, and the rows that are chosen by it."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from posttrain.recipes.fields import Count, Entry, Finite, NotNegative, Positive
from posttrain.recipes.runtime import Reader, ReadRuntime, Runtime
from posttrain.recipes.sampling import SampledOnce


class OwnFunction(Entry):
    """A function of one's own: its file is all that it is made of, and nothing beside it is imported."""

    file: str = Field(description="the Python file, its path as of a source of rows; its text is what the scores are")
    function: str = Field(description="its function: of `completion` and, if it names them, `reference` and `prompt`")


class Verifying(Entry):
    """How answers are verified."""

    verifier: str | OwnFunction = Field(description="a function of posttrain.score.verifiers, or one of one's own")
    args: dict[str, Any] = Field({}, description="the verifier's arguments")
    time_limit: Positive = Field(10, description="seconds that a verifier may take for one completion")


class Scores(Reader):
    """`scores/<name>`: a score for each completion, by one scorer."""

    runtime: ReadRuntime = ReadRuntime()

    @model_validator(mode="before")
    @classmethod
    def one_scorer(cls, said: Any) -> Any:
        if isinstance(said, dict) and sum(scorer in said for scorer in SCORERS) != 1:
            raise ValueError(f"a scorer is one of {', '.join(SCORERS)}")
        return said


class VerifiedScores(Scores, Verifying):
    """By a function that knows whether a completion is right."""

    completions: str = Field(description="what is scored: a name under completions:")
    on_error: Literal["refuse", "drop"] = Field(
        "refuse", description="what a verifier that fails or takes too long leaves: no scores, or none for that one"
    )


class RewardedScores(Scores):
    """By a reward model."""

    completions: str = Field(description="what is scored: a name under completions:")
    reward_model: str = Field(description="a model of method reward, or a hub id of one")
    max_length: Count = Field(1024, description="tokens of prompt and completion that a reward model may be given")


OF_MODE = {"pointwise": {"lowest", "highest"}, "pairwise": {"challenges"}}  # what a judge reads in one mode alone


class Scale(Entry):
    """What a judge rates by."""

    lowest: Finite = Field(1, description="the lowest rating; another is no verdict")
    highest: Finite = Field(10, description="the highest rating")

    @model_validator(mode="after")
    def rises(self) -> Self:
        if self.lowest >= self.highest:
            raise ValueError(f"lowest {self.lowest:g} is not below highest {self.highest:g}")
        return self


class JudgedScores(Scores, Scale):
    """By a model that is asked for a verdict: a rating of each completion, or which of two is better."""

    completions: str = Field(description="what is scored: a name under completions:")
    judge: str = Field(description="the model that is asked: a target's name or a hub id")
    rubric: str = Field(description="what it is asked: `config/judges/<rubric>.jinja`")
    mode: Literal["pointwise", "pairwise"] = Field(
        "pointwise", description="`Rating: [[7]]` of each, or `Verdict: [[A]]`, `[[B]]` or `[[tie]]` of pairs"
    )
    challenges: Count = Field(
        1, description="pairs that each completion begins with others of its prompt, on a drawn ring"
    )
    sampling: SampledOnce = Field(SampledOnce(), description="how the judge is asked")

    @model_validator(mode="after")
    def reads_what_is_said(self) -> "JudgedScores":
        for mode, fields in OF_MODE.items():
            if mode != self.mode and (unread := sorted(fields & self.model_fields_set)):
                raise ValueError(f"{unread[0]} is read in mode {mode} alone; leave it out")
        return self


class CombinedScores(Scores):
    """By other scores of the same completions: their sum by weight."""

    combine: dict[str, Finite] = Field(min_length=1, description="names under scores:, and the weight of each")


# Of each, the field that no other has.
SCORERS = {
    "verifier": VerifiedScores,
    "reward_model": RewardedScores,
    "judge": JudgedScores,
    "combine": CombinedScores,
}


class Selection(Entry):
    """Which completions are chosen, by their scores."""

    scores: str = Field(description="the scored completions: a name under scores:")
    length_penalty: NotNegative = Field(
        0, description="taken off a score for each token of its completion, before all else"
    )
    min_score: Finite | None = Field(None, description="what a chosen completion must have; any if unsaid")
    runtime: Runtime = Runtime()


class SelectedData(Selection):
    """`data/<name>` of sampled completions: the best of each prompt, all that are good enough, or the best of all."""

    select: Literal["best_of_n", "threshold", "top_k"]
    k: Count | None = Field(None, description="how many top_k keeps, of all prompts together")
    max_per_prompt: Count | None = Field(None, description="how many of a prompt threshold and top_k keep at most")

    @model_validator(mode="after")
    def what_is_missing(self) -> "SelectedData":
        if (self.k is None) == (self.select == "top_k"):
            raise ValueError(
                "k is missing: how many top_k keeps" if self.k is None else f"k is no field of {self.select}"
            )
        if self.select == "threshold" and self.min_score is None:
            raise ValueError("min_score is missing: what threshold asks of a completion")
        if self.select == "best_of_n" and self.max_per_prompt is not None:
            raise ValueError("max_per_prompt is 1 by best_of_n; leave it out")
        return self


class SelectedPreferences(Selection):
    """`preferences/<name>` of sampled completions: of each prompt the best against one that is worth less."""

    select: Literal["best_vs_worst", "best_vs_random", "best_vs_second"]
    min_margin: NotNegative = Field(0, description="by how much the best must beat the other; ties never do")
    max_chars: Count | None = Field(
        None, description="characters by whose end two answers must differ; tokens are cut and compared by the training"
    )
    seed: int = Field(0, ge=0, lt=1 << 32, description="seed of best_vs_random's draw, with the prompt's row")
