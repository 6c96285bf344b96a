"""What a stage made of the rows it read: `ledger.json`, beside the rows of every artifact that has any."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from posttrain.files import read_json, write_json

EXAMPLES = 3  # of each reason, to look at


class Ledger:
    """How many rows were read, how many of them altered, and how many dropped, and why, with the first examples."""

    def __init__(self, of: str) -> None:
        self.of = of  # what is counted: prompts, rows of a source
        self.read = 0
        self.altered: Counter = Counter()
        self.found: Counter = Counter()  # what was counted of those that are kept
        self.dropped: dict[str, dict] = {}

    def alter(self, why: str) -> None:
        self.altered[why] += 1

    def drop(self, why: str, prompt: list[dict] | None = None, *completions: str) -> None:
        """Count a row that is left out; with its prompt, its last turn and completions are kept as an example."""
        said = self.dropped.setdefault(why, {"count": 0, "examples": []})
        said["count"] += 1
        if prompt and len(said["examples"]) < EXAMPLES:
            said["examples"].append({"prompt": prompt[-1]["content"], "completions": list(completions)})

    def add(self, other: "Ledger") -> None:
        """Count what another has counted, of rows that came after these."""
        self.read, self.altered = self.read + other.read, self.altered + other.altered
        self.found += other.found
        for why, lost in other.dropped.items():
            said = self.dropped.setdefault(why, {"count": 0, "examples": []})
            said["count"] += lost["count"]
            said["examples"] = (said["examples"] + lost["examples"])[:EXAMPLES]

    @property
    def kept(self) -> int:
        return self.read - sum(said["count"] for said in self.dropped.values())

    def losses(self) -> str:
        """`3 dropped: the two are equal`, for an error."""
        return ", ".join(f"{said['count']} dropped: {why}" for why, said in sorted(self.dropped.items()))

    @classmethod
    def of_dict(cls, said: dict) -> "Ledger":
        """The ledger that `as_dict` has written."""
        ledger = cls(said["of"])
        ledger.read, ledger.altered, ledger.dropped = said["read"], Counter(said["altered"]), said["dropped"]
        ledger.found = Counter(said.get("found", {}))
        return ledger

    def as_dict(self) -> dict:
        return {
            "of": self.of,
            "read": self.read,
            "kept": self.kept,
            "altered": dict(sorted(self.altered.items())),
            "dropped": dict(sorted(self.dropped.items())),
            **({"found": dict(sorted(self.found.items()))} if self.found else {}),
        }


def write(folder: Path, ledgers: Iterable[Ledger]) -> None:
    """Write the ledgers of an artifact's files."""
    write_json(folder / "ledger.json", {"entries": [ledger.as_dict() for ledger in ledgers]})


def read(folder: Path) -> list[Ledger]:
    """The ledgers of an artifact's files."""
    return [Ledger.of_dict(said) for said in read_json(folder / "ledger.json")["entries"]]
