"""The sections of a recipe page, and the schema of each one's entries but for models."""

from posttrain.recipes import evaluations, publishing, sampling, scoring, sources
from posttrain.recipes.fields import Entry

KINDS: dict[str, tuple[type[Entry], ...]] = {
    "data": (sources.Data, scoring.SelectedData, sampling.LastAnswers),
    "completions": (sampling.Completions,),
    "scores": tuple(scoring.SCORERS.values()),
    "preferences": (sources.Preferences, scoring.SelectedPreferences, sampling.LastOverFirst),
    "evals": tuple(evaluations.KINDS.values()),
    "published": (publishing.Publication,),
}
SECTIONS = ("data", "completions", "scores", "preferences", "models", "evals", "published")


def kind_of(section: str, value: dict) -> type[Entry]:
    """The schema of an entry of a section other than models."""
    if section in ("data", "preferences"):
        mixed, selected, answered = KINDS[section]
        if "completions" in value:
            return answered
        return selected if "scores" in value or "select" in value else mixed
    if section == "scores":
        return next((kind for field, kind in scoring.SCORERS.items() if field in value), scoring.VerifiedScores)
    if section == "evals":
        said = (kind for field, kind in evaluations.KINDS.items() if field in value)
        return next(said, evaluations.AnswersEvaluation)
    return KINDS[section][0]
