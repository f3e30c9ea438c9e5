"""States as tuples of small numbers."""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

State = tuple[int, ...]  # numbers of the voters' columns, and of the context: all nodes and the past


class Step(NamedTuple):
    """One event: its text, its voter, the state that it leads to, and the promise that it breaks."""

    text: str
    voter: int | None
    state: State
    broken: str = ""


class Numbers:
    """Numbering of distinct values, so that states are small and quick to compare."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[Hashable, int] = {}

    def __call__(self, value: Hashable) -> int:
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number


class Memo(dict[Any, Any]):
    """The results of a function of one argument, each computed once."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._work = work

    def __missing__(self, argument: Any) -> Any:
        result = self[argument] = self._work(argument)
        return result
