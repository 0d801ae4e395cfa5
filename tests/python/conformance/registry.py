"""The list of cases, and the decorator that puts a function on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from .codec import V5, V311
from .context import Context

CASES: list[Case] = []


@dataclass(frozen=True)
class Case:
    """One statement of one version, and the function that fails when the broker breaks it."""

    id: str
    version: int
    run: Callable[[Context], None]
    slow: bool


def case(
    both: str | None = None,
    *,
    v4: str | None = None,
    v5: str | None = None,
    each: Mapping[str, Any] | None = None,
    slow: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a case for the statement, whose number may differ between the versions.

    A statement of one version only is given as `v4` or `v5` alone. With `each` there is one case for each
    entry, whose value the function gets. `slow` cases wait for time to pass and are started first.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        for version, statement in ((V311, v4 or both), (V5, v5 or both)):
            if statement is None:
                continue
            for name, value in (each or {"": None}).items():
                run = partial(_with_value, function, value) if each else function
                # Ids have no spaces: a line of the known failures is an id, a version, and a reason.
                label = f"{statement}:{function.__name__}" + (f"[{name}]" if each else "")
                CASES.append(Case(label.replace(" ", "-"), version, run, slow))
        return function

    return register


def _with_value(function: Callable[..., None], value: Any, context: Context) -> None:
    function(context, value)
