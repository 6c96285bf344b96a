"""What each kind of entry is made of: its stage, inputs, files and runtime."""

from posttrain.plan.stages import evals, models, rows, samples
from posttrain.recipes import evaluations, methods, sampling, sources

MAKERS = {
    sources.Data: rows.mixed,
    sources.Preferences: rows.mixed,
    sampling.SelectedData: samples.selected,
    sampling.SelectedPreferences: samples.selected,
    sampling.LastAnswers: samples.answered,
    sampling.LastOverFirst: samples.answered,
    sampling.Completions: samples.sampled,
    sampling.Scores: samples.scored,
    **dict.fromkeys(evaluations.KINDS.values(), evals.evaluated),
    methods.InitModel: models.initialised,
    methods.GGUFModel: models.converted,
    methods.MergedModel: models.merged,
    methods.SoupModel: models.souped,
    methods.LinearModel: models.averaged,
    **{kind: models.trained for kind in methods.METHODS.values() if issubclass(kind, methods.TrainedModel)},
}
