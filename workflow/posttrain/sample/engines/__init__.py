"""What answers: an engine a library, each imported where that is installed."""

from typing import Protocol


class Engine(Protocol):
    """Opened as `Engine(folder, device)`, of a model's folder and `cpu` or `cuda`."""

    def answer(self, conversations: list[list[dict]], keys: list[int], sampling: dict) -> list[dict]:
        """The answer to each conversation that its key draws, in order: `completion`, `tokens` with its end, and
        whether it is `finished` rather than cut.
        """
