"""The benchmark of the REST interface: latest readings, a year of a device, listeners, and requests a second beside a bare handler.

Everything runs on loopback; every process started here is ended here by its handle.
"""

import argparse
import asyncio
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import tempfile
import time
import urllib.request

import paho.mqtt.client as paho
from bench import TARN, ROWS, box, free_port, listens, process, row, spread, until
import owner

BARE = os.environ["TARN_BARE_HTTP"]
METRICS = {"temperature": 21.5, "humidity": 40, "battery": 93, "linkquality": 120, "power": 3.25}
DEVICES = 200
YEAR_DAYS, YEAR_ROWS = 365, 30_000_000


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def wrk(url, token, connections, seconds):
    """Requests a second, and the 99th percentile of latency in milliseconds."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {token}", url]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in told:
        raise SystemExit(told)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1])
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", told).groups()
    return rate, float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def publish_home(address):
    host, port = address.rsplit(":", 1)
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "house")
    client.connect(host, int(port))
    client.loop_start()
    sent = [client.publish(f"house/device-{n:03}", json.dumps(METRICS), 1) for _ in range(3) for n in range(DEVICES)]
    for message in sent:
        message.wait_for_publish(30)
    return client


def home(token, rounds, seconds):
    with tempfile.TemporaryDirectory() as folder, box(folder, "--cut-age", "2s") as (_, address):
        client = publish_home(address["mqtt"])
        base = f"http://{address['http']}/v1/homes/bench"
        until(lambda: len(json.loads(get(f"{base}/devices"))["devices"]) == DEVICES)
        latest = f"{base}/latest"
        assert len(json.loads(get(latest))["latest"]) == DEVICES * len(METRICS)
        p99s = [wrk(latest, token, 1, seconds)[1] for _ in range(rounds)]
        p99 = statistics.median(p99s)
        row(f"latest of all for {DEVICES} devices, p99, ms", spread(p99s, 2), "", None, "< 5", p99 < 5)
        body = pathlib.Path(folder) / "body.json"
        body.write_bytes(get(f"{base}/devices"))
        port = free_port()
        ours, theirs = [], []
        with process([BARE, str(body), "--http", f"127.0.0.1:{port}"]):
            until(lambda: listens(port))
            for _ in range(rounds):
                ours.append(wrk(f"{base}/devices", token, 16, seconds)[0])
                theirs.append(wrk(f"http://127.0.0.1:{port}/", token, 16, seconds)[0])
        ratio = statistics.median(a / b for a, b in zip(ours, theirs))
        size = f"{body.stat().st_size / 1024:.0f} KiB"
        row(f"GET …/devices, requests/s ({size})", spread(ours), f"bare poem {spread(theirs)}", ratio, "≥ 0.5", ratio >= 0.5)
        client.loop_stop()


def year(core, rounds):
    with tempfile.TemporaryDirectory() as folder:
        store = f"{folder}/store"
        subprocess.run([core, store, "make-lake", str(YEAR_DAYS), str(YEAR_ROWS // YEAR_DAYS // 4)], check=True)
        ready = pathlib.Path(folder) / "ready.json"
        command = [TARN, "cloud", "--store", f"file://{store}", "--http", "127.0.0.1:0", "--ready-file", str(ready)]
        with process(command + ["--cache", f"{folder}/cache"]):
            until(ready.exists)
            base = f"http://{json.loads(ready.read_text())['http']}/v1/homes/bench/devices/home%2Froom-3-1/readings"
            window = "from=2000-01-01&to=2100-01-01&every=1h&limit=100000"
            for what, more in [("one metric", "&metric=temperature"), ("all five", "")]:
                times = []
                for _ in range(rounds * 20 + 1):
                    started = time.perf_counter()
                    body = get(f"{base}?{window}{more}")
                    times.append((time.perf_counter() - started) * 1000)
                found = len(json.loads(body)["readings"])
                times = sorted(times[1:])
                p99 = times[int(len(times) * 0.99)]
                shown = f"p50 {statistics.median(times):.0f}, p99 {p99:.0f}"
                row(f"a device's year at every=1h of {YEAR_ROWS / 1e6:.0f} M rows, {what} ({found} rows, {len(body) / 1e6:.1f} MB back), warm, to the last byte, ms", shown, "", None,
                    "< 150", p99 < 150)


# What stands between two chunks of HTTP.
CHUNK = re.compile(rb"\r\n[0-9A-Fa-f]+\r\n")


class Listener(asyncio.Protocol):
    """A connection that notes when each reading arrives."""

    def __init__(self, request, heard):
        self.request, self.heard, self.rest = request, heard, b""

    def connection_made(self, transport):
        transport.write(self.request)

    def data_received(self, data):
        now = time.perf_counter()
        # A chunk of HTTP may end within a line.
        *lines, self.rest = CHUNK.sub(b"", self.rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: {") and b'"tick"' in line:
                self.heard.append((now, json.loads(line[6:])["value"]))


async def listen(address, mqtt, token, count, ticks):
    request = f"GET /v1/homes/bench/live?kind=reading HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    heard, host, port = [], *address.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: Listener(request, heard), host, int(port)) for _ in range(count)]
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "ticker")
    broker, broker_port = mqtt.rsplit(":", 1)
    client.connect(broker, int(broker_port))
    client.loop_start()
    await asyncio.sleep(2)
    sent = {}
    for n in range(ticks):
        sent[n] = time.perf_counter()
        client.publish("house/clock", json.dumps({"tick": n}), 1)
        await asyncio.sleep(0.5)
    await asyncio.sleep(2)
    client.loop_stop()
    for transport, _ in opened:
        transport.close()
    return sorted((at - sent[int(value)]) * 1000 for at, value in heard if int(value) in sent)


def listeners(token, count, ticks):
    with tempfile.TemporaryDirectory() as folder, box(folder) as (_, address):
        took = asyncio.run(listen(address["http"], address["mqtt"], token, count, ticks))
        if len(took) < count * ticks:
            raise SystemExit(f"{len(took)} of {count * ticks} events arrived")
        shown = f"p50 {took[len(took) // 2]:.1f}, p99 {took[int(len(took) * 0.99)]:.1f}"
        row(f"publish → event at {count:,} listeners (all in one Python process), ms", shown, "", None, "", None)


def main():
    token = owner.become()
    parser = argparse.ArgumentParser()
    parser.add_argument("--core", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--listeners", type=int, default=1000)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print("| what | Tarn | beside it | ratio | aim | met |\n|---|---|---|---|---|---|")
    home(token, options.rounds, options.seconds)
    listeners(token, options.listeners, 20)
    year(options.core, options.rounds)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(ROWS, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
