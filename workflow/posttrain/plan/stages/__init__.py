"""What each kind of entry is made of: its stage, inputs, files and runtime."""

from posttrain.plan.stages import evals, models, rows, samples
from posttrain.recipes import methods, sections

MAKERS = {
    sections.Data: rows.mixed,
    sections.Preferences: rows.mixed,
    sections.SelectedData: samples.selected,
    sections.SelectedPreferences: samples.selected,
    sections.Completions: samples.sampled,
    sections.Scores: samples.scored,
    **dict.fromkeys(sections.EVALUATIONS.values(), evals.evaluated),
    methods.InitModel: models.initialised,
    methods.GGUFModel: models.converted,
    methods.MergedModel: models.merged,
    methods.SoupModel: models.souped,
    methods.LinearModel: models.averaged,
    **{kind: models.trained for kind in methods.METHODS.values() if issubclass(kind, methods.TrainedModel)},
}
