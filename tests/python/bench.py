"""The benchmark of the main road: one load tool, baselines beside it in the same run, a table and JSON.

Everything runs on loopback; every process started here is ended here by its handle.
"""

import argparse
import contextlib
import gzip
import json
import os
import pathlib
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import owner

TARN = os.environ["TARN_BIN"]
BURST = 100_000
ROWS = []
# Rows without an aim are neither met nor not.
MET = {True: "yes", False: "NO", None: ""}


def row(what, ours, beside, ratio, aim, met):
    ROWS.append({"what": what, "ours": ours, "beside": beside, "ratio": ratio, "aim": aim, "met": met})
    ratio_text = "" if ratio is None else f"{ratio:.2f}"
    print(f"| {what} | {ours} | {beside} | {ratio_text} | {aim} | {MET[met]} |", flush=True)


def spread(values, digits=0):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{low:,.{digits}f} / {middle:,.{digits}f} / {high:,.{digits}f}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def process(command, **options):
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **options)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def until(check, limit=60):
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.01)
    raise TimeoutError("a condition did not come true in time")


@contextlib.contextmanager
def box(folder, *flags):
    ready = pathlib.Path(folder) / "ready.json"
    command = [TARN, "edge", "--data", f"{folder}/data", "--home", "bench", "--mqtt", "127.0.0.1:0",
               "--http", "127.0.0.1:0", "--ready-file", str(ready), *flags]
    with process(command) as child:
        until(ready.exists)
        yield child, json.loads(ready.read_text())


@contextlib.contextmanager
def mosquitto(folder):
    port = free_port()
    config = pathlib.Path(folder) / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
                      "max_queued_messages 0\nmax_inflight_messages 0\n")
    with process(["mosquitto", "-c", str(config)]) as child:
        until(lambda: listens(port))
        yield child, port


def load(address, *flags):
    command = [TARN, "simulate", "--mqtt", f"mqtt://{address}", "--profile", "load", "--json", *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return json.loads(done.stdout)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status_kib(pid, name):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def written_bytes(pid):
    lines = pathlib.Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])


def acks(core, rounds, seconds):
    for clients, in_flight in [(1, 1), (50, 1), (50, 20)]:
        ours, theirs = [], []
        for _ in range(rounds):
            flags = ["--clients", clients, "--in-flight", in_flight, "--rate", 0, "--seconds", seconds]
            with tempfile.TemporaryDirectory() as folder, box(folder) as (_, address):
                ours.append(load(address["mqtt"], *flags)["rate"])
            with tempfile.TemporaryDirectory() as folder, mosquitto(folder) as (_, port):
                theirs.append(load(f"127.0.0.1:{port}", *flags)["rate"])
        ratio_mosquitto = statistics.median(a / b for a, b in zip(ours, theirs))
        name = f"durable acks/s, {clients} × {in_flight}"
        if in_flight == 20:
            row(name, spread(ours), f"mosquitto in memory {spread(theirs)}", ratio_mosquitto, "≥ 1.5", ratio_mosquitto >= 1.5)
            continue
        bare = core["bare_append_loop_per_s"] if clients == 1 else core["bare_group_commit_50_per_s"]
        aim = 0.8 if clients == 1 else 0.7
        ratio = statistics.median(ours) / bare
        beside = f"bare loop without a network {bare:,.0f}; mosquitto in memory {spread(theirs)} (ratio {ratio_mosquitto:.2f})"
        row(name, spread(ours), beside, ratio, f"≥ {aim}", ratio >= aim)


def latency(core, rounds):
    p50s, p99s = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder, box(folder) as (_, address):
            told = load(address["mqtt"], "--clients", 10, "--rate", 1000, "--seconds", 5)
            p50s.append(told["ack_p50_us"] / 1000)
            p99s.append(told["ack_p99_us"] / 1000)
    disk = core["fdatasync_4k_ms"]
    p50, p99 = statistics.median(p50s), statistics.median(p99s)
    row("ack latency p50 at 1 000/s, ms", spread(p50s, 2), f"disk {disk['p50']:.2f}", p50 / disk["p50"],
        "≤ 2 × disk + 0.3 ms", p50 <= 2 * disk["p50"] + 0.3)
    row("ack latency p99 at 1 000/s, ms", spread(p99s, 2), f"disk {disk['p99']:.2f}", p99 / disk["p99"],
        "≤ disk + 5 ms", p99 <= disk["p99"] + 5)


def logged_rows(store):
    total = 0
    for path in pathlib.Path(store).glob("log/*/*/*.json"):
        total += sum(chunk["rows"] for chunk in json.loads(path.read_text())["adds"])
    return total


def burst(rounds):
    ours, theirs, our_cpu, their_cpu = [], [], [], []
    subscriber = pathlib.Path(__file__).with_name("bench_sqlite.py")
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            store = f"{folder}/store"
            with box(folder, "--store", f"file://{store}", "--cut-age", "1s") as (child, address):
                before, started = cpu_seconds(child.pid), time.monotonic()
                load(address["mqtt"], "--clients", 10, "--rate", 0, "--messages", BURST)
                until(lambda: logged_rows(store) >= 3 * BURST)
                ours.append(BURST / (time.monotonic() - started))
                our_cpu.append((cpu_seconds(child.pid) - before) / (3 * BURST) * 1e6)
        with tempfile.TemporaryDirectory() as folder, mosquitto(folder) as (broker, port):
            database = f"{folder}/readings.db"
            with process([sys.executable, str(subscriber), str(port), database]) as sink:
                until(lambda: os.path.exists(database + ".ready"))
                before = cpu_seconds(broker.pid) + cpu_seconds(sink.pid)
                started = time.monotonic()
                load(f"127.0.0.1:{port}", "--clients", 10, "--rate", 0, "--messages", BURST)
                connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
                until(lambda: connection.execute("select count(*) from readings").fetchone()[0] >= 3 * BURST, 120)
                theirs.append(BURST / (time.monotonic() - started))
                their_cpu.append((cpu_seconds(broker.pid) + cpu_seconds(sink.pid) - before) / (3 * BURST) * 1e6)
    ratio = statistics.median(a / b for a, b in zip(ours, theirs))
    row("publish → stored in Parquet, messages/s, burst of 100 000", spread(ours),
        f"mosquitto → paho → SQLite {spread(theirs)}", ratio, "≥ 3", ratio >= 3)
    cpu = statistics.median(our_cpu)
    row("CPU seconds per million readings (3 a message)", spread(our_cpu, 1),
        f"the same pipeline {spread(their_cpu, 1)}", cpu / statistics.median(their_cpu), "≤ 10 s", cpu <= 10)


def the_cut(core):
    runs = core["cut"]
    ours, alone = [r["cut_per_s"] for r in runs], [r["writer_alone_per_s"] for r in runs]
    ratio = statistics.median(r["ratio"] for r in runs)
    row("journal → Parquet, one thread, readings/s", spread(ours), f"the Arrow writer alone {spread(alone)}", ratio,
        "≥ 0.6 and ≥ 1 M/s", ratio >= 0.6 and statistics.median(ours) >= 1e6)


def the_devices(core):
    figures = core["devices"]
    decode = {
        "plain": ("JSON on plain topics", 300_000),
        "zigbee2mqtt": ("JSON of Zigbee2MQTT plugs", 300_000),
        "template": ("JSON under one Home Assistant template", 100_000),
        "templates_3": ("JSON under three Home Assistant templates", 100_000),
        "shelly": ("notifications of Shelly Gen 2", None),
        "sparkplug": ("Sparkplug B, three metrics by alias", None),
    }
    for name, (what, aim) in decode.items():
        ours = figures["decode_per_s"][name]
        met = None if aim is None else statistics.median(ours) >= aim
        row(f"decoding from memory, {what}, messages per CPU second", spread(ours), "", None, f"≥ {aim:,}" if aim else "", met)
    hear = {"plain": "plain topics", "bound": "a device's topics", "explored": "topics that may show more (Shelly Gen 2)"}
    for name, what in hear.items():
        row(f"following {what}, messages per CPU second", spread(figures["hear_per_s"][name]), "", None, "", None)
    learn = figures["learn_s"]
    row("learning 1,104 Home Assistant configurations of 50 devices, CPU s", spread(learn, 3), "", None, "< 2 s", statistics.median(learn) < 2)


def bytes_per_reading():
    import pyarrow.csv
    import pyarrow.parquet

    with tempfile.TemporaryDirectory() as folder:
        store = f"{folder}/store"
        with box(folder, "--store", f"file://{store}", "--cut-age", "1h") as (_, address):
            command = [TARN, "simulate", "--mqtt", f"mqtt://{address['mqtt']}", "--profile", "plain", "--clients", "8", "--rate", "0",
                       "--messages", "400000", "--speed", "2000", "--json"]
            subprocess.run(command, check=True, capture_output=True, timeout=300)
        # The stop of the box has cut and shipped everything.
        files = list(pathlib.Path(store).glob("readings/*/*/*.parquet"))
        count, size, zipped = 0, 0, 0
        for path in files:
            table = pyarrow.parquet.read_table(path, partitioning=None)
            count, size = count + table.num_rows, size + path.stat().st_size
            csv = pathlib.Path(folder) / "rows.csv"
            pyarrow.csv.write_csv(table, csv)
            zipped += len(gzip.compress(csv.read_bytes(), 6))
    ours, csv = size / count, zipped / count
    row(f"bytes per reading in Parquet, all columns ({count:,} readings, {len(files)} chunks)", f"{ours:.2f}",
        f"CSV + gzip {csv:.2f}", ours / csv, "≤ 6", ours <= 6)


def wear():
    with tempfile.TemporaryDirectory() as folder, box(folder, "--linger", "5ms") as (child, address):
        before = written_bytes(child.pid)
        told = load(address["mqtt"], "--clients", 10, "--rate", 1000, "--seconds", 10)
        per = (written_bytes(child.pid) - before) / (told["acked"] * 3)
        row("bytes written per reading at 1 000 messages/s, linger 5 ms", f"{per:,.0f}", f"{per * 3:,.0f} per message", None,
            "≤ 1 KiB", per <= 1024)


def memory():
    with tempfile.TemporaryDirectory() as folder, box(folder) as (child, address):
        time.sleep(2)
        idle = status_kib(child.pid, "VmRSS") / 1024
        anonymous = status_kib(child.pid, "RssAnon") / 1024
        load(address["mqtt"], "--clients", 20, "--rate", 10000, "--seconds", 20)
        busy = status_kib(child.pid, "VmHWM") / 1024
    with tempfile.TemporaryDirectory() as folder, mosquitto(folder) as (child, port):
        theirs = status_kib(child.pid, "VmRSS") / 1024
        load(f"127.0.0.1:{port}", "--clients", 20, "--rate", 10000, "--seconds", 5)
        their_busy = status_kib(child.pid, "VmHWM") / 1024
    row("RSS of tarn edge idle, MiB", f"{idle:.0f} ({anonymous:.0f} of it not file-backed)", f"mosquitto {theirs:.0f}", idle / theirs, "≤ 40", idle <= 40)
    row("RSS of tarn edge at 10 000 messages/s, highest, MiB", f"{busy:.0f}", f"mosquitto {their_busy:.0f}", busy / their_busy, "≤ 150", busy <= 150)


def queries(core_bench, rounds):
    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        store = f"{folder}/store"
        subprocess.run([core_bench, store, "make-lake"], check=True)
        ready = pathlib.Path(folder) / "ready.json"
        command = [TARN, "cloud", "--store", f"file://{store}", "--http", "127.0.0.1:0", "--ready-file", str(ready),
                   "--cache", f"{folder}/cache"]
        with process(command):
            until(ready.exists)
            base = f"http://{json.loads(ready.read_text())['http']}"
            until(lambda: urllib.request.urlopen(f"{base}/healthz").status == 200)
            glob = f"{store}/readings/**/*.parquet"
            sql = "select metric, count(*), avg(value) from {} group by metric order by metric"

            def ours_sql():
                body = json.dumps({"sql": sql.format("readings")}).encode()
                request = urllib.request.Request(f"{base}/v1/sql", body, {"content-type": "application/json"})
                return json.loads(urllib.request.urlopen(request).read())["rows"]

            day = "from=2026-11-22T00:00:00Z&to=2026-11-23T00:00:00Z"
            url = f"{base}/v1/homes/bench/devices/home%2Froom-3-1/readings?{day}&limit=100000"

            def ours_day():
                return json.loads(urllib.request.urlopen(url).read())["readings"]

            def theirs_day():
                where = "device = 'home/room-3-1' and ts >= '2026-11-22' and ts < '2026-11-23'"
                return duckdb.sql(f"select * from read_parquet('{glob}') where {where} order by ts").fetchall()

            def theirs_sql():
                return duckdb.sql(sql.format(f"read_parquet('{glob}')")).fetchall()

            until(lambda: sum(r[1] for r in ours_sql()) == 10_000_000)
            for name, mine, other in [("count, avg group by metric over 10 M rows, s", ours_sql, theirs_sql),
                                      ("one device over a day by REST, s", ours_day, theirs_day)]:
                a, b = [], []
                for _ in range(rounds + 1):
                    for times, ask in [(a, mine), (b, other)]:
                        started = time.monotonic()
                        found = len(ask())
                        times.append(time.monotonic() - started)
                a, b = a[1:], b[1:]
                ratio = statistics.median(x / y for x, y in zip(a, b))
                row(f"{name} ({found} rows back)", spread(a, 3), f"DuckDB {spread(b, 3)}", ratio, "≤ 1.5", ratio <= 1.5)


def start_up(core_bench):
    with tempfile.TemporaryDirectory() as folder:
        with box(folder, "--segment-size", "2GiB", "--cut-age", "1d") as (child, address):
            load(address["mqtt"], "--clients", 20, "--in-flight", 200, "--rate", 0, "--messages", 8_000_000, "--qos", 1)
            child.kill()
            child.wait()
        journal = max(pathlib.Path(f"{folder}/data/journal").glob("*.journal"))
        gib = journal.stat().st_size / 2**30
        started = time.monotonic()
        with open(journal, "rb") as file:
            while file.read(1 << 20):
                pass
        reading = time.monotonic() - started
        os.remove(f"{folder}/ready.json")
        started = time.monotonic()
        with box(folder, "--segment-size", "2GiB", "--cut-age", "1d") as (child, _):
            took = time.monotonic() - started
            child.kill()
        row(f"start with a {gib:.2f} GiB journal in one segment, s", f"{took:.2f}", f"reading it once, warm {reading:.2f}", took / reading,
            "≤ 2", took <= 2 * reading)


def main():
    owner.become()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core", required=True, help="the in-process benchmark program")
    parser.add_argument("--json", required=True, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        core = json.loads(subprocess.run([args.core, folder], check=True, capture_output=True, text=True).stdout)
    print(f"disk: fdatasync of a 4 KiB append p50 {core['fdatasync_4k_ms']['p50']:.2f} ms, p99 {core['fdatasync_4k_ms']['p99']:.2f} ms")
    for clients, in_flight in [(1, 1), (50, 1), (50, 20)]:
        command = [TARN, "simulate", "--ceiling", "--profile", "load", "--json", "--rate", "0", "--seconds", "2",
                   "--clients", str(clients), "--in-flight", str(in_flight)]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"ceiling of the load tool, {clients} × {in_flight}: {told['rate']:,.0f}/s")
    print("\n| what | ours (min / median / max) | beside | ratio | aim | met |\n|---|---|---|---|---|---|")
    parts = {
        "acks": lambda: acks(core, args.rounds, args.seconds),
        "latency": lambda: latency(core, args.rounds),
        "burst": lambda: burst(args.rounds),
        "cut": lambda: the_cut(core),
        "devices": lambda: the_devices(core),
        "bytes": bytes_per_reading,
        "wear": wear,
        "memory": memory,
        "start": lambda: start_up(args.core),
        "queries": lambda: queries(args.core, args.rounds),
    }
    for name, part in parts.items():
        if not args.only or name in args.only:
            part()
    out = pathlib.Path(args.json)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"core": core, "rows": ROWS}, indent=2, ensure_ascii=False))
    print(f"\nwritten to {out}")


if __name__ == "__main__":
    main()
