"""States as rows of small numbers."""

from collections.abc import Hashable
from typing import Any, NamedTuple

State = tuple[int, ...]  # numbers of the voters' columns, of the nodes' clients, and of the past


class Step(NamedTuple):
    """What happened, where, what it leads to, and the promise that it breaks."""

    text: str
    voter: int | None
    state: State
    broken: str = ""


class Numbers:
    """Gives each distinct value a number, so that states are small and quickly compared."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[Hashable, int] = {}

    def __call__(self, value: Hashable) -> int:
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number
