"""The benchmark of the broker, beside mosquitto: one load tool, both brokers in every round, a table and JSON.

Ours acks what is on disk; mosquitto acks from memory, unless a row says otherwise. Everything runs on
loopback; every process started here is ended here by its handle.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import bench

LOAD = os.environ["TARN_MQTT_LOAD"]
IDLE = 10_000


@dataclass(frozen=True)
class Broker:
    """A running broker: its process and where it listens."""

    pid: int
    address: str
    tls_address: str


@dataclass(frozen=True)
class Certificates:
    """Files for TLS, made by openssl."""

    ca: str
    certificate: str
    key: str


@dataclass(frozen=True)
class Row:
    """One measurement of the table; `aim` is the smallest ratio wanted, if any."""

    what: str
    ours: str
    mosquitto: str
    ratio: float
    aim: str
    met: bool | None


def make_certificates(folder: str) -> Certificates:
    made = Certificates(f"{folder}/ca.pem", f"{folder}/cert.pem", f"{folder}/key.pem")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9"]
    quiet = {"check": True, "capture_output": True}
    subprocess.run([*new, "-keyout", f"{folder}/ca.key", "-out", made.ca, "-subj", "/CN=authority"], **quiet)
    signed = ["-CA", made.ca, "-CAkey", f"{folder}/ca.key", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run([*new, "-keyout", made.key, "-out", made.certificate, *signed, *names], **quiet)
    return made


@contextlib.contextmanager
def ours(certificates: Certificates, *flags: str) -> Iterator[Broker]:
    tls = ["--mqtts", "127.0.0.1:0", "--tls-cert", certificates.certificate, "--tls-key", certificates.key]
    with tempfile.TemporaryDirectory() as folder, bench.box(folder, *tls, *flags) as (child, address):
        yield Broker(child.pid, address["mqtt"], address["mqtts"])


@contextlib.contextmanager
def mosquitto(certificates: Certificates, *settings: str) -> Iterator[Broker]:
    with tempfile.TemporaryDirectory() as folder:
        port, tls_port = bench.free_port(), bench.free_port()
        config = pathlib.Path(folder) / "mosquitto.conf"
        lines = [
            "per_listener_settings false", "allow_anonymous true", "user root", "max_queued_messages 0",
            "max_inflight_messages 0", f"persistence_location {folder}/", *settings,
            f"listener {port} 127.0.0.1", f"listener {tls_port} 127.0.0.1",
            f"certfile {certificates.certificate}", f"keyfile {certificates.key}",
        ]
        config.write_text("\n".join(lines) + "\n")
        with bench.process(["mosquitto", "-c", str(config)]) as child:
            bench.until(lambda: bench.listens(port) and bench.listens(tls_port))
            yield Broker(child.pid, f"127.0.0.1:{port}", f"127.0.0.1:{tls_port}")


def load(broker: Broker, *arguments: object, ca: str | None = None) -> dict:
    command = [LOAD, "--broker", broker.tls_address if ca else broker.address]
    command += ["--ca", ca] if ca else []
    done = subprocess.run(
        [*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True, timeout=300, check=True
    )
    return json.loads(done.stdout)


class Bench:
    """What the rows share: certificates, the number of rounds, and the rows so far."""

    def __init__(self, certificates: Certificates, rounds: int, scale: float) -> None:
        self.certificates = certificates
        self.rounds = rounds
        self.scale = scale
        self.rows: list[Row] = []

    def count(self, messages: int) -> int:
        return int(messages * self.scale)

    def both(
        self, measure: Callable[[Broker], dict], flags: tuple[str, ...] = (), settings: tuple[str, ...] = ()
    ) -> tuple[list[dict], list[dict]]:
        """The measurement on both brokers, fresh in every round."""
        mine, theirs = [], []
        for _ in range(self.rounds):
            with ours(self.certificates, *flags) as broker:
                mine.append(measure(broker))
            with mosquitto(self.certificates, *settings) as broker:
                theirs.append(measure(broker))
        return mine, theirs

    def row(
        self, what: str, mine: list[float], theirs: list[float], aim: float | None = None, digits: int = 0,
        at_most: bool = False, limit: float | None = None,
    ) -> None:
        """A row of the table: better is more, or less where `at_most`; `limit` is an aim for ours alone."""
        ratio = statistics.median(a / b for a, b in zip(mine, theirs))
        met: bool | None = None
        words = ""
        if aim is not None:
            met = ratio <= aim if at_most else ratio >= aim
            words = f"{'≤' if at_most else '≥'} {aim:g} ×"
        if limit is not None:
            met = statistics.median(mine) <= limit
            words = f"≤ {limit:,g}"
        self.rows.append(Row(what, bench.spread(mine, digits), bench.spread(theirs, digits), ratio, words, met))
        mark = {None: "", True: "yes", False: "**no**"}[met]
        row = self.rows[-1]
        print(f"| {what} | {row.ours} | {row.mosquitto} | {ratio:.2f} | {words} | {mark} |", flush=True)

    def publish(self) -> None:
        for qos, messages, aim in ((0, 1_000_000, 1.0), (1, 400_000, 1.0), (2, 200_000, None)):
            arguments = ("publish", "--clients", 50, "--in-flight", 20, "--qos", qos, "--messages", self.count(messages))

            def measure(broker: Broker, arguments: tuple[object, ...] = arguments) -> dict:
                before = bench.cpu_seconds(broker.pid)
                told = load(broker, *arguments)
                return told | {"cpu_us": (bench.cpu_seconds(broker.pid) - before) / told["messages"] * 1e6}

            mine, theirs = self.both(measure)
            self.row(f"QoS {qos} publish, 50 × 20, messages/s", per_s(mine), per_s(theirs), aim)
            limit = 14 if qos == 1 else None
            self.row(f"CPU of the broker at that, µs/message", field(mine, "cpu_us"), field(theirs, "cpu_us"),
                     digits=1, limit=limit)

    def fan(self) -> None:
        for qos, messages, aim in ((0, 40_000, 1.0), (1, 20_000, 1.0), (2, 10_000, 1.0)):
            for publishers, subscribers in ((1, 50), (50, 1)):
                wanted = self.count(messages if subscribers > 1 else messages * 5)
                arguments = ("fan", "--clients", publishers, "--subscribers", subscribers, "--qos", qos,
                             "--in-flight", 20, "--messages", wanted)
                mine, theirs = self.both(lambda broker, a=arguments: complete(load(broker, *a)))
                name = f"fan {'out' if subscribers > 1 else 'in'} {publishers} → {subscribers}, QoS {qos}, deliveries/s"
                self.row(name, per_s(mine), per_s(theirs), aim)

    def latency(self) -> None:
        for clients, messages in ((1, 5_000), (50, 50_000), (1_000, 100_000)):
            arguments = ("publish", "--clients", clients, "--in-flight", 1, "--messages", self.count(messages))
            mine, theirs = self.both(lambda broker, a=arguments: load(broker, *a), self.roomy())
            for share in ("p50", "p99"):
                self.row(f"ack latency, {clients:,} × 1 as fast as it goes, {share}, ms",
                         [told[f"ack_{share}_us"] / 1000 for told in mine],
                         [told[f"ack_{share}_us"] / 1000 for told in theirs], digits=2)

    def connect(self) -> None:
        for name, ca, connections in (("without", None, 10_000), ("with", self.certificates.ca, 2_000)):
            arguments = ("connect", "--connections", self.count(connections))
            mine, theirs = self.both(lambda broker, a=arguments, c=ca: load(broker, *a, ca=c))
            self.row(f"connections/s {name} TLS", per_s(mine), per_s(theirs), 1.0)

    def idle(self) -> None:
        def measure(broker: Broker) -> dict:
            before = bench.status_kib(broker.pid, "RssAnon")
            command = [LOAD, "--broker", broker.address, "idle", "--connections", str(IDLE)]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
                opened = json.loads(child.stdout.readline())["open"]
                time.sleep(1)
                held = bench.status_kib(broker.pid, "RssAnon") - before
                # Ends its standard input, and so the load.
                child.communicate()
            return {"bytes": held * 1024 / opened}

        mine, theirs = self.both(measure, self.roomy())
        self.row(f"bytes of an idle connection, of {IDLE:,}", field(mine, "bytes"), field(theirs, "bytes"), limit=8192)

    def retained(self) -> None:
        for qos in (0, 1):
            arguments = ("retained", "--messages", 10_000, "--qos", qos)
            mine, theirs = self.both(lambda broker, a=arguments: complete(load(broker, *a)))
            self.row(f"10,000 retained of 200 B at a QoS {qos} subscribe, messages/s", per_s(mine), per_s(theirs))

    def offline(self) -> None:
        arguments = ("offline", "--clients", 10, "--subscribers", 10, "--qos", 1, "--in-flight", 20,
                     "--messages", self.count(20_000))
        for name, settings in (("in memory", ()), ("persistence true", ("persistence true",))):
            mine, theirs = self.both(lambda broker: complete(load(broker, *arguments)), settings=settings)
            self.row(f"publish with 10 subscribers away, QoS 1 (mosquitto {name}), acks/s",
                     field(mine, "published_per_s"), field(theirs, "published_per_s"))
            self.row(f"they come back (mosquitto {name}), deliveries/s", per_s(mine), per_s(theirs))

    @staticmethod
    def roomy() -> tuple[str, ...]:
        return ("--mqtt-connections", str(IDLE + 1000))


def complete(told: dict) -> dict:
    if told["delivered"] != told["wanted"]:
        print(f"delivered {told['delivered']:,} of {told['wanted']:,}", file=sys.stderr)
    return told


def field(told: list[dict], name: str) -> list[float]:
    return [one[name] for one in told]


def per_s(told: list[dict]) -> list[float]:
    return field(told, "per_s")


def main() -> None:
    parts = ("publish", "fan", "latency", "connect", "idle", "retained", "offline")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", required=True, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of messages")
    parser.add_argument("--only", nargs="*", default=parts, choices=parts)
    given = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print("| what (clients × in flight) | Tarn | mosquitto | ratio | aim | met |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        table = Bench(make_certificates(folder), given.rounds, given.scale)
        for part in given.only:
            getattr(table, part)()
    out = pathlib.Path(given.json)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([asdict(row) for row in table.rows], indent=2, ensure_ascii=False))
    print(f"\nwritten to {out}")


if __name__ == "__main__":
    main()
