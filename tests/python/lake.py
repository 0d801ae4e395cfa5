"""Opens a store of Tarn as an analyst would: with the bare Parquet readers and nothing of Tarn's own.

A store is a directory (a path or file:///path) or s3://bucket/prefix. The S3 side is taken from the
usual AWS variables, as Tarn itself does. Every engine answers the same few named queries with the
same lines of JSON, so that a test can compare the engines with each other and with the REST interface.
"""

import json
import os
import pathlib
from urllib.parse import urlparse

# <edge>-<shard>-<first>-<last>.parquet: the edge is what stands before the first dash.
FILE_GLOB = "readings/home=*/date=*/*.parquet"


class Store:
    """Where a store lies, in the words that each engine wants to hear."""

    def __init__(self, location):
        self.is_s3 = location.startswith("s3://")
        if self.is_s3:
            self.root = location.rstrip("/")
        else:
            path = urlparse(location).path if location.startswith("file://") else location
            self.root = str(pathlib.Path(path).absolute())

    @property
    def glob(self):
        return f"{self.root}/{FILE_GLOB}"

    @property
    def endpoint(self):
        url = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT")
        if not url:
            raise SystemExit("AWS_ENDPOINT_URL is not set: which S3 server is meant?")
        return urlparse(url)

    @property
    def region(self):
        return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"

    def arrow_filesystem(self):
        """A PyArrow filesystem, and the root as it names it."""
        from pyarrow import fs

        if not self.is_s3:
            return fs.LocalFileSystem(), self.root
        server = self.endpoint
        filesystem = fs.S3FileSystem(
            endpoint_override=server.netloc,
            scheme=server.scheme,
            region=self.region,
            access_key=os.environ["AWS_ACCESS_KEY_ID"],
            secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        )
        return filesystem, self.root.removeprefix("s3://")


def edge_of(file_name):
    """The box that wrote a chunk, from the chunk's name."""
    return file_name.rsplit("/", 1)[-1].split("-", 1)[0]


def milliseconds(moment):
    """Milliseconds since 1970 of an aware datetime, without going through a float."""
    import datetime

    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (moment - epoch) // datetime.timedelta(milliseconds=1)


def rounded(number):
    """Nine significant digits: engines add up in different orders, so the last bits differ."""
    return None if number is None else float(f"{number:.9g}")


def lines(query, rows):
    """Formats the tuples of a query, so that equal answers are equal text."""
    if query == "count":
        yield {"rows": rows[0][0]}
    elif query == "by_metric":
        for metric, count, low, high, mean in sorted(rows):
            yield {"metric": metric, "count": count, "min": low, "max": high, "avg": rounded(mean)}
    elif query == "rows":
        for ts, device, metric, value, text, seq in sorted(rows, key=lambda r: (r[0], r[1], r[2], r[5])):
            yield {"ts": ts, "device": device, "metric": metric, "value": value, "text": text, "seq": seq}
    elif query == "whole_rows":
        names = ("ts", "device", "metric", "value", "text", "seq", "unit", "quality")
        for row in sorted(rows, key=lambda r: (r[0], r[1], r[2], r[5])):
            yield dict(zip(names, row))
    elif query == "duplicates":
        for edge, seq, metric, copies in sorted(rows):
            yield {"edge": edge, "seq": seq, "metric": metric, "copies": copies}


def printed(query, rows):
    return "\n".join(json.dumps(line, ensure_ascii=False) for line in lines(query, rows))
