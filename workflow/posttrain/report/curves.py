"""How models learned, by what their trainers wrote down on the way."""

from posttrain.files import read_json
from posttrain.report import draw
from posttrain.report.naming import name_of

# What is drawn of a training: titles, and below each the trainer's names for its lines.
TEXT = {"loss": {"": "loss"}, "tokens right": {"": "mean_token_accuracy"}}
SIDES = {
    "rewards": {"chosen": "rewards/chosen", "rejected": "rewards/rejected"},
    "margin of rewards": {"": "rewards/margins"},
    "log-probability": {"chosen": "logps/chosen", "rejected": "logps/rejected"},
}
PAIRS = {"loss": {"": "loss"}, "pairs right": {"": "rewards/accuracies"}, **SIDES}
CURVES = {
    "train_cpt": TEXT,
    "train_sft": TEXT,
    "train_reward": {
        "loss": {"": "loss"},
        "pairs right": {"": "accuracy"},
        "margin of rewards": {"": "margin"},
        "mean of rewards": {"": "mean_reward"},
    },
    "train_kto": {"loss": {"": "loss"}, **SIDES, "divergence from the base, in nats": {"": "kl"}},
    **dict.fromkeys(("train_dpo", "train_orpo", "train_cpo", "train_simpo"), PAIRS),
}


def curves(path: str, target: dict) -> dict:
    """A model's training, drawn: in training and, where that was looked at, of what is held out."""
    said = history(path)
    charts = [chart(title, lines, said) for title, lines in CURVES[target["stage"]].items()]
    return {
        "model": name_of(path, target),
        "method": target["stage"].removeprefix("train_"),
        "charts": [made for made in charts if made],
    }


def history(path: str) -> list[dict]:
    """What a model's trainer wrote down, step by step; nothing of one that was not trained."""
    return read_json(f"{path}.run.json").get("metrics", {}).get("history", [])


def logged(history: list[dict], word: str) -> list[tuple[float, float]]:
    """The steps at which a trainer wrote a word down, each with its value."""
    return [(row["step"], row[word]) for row in history if word in row]


def chart(title: str, lines: dict[str, str], history: list[dict]) -> dict | None:
    """A chart of lines by their names; None of what the trainer did not write down more than once."""
    found = {}
    for name, key in lines.items():
        for held, word in (("", key), ("held", f"eval_{key}")):
            found[name, held] = logged(history, word)
    found = {said: points for said, points in found.items() if points}
    if not any(len(points) > 1 for points in found.values()):
        return None
    drawn = draw.curve(title, *found.values())
    drawn["lines"] = [
        line | {"name": name, "held": held, "style": f"{name} {held}".strip()}
        for (name, held), line in zip(found, drawn["lines"], strict=True)
    ]
    return drawn | {"looked": any(held for _, held in found)}
