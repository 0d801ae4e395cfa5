"""Checks a broker on a port: python -m conformance --port P [--only PATTERN] [--version 4|5]

Prints a line for each case that failed, and a summary. Exits 1 when a case fails that is not a known
failure, or when a known failure passes. --strict also insists on what the standard only recommends: that
an MQTT 5 client which broke the protocol is told so in a DISCONNECT.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import re
import sys
from pathlib import Path

from .registry import CASES
from .runner import read_known, report, run


def load_cases() -> None:
    """Import every module of cases; importing one registers what is in it."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("cases_"):
            importlib.import_module(f"{__package__}.{module.name}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="conformance", description="MQTT conformance suite")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--only", default="", metavar="PATTERN", help="regular expression on case ids")
    parser.add_argument("--version", type=int, choices=(4, 5), help="4 is MQTT 3.1.1")
    parser.add_argument("--known-failures", type=Path, metavar="FILE")
    parser.add_argument("--jobs", type=int, default=8, metavar="N")
    parser.add_argument("--strict", action="store_true", help="insist on reasons that are recommended")
    parser.add_argument("--slowest", type=int, default=0, metavar="N", help="print the N slowest cases")
    given = parser.parse_args()

    load_cases()
    chosen = [
        case for case in CASES if re.search(given.only, case.id) and given.version in (None, case.version)
    ]
    known = read_known(given.known_failures) if given.known_failures else set()
    outcomes = run(chosen, (given.host, given.port), given.jobs, given.strict)
    for outcome in sorted(outcomes, key=lambda outcome: -outcome.seconds)[: given.slowest]:
        print(f"{outcome.seconds:6.2f} s {outcome.case.id} v{outcome.case.version}")
    return 0 if report(outcomes, known) else 1


if __name__ == "__main__":
    sys.exit(main())
