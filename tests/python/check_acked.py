#!/usr/bin/env python3
"""Checks that what was acknowledged was stored, and once: check_acked.py STORE ACKED_FILE…

An acked file has one line, topic<TAB>payload, for each message whose ack came. For every reading that
those messages hold, the store must have as many rows as there were messages: fewer means that an
acknowledged reading is lost, more means that one is stored twice. Rows with an equal (edge, seq, metric)
count as stored twice, too, whoever published them. Prints a report as JSON; exits 1 if anything is wrong.

Clients whose last acks were still on their way when they ended have published more than their files say:
--unacked N tells how many readings that may have been. --allow-redelivered reports a reading that came
twice under different sequences, which MQTT permits at QoS 1, without failing for it.

A box that was full may have dropped readings and told them as gaps under `events/`. With --gaps exactly what is
missing must be told there: of each device and metric as many readings as there are missing, and none of them
may be stored within the time of a gap that says that all went.

Topics are read as plain ones, so a simulator has to run with `--profile plain` or `load`: what the devices of
the other profiles say becomes other devices and metrics.
"""

import argparse
import json
import re
import sys
from collections import Counter

import engines
from lake import Store

# A scalar payload is a number, perhaps with a unit behind it, as in `21.5 °C`.
NUMBER = re.compile(r"\s*([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(?:[^\d\s].{0,15})?$")
EXAMPLES = 20


def readings(topic, payload):
    """(device, metric, value) of each number in a message, by the mapping of plain topics."""
    try:
        document = json.loads(payload)
    except ValueError:
        document = None
    if payload.startswith("base64:"):
        raise SystemExit(f"{topic}: binary; this script reads runs of the profiles plain and load")
    if isinstance(document, dict):
        yield from leaves(topic, "", document)
        return
    device, _, metric = topic.rpartition("/")
    number = NUMBER.match(payload)
    if number and not isinstance(document, (bool, list)):
        yield device, metric, float(number.group(1))
    elif payload:
        # What a word becomes (`on` may be 1, `locked` a text) is not this script's question: that
        # there is one row for each such message is.
        yield device, metric, None


def leaves(device, path, document):
    for key, leaf in document.items():
        metric = f"{path}.{key}" if path else key
        if isinstance(leaf, dict):
            yield from leaves(device, metric, leaf)
        elif isinstance(leaf, (bool, int, float)):
            yield device, metric, float(leaf)


def acked_readings(files):
    """How often each reading was acknowledged, and the number of messages."""
    wanted, messages = Counter(), 0
    for name in files:
        with open(name, encoding="utf-8") as file:
            for line in file:
                topic, tab, payload = line.rstrip("\n").partition("\t")
                if not tab:
                    raise SystemExit(f"{name}: not topic<TAB>payload: {line!r}")
                messages += 1
                wanted.update(readings(topic, payload))
    return wanted, messages


def stored_readings(store, wanted):
    """How often each reading is stored, under the keys that are asked for, and the number of rows."""
    unvalued = {(device, metric) for device, metric, value in wanted if value is None}
    stored, rows = Counter(), 0
    table = engines.pyarrow_table(store, ["device", "metric", "value"])
    if table is None:
        return stored, rows
    for batch in table.to_batches():
        rows += len(batch)
        columns = [batch.column(name).to_pylist() for name in ("device", "metric", "value")]
        for device, metric, value in zip(*columns):
            if (device, metric) in unvalued and (device, metric, value) not in wanted:
                value = None
            stored[device, metric, value] += 1
    return stored, rows


def differences(wanted, stored):
    """(missing, surplus): readings stored less often and more often than acknowledged."""
    missing, surplus = [], []
    known = {(device, metric) for device, metric, _ in wanted}
    for key in wanted.keys() | stored.keys():
        if key[:2] not in known:
            continue
        short = wanted[key] - stored[key]
        if short > 0:
            missing.append((*key, short))
        elif short < 0:
            surplus.append((*key, -short))
    return missing, surplus


def untold(store, missing):
    """Holds what is missing against what the gaps tell: how much they tell, by tier, and what is wrong."""
    short, told, tiers, reasons, wrong = Counter(), Counter(), Counter(), Counter(), []
    for device, metric, _, count in missing:
        short[device, metric] += count
    gaps = engines.pyarrow_gaps(store)
    for gap in gaps:
        if gap["device"] is None or gap["rows"] is None:
            wrong.append(f"a gap of what nobody knows: {gap}")
            continue
        told[gap["device"], gap["metric"]] += gap["rows"]
        tiers[gap["tier"]] += gap["rows"]
        reasons[gap["reason"]] += gap["rows"]
    for series in short.keys() | told.keys():
        if short[series] != told[series]:
            wrong.append(f"{series}: {short[series]} are missing, {told[series]} are told")
    whole = [gap for gap in gaps if gap["reason"] == "evicted"]
    wrong += [f"{gap} has readings" for gap in engines.pyarrow_within(store, whole)]
    return {"told": sum(told.values()), "tiers": tiers, "reasons": reasons, "rows": len(gaps), "wrong": wrong[:EXAMPLES]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", help="a directory, file:///directory or s3://bucket/prefix")
    parser.add_argument("acked", nargs="+", help="files of lines topic<TAB>payload")
    parser.add_argument("--unacked", type=int, default=0, metavar="N", help="surplus readings to accept")
    parser.add_argument("--allow-redelivered", action="store_true")
    parser.add_argument("--gaps", action="store_true", help="what is missing must be told as gaps, exactly")
    args = parser.parse_args()

    store = Store(args.store)
    wanted, messages = acked_readings(args.acked)
    stored, rows = stored_readings(store, wanted)
    missing, surplus = differences(wanted, stored)
    repeated = engines.pyarrow_rows(store, "duplicates")
    surplus_readings = sum(row[3] for row in surplus)
    gaps = untold(store, missing) if args.gaps else None
    lost = gaps["wrong"] if args.gaps else missing
    wrong = bool(lost or repeated) or (surplus_readings > args.unacked and not args.allow_redelivered)
    report = {
        "ok": not wrong,
        "acked_messages": messages,
        "acked_readings": sum(wanted.values()),
        "stored_rows": rows,
        "missing": sum(row[3] for row in missing),
        "stored_more_often_than_acked": surplus_readings,
        "same_edge_seq_metric": len(repeated),
        "gaps": gaps,
        "examples": {
            "missing": sorted(missing, key=str)[:EXAMPLES],
            "stored_more_often_than_acked": sorted(surplus, key=str)[:EXAMPLES],
            "same_edge_seq_metric": sorted(repeated)[:EXAMPLES],
        },
    }
    print(json.dumps(report, ensure_ascii=False, indent=2))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
