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
    history = read_json(f"{path}.run.json").get("metrics", {}).get("history", [])
    charts = [chart(title, lines, history) for title, lines in CURVES[target["stage"]].items()]
    return {
        "model": name_of(path, target),
        "method": target["stage"].removeprefix("train_"),
        "charts": [made for made in charts if made],
    }


def chart(title: str, lines: dict[str, str], history: list[dict]) -> dict | None:
    """A chart of lines by their names; None of what the trainer did not write down more than once."""
    found = {}
    for name, key in lines.items():
        for held, logged in (("", key), ("held", f"eval_{key}")):
            found[name, held] = [(row["step"], row[logged]) for row in history if logged in row]
    found = {said: points for said, points in found.items() if points}
    if not any(len(points) > 1 for points in found.values()):
        return None
    drawn = draw.curve(title, *found.values())
    drawn["lines"] = [
        line | {"name": name, "held": held, "style": f"{name} {held}".strip()}
        for (name, held), line in zip(found, drawn["lines"], strict=True)
    ]
    return drawn | {"looked": any(held for _, held in found)}
