#!/usr/bin/env python3
"""A client of an S3 server that is not ours: s3_client.py everything|duckdb BUCKET, or put BUCKET KEY

The server and the keys come from the usual AWS variables. Prints one JSON document.
"""

import base64
import hashlib
import io
import json
import os
import random
import sys
import urllib.error
import urllib.request

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = os.environ["AWS_ENDPOINT_URL"]


def client(**changes):
    config = {"s3": {"addressing_style": "path"}, "retries": {"max_attempts": 0}, "signature_version": "s3v4"}
    config.update(changes.pop("config", {}))
    return boto3.client("s3", endpoint_url=ENDPOINT, config=Config(**config), **changes)


def told(work):
    """The status and the code of the error that this is answered with."""
    try:
        return ["no error", str(work())]
    except ClientError as error:
        return [error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]]


def fetched(request):
    """The same for a plain HTTP request."""
    try:
        return ["no error", urllib.request.urlopen(request).status]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode().split("<Code>")[1].split("</Code>")[0]]


def same(found, wanted):
    return "same" if found == wanted else f"{found!r} is not {wanted!r}"[:2000]


def everything(bucket):
    s3 = client()
    dice = random.Random(1)
    report = {}

    def body(key, **more):
        return s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()

    def put(key, content=b"x", **more):
        return s3.put_object(Bucket=bucket, Key=key, Body=content, **more)

    put("a/b", b"hello", ContentType="text/plain")
    report["round trip"] = same([body("a/b"), body("a/b", Range="bytes=1-2")], [b"hello", b"el"])
    content = dice.randbytes(300_000)
    put("a/stream", io.BytesIO(content), ChecksumAlgorithm="SHA256")
    report["stream with a checksum behind it"] = same(body("a/stream"), content)
    content = dice.randbytes(20 << 20)
    s3.upload_fileobj(io.BytesIO(content), bucket, "big")
    report["20 MiB in parts"] = same(hashlib.sha256(body("big")).hexdigest(), hashlib.sha256(content).hexdigest())

    odd = ["odd/ü b+%~#?&=.txt", "odd/日本", "odd/a'\"<>;,", "odd/%2e%2e", "odd/.hidden", "odd/x.-_!*()", "odd/\\"]
    for key in odd:
        put(key, key.encode())
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix="odd/")["Contents"]]
    by_bytes = sorted(odd, key=lambda key: key.encode())
    report["odd keys"] = same([listed, [body(key) for key in odd]], [by_bytes, [key.encode() for key in odd]])

    many = [f"many/{number:04}" for number in range(30)]
    for key in many:
        put(key)
    pages = []
    for name in ("list_objects_v2", "list_objects"):
        for size in (1, 7, 1000):
            paginator = s3.get_paginator(name).paginate(
                Bucket=bucket, Prefix="many/", PaginationConfig={"PageSize": size}
            )
            pages.append([entry["Key"] for page in paginator for entry in page["Contents"]])
    pages.append([e["Key"] for e in s3.list_objects_v2(Bucket=bucket, Prefix="many/", StartAfter=many[20])["Contents"]])
    report["pages"] = same(pages, [many] * 6 + [many[21:]])
    shared = []
    for name in ("list_objects_v2", "list_objects"):
        for size in (1, 2, 1000):
            paginator = s3.get_paginator(name).paginate(
                Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": size}
            )
            found = []
            for page in paginator:
                found += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
                found += [entry["Key"] for entry in page.get("Contents", [])]
            shared.append(sorted(found))
    report["common prefixes"] = same(shared, [["a/", "big", "many/", "odd/"]] * 6)

    s3.copy_object(Bucket=bucket, Key="copy/of ü", CopySource={"Bucket": bucket, "Key": odd[0]})
    report["copy"] = same(body("copy/of ü"), odd[0].encode())
    deleted = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": key} for key in [*many, "never", "../out"]]}
    )
    left = s3.list_objects_v2(Bucket=bucket, Prefix="many/")["KeyCount"]
    report["delete many"] = same(
        [len(deleted["Deleted"]), [error["Code"] for error in deleted["Errors"]], left],
        [31, ["InvalidArgument"], 0],
    )
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": odd[0]})
    report["presigned"] = same(urllib.request.urlopen(url).read(), odd[0].encode())

    wrong = client(aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key="wrong" * 5)
    report["wrong secret"] = told(lambda: wrong.list_objects_v2(Bucket=bucket))
    unknown = client(aws_access_key_id="nobody", aws_secret_access_key="wrong" * 5)
    report["unknown key"] = told(lambda: unknown.list_objects_v2(Bucket=bucket))
    anonymous = client(config={"signature_version": UNSIGNED})
    report["no key"] = told(lambda: anonymous.list_objects_v2(Bucket=bucket))
    report["no such key"] = told(lambda: body("never"))
    report["no such bucket"] = told(lambda: s3.list_objects_v2(Bucket="never"))
    report["out of the directory"] = told(lambda: put("a/../../x"))
    report["empty part"] = told(lambda: put("a//x"))
    report["below an object"] = told(lambda: put("a/b/c"))
    report["a directory"] = told(lambda: put("a"))
    report["the server's own"] = told(lambda: put(".tarn-uploads/x"))
    report["read the server's own"] = told(lambda: body(".tarn-store.lock"))
    zeros = lambda count: base64.b64encode(bytes(count)).decode()
    report["wrong MD5"] = told(lambda: put("bad", ContentMD5=zeros(16)))
    report["wrong SHA-256"] = told(lambda: put("bad", ChecksumSHA256=zeros(32)))
    report["wrong CRC-32"] = told(lambda: put("bad", ChecksumCRC32=zeros(4)))
    report["there already"] = told(lambda: put("a/b", IfNoneMatch="*"))
    report["behind the end"] = told(lambda: body("a/b", Range="bytes=100-"))
    upload = {"Bucket": bucket, "Key": "a/b", "UploadId": "never"}
    report["no such upload"] = told(lambda: s3.abort_multipart_upload(**upload))

    here = {"Bucket": bucket}
    report["metadata"] = told(lambda: put("m", Metadata={"colour": "blue"}))
    report["encryption"] = told(lambda: put("m", ServerSideEncryption="AES256"))
    report["tags of a put"] = told(lambda: put("m", Tagging="a=b"))
    report["public"] = told(lambda: put("m", ACL="public-read"))
    report["a version"] = told(lambda: body("a/b", VersionId="7"))
    report["create bucket"] = told(lambda: s3.create_bucket(Bucket="another"))
    report["delete bucket"] = told(lambda: s3.delete_bucket(**here))
    report["get tags"] = told(lambda: s3.get_object_tagging(**here, Key="a/b"))
    report["get acl"] = told(lambda: s3.get_object_acl(**here, Key="a/b"))
    report["put acl"] = told(lambda: s3.put_bucket_acl(**here, ACL="public-read"))
    report["versioning"] = told(lambda: s3.get_bucket_versioning(**here))
    report["lifecycle"] = told(lambda: s3.get_bucket_lifecycle_configuration(**here))
    report["policy"] = told(lambda: s3.get_bucket_policy(**here))
    report["list uploads"] = told(lambda: s3.list_multipart_uploads(**here))
    report["list parts"] = told(lambda: s3.list_parts(**upload))
    report["list versions"] = told(lambda: s3.list_object_versions(**here))
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    report["a form"] = fetched(urllib.request.Request(f"{ENDPOINT}/{bucket}", b"--x--", form))
    old = client(config={"signature_version": "s3"}).generate_presigned_url("get_object", Params={**here, "Key": "a/b"})
    report["an old signature"] = fetched(old)
    return report


def duckdb(bucket):
    from engines import duckdb_connection
    from lake import Store

    connection = duckdb_connection(Store(f"s3://{bucket}"))
    for home in ("a b", "c=d", "e"):
        connection.execute(
            f"COPY (SELECT number FROM range(1000000) t(number)) "
            f"TO 's3://{bucket}/readings/home={home}/date=2026-01-01/x.parquet' (FORMAT parquet)"
        )
    # Three files of the same million: the sum is thrice one.
    all_of_them = f"read_parquet('s3://{bucket}/readings/**/*.parquet', filename=true)"
    whole = connection.execute(f"SELECT count(*), CAST(sum(number) AS HUGEINT) FROM {all_of_them}").fetchone()
    some = connection.execute(
        f"SELECT split_part(split_part(filename, 'home=', 2), '/', 1) AS home, count(*) FROM {all_of_them} "
        f"WHERE number < 10 AND home <> 'e' GROUP BY home ORDER BY home"
    ).fetchall()
    return [[whole[0], int(whole[1])], [list(row) for row in some]]


def put(bucket, key):
    try:
        client().put_object(Bucket=bucket, Key=key, Body=b"x")
        return "put"
    except ClientError as error:
        return error.response["Error"]["Code"]


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    work = {"everything": everything, "duckdb": duckdb, "put": put}[what]
    print(json.dumps(work(*arguments)))
