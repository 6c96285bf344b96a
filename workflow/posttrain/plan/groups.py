"""Which targets one SLURM job makes together: light ones that wait for the same heavy ones."""

import functools

from posttrain.files import digest

LIGHT = ("mix_data", "mix_preferences", "make_tokenizer", "tokenize_rows", "init_model", "gather_completions")
LIGHT += ("gather_answers", "select_data", "select_preferences", "select_answers", "select_revisions")
LIGHT += ("score_completions",)
READ = ("completions", "scores.")  # the inputs of scores; any other is a model that is asked
CROWD = 32  # targets of one group that wait for the same one of it: more are better made on several nodes


class Groups:
    """The groups of a plan's targets.

    None waits for itself, near or far: what is made of a heavy target that is made of a group's member awaits more than
    the group does. And what a crowd waits for is of another group than the crowd, with all that it waits for itself.
    """

    def __init__(self, targets: dict[str, dict]) -> None:
        self.targets = targets
        self.awaited = functools.cache(self.find_awaited)
        self.crowding = functools.cache(self.find_crowding)
        self.waiting: dict[str, list[str]] = {}
        for path in targets:
            for made in waits_for(targets, path):
                self.waiting.setdefault(made, []).append(path)

    def of(self, path: str) -> str | None:
        """The group of a target; None of a heavy one, which has a job to itself."""
        if not light(self.targets[path]):
            return None
        return digest([sorted(self.awaited(path)), len(self.crowding(path)) > CROWD])

    def find_awaited(self, path: str) -> frozenset[str]:
        """The heavy targets that one waits for, near and far; but for those that wait for nothing, as a download does,
        and so for no group either.
        """
        made_of = waits_for(self.targets, path)
        heavy = {made for made in made_of if not light(self.targets[made]) and waits_for(self.targets, made)}
        return frozenset(heavy).union(*map(self.awaited, made_of))

    def find_crowding(self, path: str) -> frozenset[str]:
        """The light targets that wait for one and for the same heavy ones as it does."""
        near = [
            user
            for user in self.waiting.get(path, [])
            if light(self.targets[user]) and self.awaited(user) == self.awaited(path)
        ]
        return frozenset(near).union(*map(self.crowding, near))


def light(target: dict) -> bool:
    """Whether a target wants a CPU for a while: no GPU, and no model to ask."""
    asks = target["rule"] == "score_completions" and any(not role.startswith(READ) for role in target["inputs"])
    return target["rule"] in LIGHT and not asks and not target["runtime"].get("gpus")


def waits_for(targets: dict[str, dict], path: str) -> set[str]:
    """The targets that must stand before one is made, or restored."""
    target = targets[path]
    if target["rule"] == "restore":
        return {target["twin"]} if target["twin"] else set()
    return set(target["inputs"].values())
