#!/usr/bin/env python3
"""Reads a store with one engine: read_lake.py duckdb|pyarrow|polars STORE count|by_metric|rows|whole_rows|duplicates

Prints lines of JSON, the same ones whichever engine read them.
"""

import argparse
import sys

import engines
from lake import Store, printed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=sorted(engines.ENGINES))
    parser.add_argument("store", help="a directory, file:///directory or s3://bucket/prefix")
    parser.add_argument("query", choices=engines.QUERIES)
    args = parser.parse_args()
    text = printed(args.query, engines.ENGINES[args.engine](Store(args.store), args.query))
    if text:
        sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
