"""The benchmark of rules: from a reading to the command of a rule, beside a plain subscriber of the same broker, and the engine alone.

Everything runs on loopback; every process started here is ended here by its handle.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

import owner
import paho.mqtt.client as paho
from bench import ROWS, box, row, until


def put(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="PUT")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def connected(address, name, on_message=None, topic=None):
    host, port = address.rsplit(":", 1)
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, name)
    client.on_message = on_message
    client.connect(host, int(port))
    client.loop_start()
    if topic:
        granted = threading.Event()
        client.on_subscribe = lambda *_: granted.set()
        client.subscribe(topic, 1)
        granted.wait(10)
    return client


def p99(times):
    return sorted(times)[int(len(times) * 0.99)] * 1000


def measure(rules, readings, rate):
    """Milliseconds to a plain subscriber and to the command, 99th percentiles and medians."""
    with tempfile.TemporaryDirectory() as folder, box(folder) as (_, address):
        base = f"http://{address['http']}/v1/homes/bench"
        sent, plain, told = {}, {}, []
        listener = connected(address["mqtt"], "plain", lambda *m: plain.setdefault(json.loads(m[2].payload)["n"], time.perf_counter()), "bench/sensor")
        device = connected(address["mqtt"], "device", lambda *_: told.append(time.perf_counter()), "bench/command")
        sensor = connected(address["mqtt"], "sensor")
        sensor.publish("bench/sensor", json.dumps({"n": 0, "m": 0}), 1).wait_for_publish(30)
        until(lambda: b"bench/sensor" in urllib.request.urlopen(f"{base}/latest").read())
        for n in range(rules - 1):
            put(f"{base}/rules/idle-{n}", {
                "name": f"idle {n}", "when": [{"reading": {"device": "bench/sensor", "metric": "m"}}],
                "if": f"value('bench/sensor/m') > {n + 1}.0", "then": [{"publish": {"topic": "bench/idle", "payload": n}}],
            })
        # A rule that fires more than sixty times a minute rests, so as many rules take turns.
        turns = readings // 50 + 1
        for turn in range(turns):
            put(f"{base}/rules/echo-{turn}", {
                "name": f"echo {turn}", "when": [{"change": {"device": "bench/sensor", "metric": "n"}}],
                "if": f"int(value('bench/sensor/n')) % {turns} == {turn}",
                "then": [{"publish": {"topic": "bench/command", "payload": "on"}}],
            })
        for n in range(1, readings + 1):
            sent[n] = time.perf_counter()
            sensor.publish("bench/sensor", json.dumps({"n": n, "m": 0}), 1)
            time.sleep(1 / rate)
        until(lambda: len(told) >= readings, 30)
        for client in (listener, device, sensor):
            client.loop_stop()
        # One command for each reading, in their order.
        assert len(told) == readings, len(told)
        commands = [at - sent[n] for n, at in enumerate(told, 1)]
        beside = [plain[n] - sent[n] for n in sent]
        return (statistics.median(commands) * 1000, p99(commands)), (statistics.median(beside) * 1000, p99(beside))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--load", type=pathlib.Path, help="the program that loads the engine alone")
    parser.add_argument("--readings", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=100)
    args = parser.parse_args()
    owner.become()
    for rules in (1, 500):
        (p50, high), (plain50, plain99) = measure(rules, args.readings, args.rate)
        row(f"reading to command, {rules} rules, {args.rate} readings/s, ms", f"p50 {p50:.2f}, p99 {high:.2f}",
            f"plain subscriber p50 {plain50:.2f}, p99 {plain99:.2f}", high / plain99, "p99 < 10", high < 10)
    if args.load:
        print(subprocess.run([args.load], capture_output=True, text=True, check=True).stdout)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(ROWS, indent=2))


if __name__ == "__main__":
    main()
