#!/usr/bin/env python3
"""Writes a small store with PyArrow in the layout that Tarn promises, to test the readers themselves.

Message n is the reading n of one of five rooms; the acked file says that all of them were acknowledged.
--lose N leaves the last N out of the store, --repeat N stores the first N again under new sequences, and
--copy N stores the first N again under their own, so that a check can be seen to fail.
"""

import argparse
import datetime
import itertools

import pyarrow as pa
import pyarrow.parquet as pq

from lake import Store

MOMENT = pa.timestamp("ms", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("ts", MOMENT, nullable=False),
        pa.field("device", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("text", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("received", MOMENT, nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("quality", pa.int8(), nullable=False),
    ]
)
EDGE = "00c0ffee00c0ffee"
START_MS = 1_767_225_600_000
STEP_MS = 60_000
CHUNK_ROWS = 1000


def reading(number):
    """(topic, payload, row without its sequence) of one message; every fifth is a state."""
    room, ts = f"home/room-{number % 5}", START_MS + number * STEP_MS
    if number % 5 == 4:
        state = f"state-{number}"
        return f"{room}/lock", state, (ts, room, "lock", None, state, None, ts + 7, 0)
    value = number / 4
    return f"{room}/temperature", str(value), (ts, room, "temperature", value, None, "°C", ts + 7, 0)


def day_of(row):
    return datetime.datetime.fromtimestamp(row[0] / 1000, datetime.timezone.utc).strftime("%Y-%m-%d")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--acked")
    parser.add_argument("--lose", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("--copy", type=int, default=0)
    args = parser.parse_args()

    messages = [reading(number) for number in range(args.rows)]
    if args.acked:
        with open(args.acked, "w", encoding="utf-8") as file:
            file.writelines(f"{topic}\t{payload}\n" for topic, payload, _ in messages)
    numbers = [*range(args.rows - args.lose), *range(args.repeat), *range(args.copy)]
    sequences = [*range(1, len(numbers) - args.copy + 1), *range(1, args.copy + 1)]
    rows = [(*messages[number][2][:7], seq, 0) for number, seq in zip(numbers, sequences)]

    filesystem, root = Store(args.store).arrow_filesystem()
    for start in range(0, len(rows), CHUNK_ROWS):
        cut = sorted(rows[start : start + CHUNK_ROWS], key=day_of)
        first, last = min(row[7] for row in cut), max(row[7] for row in cut)
        for day, group in itertools.groupby(cut, key=day_of):
            directory = f"{root}/readings/home=test/date={day}"
            filesystem.create_dir(directory, recursive=True)
            chunk = sorted(group, key=lambda row: (row[1], row[2], row[0]))
            columns = [pa.array(column, field.type) for column, field in zip(zip(*chunk), SCHEMA)]
            # The copies of a sequence need a name of their own beside the first ones.
            name = f"{EDGE}-{start // CHUNK_ROWS}-{first:012}-{last:012}.parquet"
            table = pa.Table.from_arrays(columns, schema=SCHEMA)
            pq.write_table(table, f"{directory}/{name}", filesystem=filesystem, compression="zstd")


if __name__ == "__main__":
    main()
