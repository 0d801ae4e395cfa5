"""Runs cases side by side and judges them by the list of known failures."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .client import Closed, Failure
from .context import Context
from .properties import Malformed
from .registry import Case


@dataclass(frozen=True)
class Outcome:
    """How one case went; `reason` is empty when it passed."""

    case: Case
    reason: str
    seconds: float


def run(cases: Iterable[Case], address: tuple[str, int], jobs: int, strict: bool) -> list[Outcome]:
    """Every case's outcome, in the order of the cases. Slow ones start first, so that they overlap."""
    numbered = sorted(enumerate(cases), key=lambda entry: not entry[1].slow)
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [(number, pool.submit(_run, case, address, number, strict)) for number, case in numbered]
        return [outcome.result() for _, outcome in sorted(waiting, key=lambda entry: entry[0])]


def _run(case: Case, address: tuple[str, int], number: int, strict: bool) -> Outcome:
    started = time.monotonic()
    context = Context(address, case.version, number, strict)
    reason = ""
    try:
        case.run(context)
    except Failure as failure:
        reason = str(failure)
    except Closed:
        reason = "broker closed the connection"
    except Malformed as error:
        reason = f"broker sent a malformed packet: {error}"
    except OSError as error:
        reason = f"{type(error).__name__}: {error}"
    try:
        context.finish()
    except (OSError, Malformed) as error:
        reason = reason or f"broker does not accept connections any more: {error}"
    return Outcome(case, reason, time.monotonic() - started)


def read_known(path: Path) -> set[tuple[str, int]]:
    """The known failures: a line each of case id, version, and why the broker's way is accepted."""
    known = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            name, version, _why = line.split(maxsplit=2)
            known.add((name, int(version)))
    return known


def report(outcomes: list[Outcome], known: set[tuple[str, int]]) -> bool:
    """Print what failed; true when nothing failed but what is known, and all of that."""
    failed = {(outcome.case.id, outcome.case.version): outcome for outcome in outcomes if outcome.reason}
    ran = {(outcome.case.id, outcome.case.version) for outcome in outcomes}
    for key, outcome in failed.items():
        if key not in known:
            print(f"FAILED {key[0]} v{key[1]}: {outcome.reason}")
    passing = sorted(known & ran - failed.keys())
    for name, version in passing:
        print(f"PASSED {name} v{version}, though it is a known failure")
    listed = len(failed.keys() & known)
    passed = len(outcomes) - len(failed)
    print(f"conformance: {len(outcomes)} cases, {passed} passed, {len(failed)} failed ({listed} known)")
    return not passing and listed == len(failed)
