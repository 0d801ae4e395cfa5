#!/usr/bin/env python3
"""Runs every snippet of docs/cookbook.md against a store, and holds the engines to each other.

Each fenced block of Python or SQL begins with a comment that names its engine. The blocks of one engine run
in their order and share their names, as if a reader had typed them one after the other. A Python block may leave an
`answer`, and the answer of an SQL block is its last query's. Under one heading all answers must be equal, whatever
the order of rows; times are compared as moments.

The only things that are changed in a snippet are the places and keys in `replacements`. Spark has no S3 connector here,
so it takes part where the store is a directory. SQL of the other documents that begins with `-- duckdb` is run as well.
"""

import argparse
import datetime
import math
import os
import pathlib
import re
import sys
import tempfile
import time
import traceback

from engines import duckdb_connection
from lake import Store

ROOT = pathlib.Path(__file__).resolve().parents[2]
BOOK = ROOT / "docs" / "cookbook.md"
ENGINES = ("DuckDB", "Polars", "pandas", "PyArrow", "Spark")
PLACE = "/mnt/nas/tarn"
ROWS_PRINTED_MAX = 3

FENCE = re.compile(r"^```(python|sql)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LABEL = re.compile(r"(?:#|--) *(\w+)(, on S3)?\n")


class Snippet:
    def __init__(self, file, text, match):
        self.language, self.code = match.groups()
        label = LABEL.match(self.code)
        self.engine, self.only_s3 = (label[1], bool(label[2])) if label else (None, False)
        self.line = text.count("\n", 0, match.start()) + 1
        self.where = f"{file.relative_to(ROOT)}:{self.line}"
        headings = re.findall(r"^##+ (.+)$", text[: match.start()], re.MULTILINE)
        self.heading = headings[-1] if headings else file.stem


def snippets_of(file):
    text = file.read_text(encoding="utf-8")
    return [Snippet(file, text, match) for match in FENCE.finditer(text)]


# ---- Running ------------------------------------------------------------------------------------


def replacements(store):
    """What a reader would replace by hand, in this order."""
    pairs = [(PLACE, store.root)]
    if store.is_s3:
        import duckdb_extension_httpfs

        package = pathlib.Path(duckdb_extension_httpfs.__file__).parent
        extension = next(package.glob("extensions/*/httpfs.duckdb_extension"))
        pairs += [
            # The extension comes out of its own package; nothing is downloaded.
            ("INSTALL httpfs;\n", ""),
            ("LOAD httpfs;", f"LOAD '{extension}';"),
            ("my-key", os.environ["AWS_ACCESS_KEY_ID"]),
            ("my-secret", os.environ["AWS_SECRET_ACCESS_KEY"]),
            ("us-east-1", store.region),
            ("s3.example.org", store.endpoint.netloc),
            ("USE_SSL true", f"USE_SSL {str(store.endpoint.scheme == 'https').lower()}"),
        ]
    return pairs


class Runner:
    """The engines with what their earlier snippets have left behind."""

    def __init__(self, store):
        import duckdb

        self.store = store
        self.replacements = replacements(store)
        self.database = duckdb.connect(
            config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        )
        self.names = {engine: {} for engine in ENGINES}

    def takes(self, snippet):
        if self.store.is_s3:
            return snippet.engine != "Spark"
        return not snippet.only_s3

    def run(self, snippet):
        """The answer as (columns, rows), or None where the snippet leaves none."""
        code = snippet.code
        for old, new in self.replacements:
            code = code.replace(old, new)
        if snippet.language == "sql":
            return run_sql(self.database, code)
        names = self.names[snippet.engine]
        names.pop("answer", None)
        exec(compile(code, snippet.where, "exec"), names)
        return rows_of(names["answer"]) if "answer" in names else None


def run_sql(database, code):
    import duckdb

    answer = None
    for statement in duckdb.extract_statements(code):
        result = database.execute(statement)
        if statement.type == duckdb.StatementType.SELECT:
            answer = [column[0] for column in result.description], result.fetchall()
    return answer


def in_order(snippets):
    """Bucket settings come after the views in the text, and before them when they are needed."""
    return sorted(snippets, key=lambda snippet: not snippet.only_s3)


# ---- Answers ------------------------------------------------------------------------------------


def rows_of(answer):
    if isinstance(answer, dict):
        return list(answer), list(zip(*answer.values()))
    kind = type(answer).__module__.split(".")[0]
    if kind == "polars":
        return answer.columns, answer.rows()
    if kind == "pandas":
        return list(answer.columns), list(answer.itertuples(index=False, name=None))
    if kind == "pyarrow":
        return answer.column_names, list(zip(*(column.to_pylist() for column in answer.columns)))
    if kind == "pyspark":
        return answer.columns, [tuple(row) for row in answer.collect()]
    raise TypeError(f"an answer is a table or a dictionary of columns, not {type(answer)}")


def plain(value):
    """A value without its engine: None, text, a number, or a time in UTC."""
    if value is None or value != value or str(value) in ("NaT", "<NA>"):
        return None
    if isinstance(value, datetime.datetime):
        # This process has UTC as its time zone, which is what a time without one is in.
        moment = value.astimezone(datetime.timezone.utc)
        return moment.isoformat(timespec="milliseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


def table_of(columns, rows):
    """Rows with their columns by name, in an order that does not rest on floating point numbers."""
    order = sorted(range(len(columns)), key=lambda n: columns[n])
    table = [tuple(plain(row[n]) for n in order) for row in rows]

    def key(row):
        exact = [repr(value) for value in row if not isinstance(value, float)]
        return exact, [value for value in row if isinstance(value, float)]

    return [columns[n] for n in order], sorted(table, key=key)


def is_same(one, other):
    if isinstance(one, float) and isinstance(other, (int, float)):
        # Engines add up in different orders, so the last bits differ.
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return one == other


def difference(one, other):
    """What differs between two tables, or None."""
    if one[0] != other[0]:
        return f"columns {one[0]} and {other[0]}"
    if len(one[1]) != len(other[1]):
        return f"{len(one[1])} and {len(other[1])} rows"
    for left, right in zip(one[1], other[1]):
        if not all(map(is_same, left, right)):
            return f"{left} and {right}"
    return None


# ---- The book -----------------------------------------------------------------------------------


def run_book(runner, needs_rows):
    """Runs the cookbook; the number of snippets that passed, and the faults."""
    passed, faults, answers = 0, [], {}
    for snippet in in_order(snippets_of(BOOK)):
        title = f"{snippet.heading} [{snippet.engine}]"
        if snippet.engine not in ENGINES:
            faults.append(f"{snippet.where}: the first line names no engine, which are {', '.join(ENGINES)}")
            continue
        if not runner.takes(snippet):
            print(f"skip  {title}")
            continue
        started = time.monotonic()
        try:
            answer = runner.run(snippet)
        except Exception:  # A snippet may fail in any way; all of them are told.
            faults.append(f"{snippet.where}: {title}\n{traceback.format_exc()}")
            print(f"FAIL  {title}")
            continue
        told = ""
        if answer is not None:
            table = table_of(*answer)
            told = f": {len(table[1])} rows"
            first_engine, first = answers.setdefault(snippet.heading, (snippet.engine, table))
            differs = difference(first, table)
            if not table[1] and needs_rows:
                differs = "no rows"
            elif differs:
                differs = f"{first_engine} and {snippet.engine} differ: {differs}"
            if differs:
                faults.append(f"{snippet.where}: {title}: {differs}")
                print(f"FAIL  {title}{told}")
                continue
            if first_engine == snippet.engine:
                told += f" of {', '.join(table[0])}" + "".join(f"\n        {row}" for row in table[1][:ROWS_PRINTED_MAX])
        passed += 1
        print(f"pass  {title} ({time.monotonic() - started:.1f} s){told}")
    return passed, faults


def run_others(store):
    """Runs the SQL of the other documents, each block by itself."""
    passed, faults = 0, []
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        if file == BOOK:
            continue
        for snippet in snippets_of(file):
            if snippet.language != "sql" or (snippet.engine or "").lower() != "duckdb":
                continue
            try:
                _, rows = run_sql(duckdb_connection(store), snippet.code.replace(PLACE, store.root))
            except Exception:
                faults.append(f"{snippet.where}\n{traceback.format_exc()}")
                print(f"FAIL  {snippet.where}")
                continue
            passed += 1
            print(f"pass  {snippet.where}: {len(rows)} rows")
    return passed, faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", help="a directory, file:///dir or s3://bucket/prefix (with the AWS variables)")
    parser.add_argument("--needs-rows", action="store_true", help="an answer without rows is a fault")
    args = parser.parse_args()

    os.environ["TZ"] = "UTC"
    time.tzset()
    # Spark otherwise listens on the address of this machine's name, with a page to look at.
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    settings = ("spark.ui.enabled=false", "spark.ui.showConsoleProgress=false", "spark.sql.shuffle.partitions=2")
    os.environ["PYSPARK_SUBMIT_ARGS"] = " ".join(
        ["--master local[2]", *(f"--conf {setting}" for setting in settings), "pyspark-shell"]
    )
    store = Store(args.store)
    with tempfile.TemporaryDirectory(prefix="tarn-cookbook-") as folder:
        # Snippets write files by names without a folder.
        os.chdir(folder)
        passed, faults = run_book(Runner(store), args.needs_rows)
        others, more = run_others(store)
        os.chdir(ROOT)
    faults += more
    for fault in faults:
        print(f"\n{fault}", file=sys.stderr)
    print(f"{passed + others} passed, {len(faults)} failed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
