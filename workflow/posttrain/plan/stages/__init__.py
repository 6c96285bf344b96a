"""What each kind of entry is made of: its stage, inputs, files and runtime."""

from posttrain.plan.stages import benchmarks, evals, models, rows, samples, scores
from posttrain.recipes import evaluations, methods, sampling, scoring, sources

MAKERS = {
    sources.Data: rows.mixed,
    sources.Preferences: rows.mixed,
    scoring.SelectedData: scores.selected,
    scoring.SelectedPreferences: scores.selected,
    sampling.LastAnswers: samples.answered,
    sampling.LastOverFirst: samples.answered,
    sampling.Completions: samples.sampled,
    scoring.VerifiedScores: scores.verified,
    scoring.RewardedScores: scores.rewarded,
    scoring.JudgedScores: scores.judged,
    scoring.CombinedScores: scores.combined,
    **dict.fromkeys(evaluations.KINDS.values(), evals.evaluated),
    evaluations.TasksEvaluation: benchmarks.benchmarked,
    methods.InitModel: models.initialised,
    methods.GGUFModel: models.converted,
    methods.MergedModel: models.merged,
    methods.SoupModel: models.souped,
    methods.LinearModel: models.averaged,
    **{kind: models.trained for kind in methods.METHODS.values() if issubclass(kind, methods.TrainedModel)},
}
