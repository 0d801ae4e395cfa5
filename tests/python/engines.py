"""The named queries of `lake.py`, once for each engine, each as its users would write them."""

import os
import pathlib

from lake import edge_of, milliseconds

QUERIES = ("count", "by_metric", "rows", "whole_rows", "duplicates")


# ---- DuckDB -------------------------------------------------------------------------------------

DUCKDB = {
    "count": "SELECT count(*) FROM lake",
    "by_metric": "SELECT metric, count(value), min(value), max(value), avg(value) FROM lake GROUP BY metric",
    "rows": "SELECT epoch_ms(ts), device, metric, value, text, seq FROM lake",
    "whole_rows": "SELECT epoch_ms(ts), device, metric, value, text, seq, unit, quality FROM lake",
    "duplicates": """
        SELECT split_part(parse_filename(filename), '-', 1) AS edge, seq, metric, count(*)
        FROM lake GROUP BY ALL HAVING count(*) > 1""",
}


def duckdb_connection(store):
    """A connection that never tries to download an extension: httpfs comes out of its own package."""
    import duckdb

    connection = duckdb.connect(
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    )
    if store.is_s3:
        import duckdb_extension_httpfs

        package = pathlib.Path(duckdb_extension_httpfs.__file__).parent
        extension = next(package.glob("extensions/*/httpfs.duckdb_extension"))
        connection.execute(f"LOAD '{extension}'")
        server = store.endpoint
        # A secret's options take no parameters, so the values are quoted by hand.
        options = {
            "KEY_ID": os.environ["AWS_ACCESS_KEY_ID"],
            "SECRET": os.environ["AWS_SECRET_ACCESS_KEY"],
            "REGION": store.region,
            "ENDPOINT": server.netloc,
            "URL_STYLE": "path",
        }
        quoted = ", ".join(f"{name} '{value.replace(chr(39), chr(39) * 2)}'" for name, value in options.items())
        use_ssl = "true" if server.scheme == "https" else "false"
        connection.execute(f"CREATE SECRET (TYPE s3, {quoted}, USE_SSL {use_ssl})")
    return connection


def duckdb_rows(store, query):
    import duckdb

    connection = duckdb_connection(store)
    try:
        lake = connection.read_parquet(
            store.glob, filename=True, hive_partitioning=True, union_by_name=True
        )
    except duckdb.IOException as error:
        if "No files found" not in str(error):
            raise
        return [(0,)] if query == "count" else []
    connection.register("lake", lake)
    return connection.execute(DUCKDB[query]).fetchall()


# ---- PyArrow ------------------------------------------------------------------------------------


def pyarrow_files(store, prefix="readings"):
    """(filesystem, paths) of every chunk; a store that nobody has written to has none."""
    from pyarrow import fs

    filesystem, root = store.arrow_filesystem()
    selector = fs.FileSelector(f"{root}/{prefix}", recursive=True, allow_not_found=True)
    paths = [info.path for info in filesystem.get_file_info(selector) if info.path.endswith(".parquet")]
    return filesystem, sorted(paths)


def pyarrow_table(store, columns):
    """All chunks as one table with the column `edge`, or None where there are none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    filesystem, paths = pyarrow_files(store)
    tables = []
    for path in paths:
        chunk = pq.ParquetFile(filesystem.open_input_file(path)).read(columns=columns)
        edges = pa.array([edge_of(path)] * len(chunk), pa.string())
        tables.append(chunk.append_column("edge", edges))
    return pa.concat_tables(tables, promote_options="permissive") if tables else None


def pyarrow_gaps(store):
    """The gaps that a store tells, as dictionaries with the columns of events."""
    import pyarrow.parquet as pq

    filesystem, paths = pyarrow_files(store, "events")
    events = []
    for path in paths:
        events += pq.ParquetFile(filesystem.open_input_file(path)).read().to_pylist()
    return [event for event in events if event["kind"] == "gap"]


def pyarrow_within(store, gaps):
    """Those of these gaps that have a reading of their device, metric, tier and box within their time."""
    table = pyarrow_table(store, ["ts", "device", "metric", "text"])
    stored = {}
    for row in table.to_pylist() if table is not None else []:
        stored.setdefault((row["edge"], row["device"], row["metric"]), []).append((row["ts"], row["text"]))

    def has_readings(gap):
        rows = stored.get((gap["edge"], gap["device"], gap["metric"]), [])
        of_tier = {"telemetry": lambda text: text is None, "state": lambda text: text is not None}
        is_of = of_tier.get(gap["tier"], lambda text: True)
        return any(gap["ts"] <= ts <= gap["until"] and is_of(text) for ts, text in rows)

    return [gap for gap in gaps if has_readings(gap)]


def pyarrow_rows(store, query):
    import pyarrow.dataset as ds

    filesystem, paths = pyarrow_files(store)
    if not paths:
        return [(0,)] if query == "count" else []
    lake = ds.dataset(paths, filesystem=filesystem, format="parquet")
    if query == "count":
        return [(lake.count_rows(),)]
    if query == "by_metric":
        # As plainly as an analyst would: this fails if names come back as dictionaries that differ
        # from chunk to chunk, which PyArrow cannot group by.
        table = lake.to_table(columns=["metric", "value"])
        wanted = [("value", how) for how in ("count", "min", "max", "mean")]
        grouped = table.group_by("metric").aggregate(wanted)
        names = ["metric", "value_count", "value_min", "value_max", "value_mean"]
        return list(zip(*(grouped[name].to_pylist() for name in names)))
    own = ["device", "metric", "value", "text", "seq"]
    if query == "whole_rows":
        own += ["unit", "quality"]
    table = pyarrow_table(store, ["ts", *own])
    if query == "duplicates":
        grouped = table.group_by(["edge", "seq", "metric"]).aggregate([([], "count_all")])
        names = ["edge", "seq", "metric", "count_all"]
        return [row for row in zip(*(grouped[name].to_pylist() for name in names)) if row[3] > 1]
    columns = [table[name].to_pylist() for name in own]
    ts = [milliseconds(moment) for moment in table["ts"].to_pylist()]
    return list(zip(ts, *columns))


# ---- Polars -------------------------------------------------------------------------------------


def polars_rows(store, query):
    import polars as pl

    options = None
    if store.is_s3:
        server = store.endpoint
        options = {
            "aws_endpoint_url": server.geturl(),
            "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
            "aws_region": store.region,
            "aws_allow_http": "true",
        }
    # Polars refuses a glob that matches nothing, so an empty store is found by listing it.
    if not pyarrow_files(store)[1]:
        return [(0,)] if query == "count" else []
    lake = pl.scan_parquet(
        store.glob, hive_partitioning=True, include_file_paths="file", storage_options=options
    )
    names = lake.with_columns(pl.col("device", "metric").cast(pl.String))
    if query == "count":
        return lake.select(pl.len()).collect().rows()
    if query == "by_metric":
        value = pl.col("value")
        wanted = [value.count().alias("count"), value.min().alias("min"), value.max().alias("max"), value.mean()]
        return names.group_by("metric").agg(wanted).collect().rows()
    if query == "duplicates":
        edge = pl.col("file").str.split("/").list.last().str.split("-").list.first().alias("edge")
        grouped = names.with_columns(edge).group_by(["edge", "seq", "metric"]).agg(pl.len().alias("copies"))
        return grouped.filter(pl.col("copies") > 1).collect().rows()
    ts = pl.col("ts").dt.epoch("ms")
    own = ["device", "metric", "value", "text", "seq"]
    if query == "whole_rows":
        names = names.with_columns(pl.col("unit").cast(pl.String))
        own += ["unit", "quality"]
    return names.select(ts, *own).collect().rows()


ENGINES = {"duckdb": duckdb_rows, "pyarrow": pyarrow_rows, "polars": polars_rows}
