"""The benchmark of stores: what a box has shipped per second beside plain puts of the same files to the same server, and
how fast a store is checked beside reading its bytes.

Everything runs on loopback; every process started here is ended here by its handle.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import boto3
from bench import TARN, box, free_port, load, process, until
import owner

# As many as a box puts at a time.
PUTS_AT_ONCE = 4


def server(folder):
    """An S3 server, its command and the variables that lead to it."""
    keys = {"identities": [{"name": "b", "credentials": [{"accessKey": "bench", "secretKey": "bench-secret"}], "actions": ["Admin"]}]}
    (folder / "s3.json").write_text(json.dumps(keys))
    flags = ["-master.port", "-volume.port", "-filer.port", "-s3.port"]
    ports = [free_port() for _ in flags]
    command = [os.environ["TARN_WEED"], "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-bucket=test"]
    command += [f"-s3.config={folder}/s3.json", "-admin.ui=false", "-webdav=false"]
    command += [f"{flag}={port}" for flag, port in zip(flags, ports)]
    environment = dict(os.environ)
    environment |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports[3]}", "AWS_ACCESS_KEY_ID": "bench"}
    environment |= {"AWS_SECRET_ACCESS_KEY": "bench-secret", "AWS_REGION": "us-east-1"}
    return command, ports[3], environment


def answers(port):
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def metric(ready, name):
    text = urllib.request.urlopen(f"http://{ready['http']}/metrics", timeout=10).read().decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


def files_of(folder):
    return sorted(p for p in (folder / "data" / "lake").rglob("*") if p.is_file())


def shipped(folder, environment, round_):
    """Seconds until all that lies in the box is in a store that is new."""
    os.environ.update({key: environment[key] for key in environment if key.startswith("AWS_")})
    (folder / "ready.json").unlink(missing_ok=True)
    started = time.monotonic()
    with box(folder, "--store", f"s3://test/ship-{round_}") as (_, ready):
        total = sum(1 for path in files_of(folder) if path.suffix == ".json")
        until(lambda: metric(ready, "tarn_ship_entries_total") >= total, 300)
        return time.monotonic() - started


def plain(folder, environment, round_):
    """Seconds for plain puts of the same files, each with its SHA-256, as many at a time."""
    client = boto3.client("s3", endpoint_url=environment["AWS_ENDPOINT_URL"], region_name="us-east-1",
                          aws_access_key_id="bench", aws_secret_access_key="bench-secret")

    def put(path):
        body = path.read_bytes()
        client.put_object(Bucket="test", Key=f"plain-{round_}/{path.relative_to(folder)}", Body=body,
                          ChecksumAlgorithm="SHA256")

    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(PUTS_AT_ONCE) as pool:
        list(pool.map(put, files_of(folder)))
    return time.monotonic() - started


def main():
    owner.become()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with box(folder, "--segment-size", "16MiB") as (_, ready):
            load(ready["mqtt"], "--clients", 20, "--messages", options.messages, "--rate", 0)
        lake = folder / "data" / "lake"
        size = sum(path.stat().st_size for path in files_of(folder))
        ratios, ours, theirs = [], [], []
        (folder / "s3").mkdir()
        command, port, environment = server(folder / "s3")
        with process(command, env=dict(os.environ, GOMEMLIMIT="200MiB")):
            until(lambda: answers(port))
            time.sleep(3)
            for round_ in range(options.rounds):
                theirs.append(plain(folder, environment, round_))
                (folder / "data" / "shipped.json").unlink(missing_ok=True)
                (folder / "data" / "stores.json").unlink(missing_ok=True)
                ours.append(shipped(folder, environment, round_))
                ratios.append(theirs[-1] / ours[-1])
        checks, reads = [], []
        for _ in range(options.rounds):
            started = time.monotonic()
            for path in lake.rglob("*.parquet"):
                hashlib.sha256(path.read_bytes())
            reads.append(time.monotonic() - started)
            started = time.monotonic()
            subprocess.run([TARN, "verify", "--store", f"file://{lake}", "--json"], check=True, stdout=subprocess.DEVNULL)
            checks.append(time.monotonic() - started)
    mib = size / (1 << 20)
    middle = statistics.median
    print("| what | Tarn | beside | ratio |\n|---|---|---|---|")
    print(f"| ship {mib:.0f} MiB to S3, start of the box included, MiB/s | {mib / middle(ours):.1f} | plain puts {mib / middle(theirs):.1f} | {middle(ratios):.2f} |")
    print(f"| check a store, MiB/s | {mib / middle(checks):.1f} | read and SHA-256 {mib / middle(reads):.1f} | {middle(reads) / middle(checks):.2f} |")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"mib": mib, "ship_s": ours, "plain_s": theirs, "check_s": checks, "read_s": reads}, indent=2))


if __name__ == "__main__":
    main()
