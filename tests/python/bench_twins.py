"""The benchmark of twins between cloud and box: a command from REST to the device, and many homes at one replica.

Everything runs on loopback; every process started here is ended here by its handle.
"""

import argparse
import asyncio
import json
import os
import pathlib
import queue
import resource
import statistics
import struct
import subprocess
import tempfile
import time
import urllib.request

import paho.mqtt.client as paho
from bench import free_port, process
import owner

TARN = os.environ["TARN_BIN"]
CONFIG = {
    "name": "Light",
    "uniq_id": "lamp_l",
    "stat_t": "home/lamp/light",
    "cmd_t": "home/lamp/set",
    "dev": {"ids": ["lamp"], "name": "lamp"},
}


def ask(url, method="GET", document=None):
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def until(what, test, limit=60):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            found = test()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.1)
    raise SystemExit(f"waited in vain: {what}")


def commands(folder, store, environment, count):
    """Milliseconds from PATCH …/desired at the cloud to the publish at the device, sorted."""
    http, mqtt, own, box = free_port(), free_port(), free_port(), free_port()
    cloud = [TARN, "cloud", "--store", store, "--http", f"127.0.0.1:{http}", "--mqtt", f"127.0.0.1:{mqtt}"]
    edge = [TARN, "edge", "--data", str(folder / "box"), "--home", "lake", "--http", f"127.0.0.1:{box}"]
    edge += ["--mqtt", f"127.0.0.1:{own}", "--cloud", f"mqtt://127.0.0.1:{mqtt}"]
    arrived = queue.Queue()
    with process(cloud, env=environment), process(edge, env=environment):
        until("the box", lambda: ask(f"http://127.0.0.1:{box}/v1/homes/lake/boxes"))
        device = paho.Client(paho.CallbackAPIVersion.VERSION2, "lamp")
        device.on_message = lambda client, _, message: (
            arrived.put(time.perf_counter()),
            client.publish("home/lamp/light", message.payload, 1),
        )
        device.connect("127.0.0.1", own)
        device.subscribe("home/lamp/set")
        device.loop_start()
        device.publish("homeassistant/switch/lamp/config", json.dumps(CONFIG), 1, True).wait_for_publish()
        device.publish("home/lamp/light", "OFF", 1).wait_for_publish()
        base = f"http://127.0.0.1:{http}/v1/homes/lake/devices"
        id = until("the twin", lambda: next((d["device"] for d in ask(base)["devices"] if d["name"] == "lamp"), None))
        until("the state", lambda: ask(f"{base}/{id}")["twin"]["reported"])
        took = []
        for n in range(count):
            begun = time.perf_counter()
            ask(f"{base}/{id}/desired", "PATCH", {"light": n % 2 == 0})
            took.append((arrived.get(timeout=30) - begun) * 1000)
            # The next one begins when this one is over, as people do it.
            time.sleep(0.05)
        device.loop_stop()
        return sorted(took)


def text(value):
    data = value.encode()
    return struct.pack("!H", len(data)) + data


def packet(kind, body):
    length, size = b"", len(body)
    while True:
        size, low = divmod(size, 128)
        length += bytes([low | (128 if size else 0)])
        if not size:
            return bytes([kind]) + length + body


def varint(number):
    out = b""
    while True:
        number, low = number >> 7, number & 127
        out += bytes([low | (128 if number else 0)])
        if not number:
            return out


async def home(port, n):
    """One box of one home: presence with a will, its subscriptions, a greeting."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    name, edge = f"home{n}", f"{n:016x}"
    away = json.dumps({"online": False, "since": "2026-01-01T00:00:00Z", "version": "0"})
    presence = f"tarn/{name}/box/{edge}/presence"
    will = b"\x00" + text(presence) + text(away)
    connect = text("MQTT") + b"\x05\x26" + struct.pack("!H", 600) + b"\x00" + text(f"tarn-{name}-{edge}") + will
    filters = [f"tarn/{name}/sync/all", f"tarn/{name}/sync/to/{edge}", f"tarn/{name}/box/{edge}/ask"]
    subscribe = b"\x00\x01\x00" + b"".join(text(f) + b"\x01" for f in filters)
    here = text(presence) + b"\x00" + away.replace("false", "true").encode()
    body = bytes([1, 1, 0]) + bytes(16)
    greeting = text(f"tarn/{name}/sync/all") + b"\x00" + bytes([1]) + varint(n) + varint(len(body)) + body
    writer.write(packet(0x10, connect) + packet(0x82, subscribe) + packet(0x31, here) + packet(0x30, greeting))
    await writer.drain()
    await reader.readexactly(4)
    return reader, writer


def figures(pid):
    """Resident bytes and CPU seconds of a process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE"), (int(fields[11]) + int(fields[12])) / ticks


async def many(folder, count):
    """Bytes a home, and CPU seconds a second at rest, of one replica with so many homes."""
    http, mqtt = free_port(), free_port()
    cloud = [TARN, "cloud", "--store", f"file://{folder}/homes", "--http", f"127.0.0.1:{http}"]
    with process(cloud + ["--mqtt", f"127.0.0.1:{mqtt}"]) as child:
        until("the cloud", lambda: ask(f"http://127.0.0.1:{http}/v1/homes") is not None)
        before, _ = figures(child.pid)
        open_ones = []
        for first in range(0, count, 100):
            open_ones += await asyncio.gather(*(home(mqtt, n + 1) for n in range(first, min(first + 100, count))))
        metrics = lambda: urllib.request.urlopen(f"http://127.0.0.1:{http}/metrics").read().decode()
        until("all homes", lambda: f"tarn_downlink_boxes_online {count}\n" in metrics(), 120)
        await asyncio.sleep(5)
        after, busy = figures(child.pid)
        await asyncio.sleep(10)
        _, later = figures(child.pid)
        for _, writer in open_ones:
            writer.close()
        return (after - before) / count, (later - busy) / 10


def shown(name, took):
    p50, p99 = statistics.median(took), took[min(len(took) - 1, int(len(took) * 0.99))]
    print(f"| REST command → publish at the device, {name} | p50 {p50:.1f} ms, p99 {p99:.1f} ms |", flush=True)
    return {"p50_ms": p50, "p99_ms": p99}


def main():
    owner.become()
    parser = argparse.ArgumentParser()
    parser.add_argument("--commands", type=int, default=200)
    parser.add_argument("--homes", type=int, default=10_000)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found = {}
    print("| what | figure |\n|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        store = folder / "store"
        store.mkdir()
        found["directory"] = shown("store a directory", commands(folder, f"file://{store}", dict(os.environ), options.commands))
    weed = os.environ.get("TARN_WEED")
    if weed:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            found["s3"] = with_s3(weed, folder, options.commands)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "homes").mkdir()
        bytes_each, busy = asyncio.run(many(folder, options.homes))
        print(f"| {options.homes:,} homes connected | {bytes_each / 1024:.1f} KiB a home, {busy * 100:.1f} % of a core at rest |")
        found["homes"] = {"count": options.homes, "bytes_each": bytes_each, "cpu_at_rest": busy}
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=2))


def with_s3(weed, folder, count):
    keys = {"identities": [{"name": "b", "credentials": [{"accessKey": "bench", "secretKey": "bench-secret"}], "actions": ["Admin"]}]}
    (folder / "s3.json").write_text(json.dumps(keys))
    ports = [free_port() for _ in range(6)]
    flags = ["-master.port", "-volume.port", "-filer.port", "-s3.port"]
    server = [weed, "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-bucket=test"]
    server += [f"-s3.config={folder}/s3.json", "-admin.ui=false", "-webdav=false"]
    server += [f"{flag}={port}" for flag, port in zip(flags, ports)]
    environment = dict(os.environ)
    environment |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports[3]}", "AWS_ACCESS_KEY_ID": "bench"}
    environment |= {"AWS_SECRET_ACCESS_KEY": "bench-secret", "AWS_REGION": "us-east-1"}
    with process(server, env=dict(os.environ, GOMEMLIMIT="200MiB")):
        until("S3", lambda: reachable(ports[3]))
        time.sleep(3)
        return shown("store S3", commands(folder, "s3://test", environment, count))


def reachable(port):
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
    except urllib.error.HTTPError:
        return True
    return True


if __name__ == "__main__":
    main()
