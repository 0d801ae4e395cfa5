"""Puts real clients to a box: python -m client_matrix --tcp P --tls P --ws P --wss P --http P --ca FILE

Prints a table of clients and cases, then what failed. Exits 1 when a case fails.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from .cases import Context, Ports, cases
from .programs import ALL_TRANSPORTS, Failure, programs

COLUMNS = ("QoS 0", "QoS 1", "QoS 2", "retained", "will", "session 1", "session 2", "tls", "ws", "wss")


def main() -> int:
    parser = argparse.ArgumentParser(prog="client_matrix", description="Real MQTT clients against a broker")
    for transport in ALL_TRANSPORTS:
        parser.add_argument(f"--{transport}", type=int, required=True, metavar="PORT")
    parser.add_argument("--http", type=int, required=True, metavar="PORT")
    parser.add_argument("--ca", required=True, metavar="FILE")
    parser.add_argument("--rumqttc", metavar="PROGRAM")
    parser.add_argument("--only", default="", metavar="PATTERN", help="regular expression on client names")
    parser.add_argument("--jobs", type=int, default=8, metavar="N")
    parser.add_argument("--slowest", type=int, default=0, metavar="N", help="print the N slowest cases")
    given = parser.parse_args()
    ports = Ports({transport: getattr(given, transport) for transport in ALL_TRANSPORTS}, given.ca, given.http)

    chosen = [program for program in programs(given.rumqttc) if re.search(given.only, program.name)]
    waiting = {}
    with ThreadPoolExecutor(given.jobs) as pool:
        for program in chosen:
            for version in (4, 5):
                for number, (name, case) in enumerate(cases(program)):
                    context = Context(program, version, ports, f"{program.name}-{version}-{number}")
                    waiting[program.name, version, name] = pool.submit(outcome, case, context)
    timed = {key: future.result() for key, future in waiting.items()}
    outcomes = {key: reason for key, (reason, _) in timed.items()}
    for key, (_, seconds) in sorted(timed.items(), key=lambda entry: -entry[1][1])[: given.slowest]:
        print(f"{seconds:6.2f} s {key}")

    print(f"{'':12}" + "".join(f"{column:>10}" for column in COLUMNS))
    for program in chosen:
        for version, words in ((4, "3.1.1"), (5, "5")):
            cells = (outcomes.get((program.name, version, column)) for column in COLUMNS)
            marks = ("-" if cell is None else "FAILED" if cell else "ok" for cell in cells)
            print(f"{program.name:<9} {words:<5}" + "".join(f"{mark:>10}" for mark in marks))
    failed = {key: reason for key, reason in outcomes.items() if reason}
    for (name, version, case_name), reason in failed.items():
        print(f"FAILED {name} v{version} {case_name}: {reason}")
    print(f"client matrix: {len(outcomes)} cases, {len(failed)} failed")
    return 1 if failed else 0


def outcome(case: Callable[[Context], None], context: Context) -> tuple[str, float]:
    """Why the case failed, empty when it passed; and the seconds it took."""
    started = time.monotonic()
    reason = ""
    try:
        case(context)
    except Failure as failure:
        reason = str(failure)
    finally:
        context.finish()
    return reason, time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
