"""The clients of the matrix: how each is started, what it can do, and how its output reads."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "clients"
HOST = "localhost"
PATIENCE = 60.0
ALL_TRANSPORTS = ("tcp", "tls", "ws", "wss")


class Failure(Exception):
    """A client did not do what the case expects."""


@dataclass(frozen=True)
class Order:
    """What a client is to do, in the words of the package's description."""

    role: str
    port: int
    transport: str
    ca: str
    version: int
    id: str
    topic: str
    qos: int
    keep: bool = False
    will: str | None = None
    payloads: tuple[str, ...] = ()
    retain: bool = False


@dataclass(frozen=True)
class Message:
    """What a subscriber got; None is what its client does not tell."""

    payload: str
    qos: int | None = None
    retain: bool | None = None


@dataclass(frozen=True)
class Program:
    """A client. `command` makes its arguments; `parse` reads a line: "ready", a message, or nothing."""

    name: str
    command: Callable[[Order], list[str]]
    parse: Callable[[str], Message | str | None]
    transports: tuple[str, ...] = ALL_TRANSPORTS
    keeps_sessions: bool = True
    one_payload_a_run: bool = False
    # mosquitto_sub asks for it: when it is told to go, its DISCONNECT of version 5 has the code 0x04.
    will_at_stop: bool = False

    def publish(self, order: Order) -> None:
        """Publish, and return when all is acknowledged."""
        orders = [order]
        if self.one_payload_a_run:
            orders = [replace(order, payloads=(payload,)) for payload in order.payloads]
        for one in orders:
            try:
                done = subprocess.run(
                    self.command(one), capture_output=True, text=True, timeout=PATIENCE, env=_environment()
                )
            except subprocess.TimeoutExpired as error:
                raise Failure(f"publisher did not end: {error.stdout!r} {error.stderr!r}") from error
            if done.returncode != 0:
                raise Failure(f"publisher ended with {done.returncode}: {done.stdout}{done.stderr}")

    def subscriber(self, order: Order) -> Subscriber:
        """Start a subscriber."""
        return Subscriber(self, order)


class Subscriber:
    """A running subscriber. Its messages are read as they come."""

    def __init__(self, program: Program, order: Order) -> None:
        self._parse = program.parse
        self._lines: queue.Queue[Message | str | None] = queue.Queue()
        self._said: list[str] = []
        self._got: list[Message] = []
        self._process = subprocess.Popen(
            program.command(order),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_environment(),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_ready(self) -> None:
        self._take(lambda: "ready" in self._said, "a SUBACK")
        self._said.remove("ready")

    def messages(self, count: int) -> list[Message]:
        """The first `count` messages since the last call, when they are there."""
        self._take(lambda: len(self._got) >= count, f"{count} messages")
        taken, self._got = self._got[:count], self._got[count:]
        return taken

    def stop(self) -> list[Message]:
        """Disconnect as the client does when it is told to go; what it got beyond all that was taken."""
        self._process.terminate()
        return self._end()

    def kill(self) -> list[Message]:
        """End it as a power cut would."""
        self._process.kill()
        return self._end()

    def _end(self) -> list[Message]:
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        while not self._lines.empty():
            self._keep(self._lines.get())
        return self._got

    def _take(self, enough: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not enough():
            try:
                self._keep(self._lines.get(timeout=max(0.0, end - time.monotonic())))
            except queue.Empty:
                raise Failure(f"waited for {what}, got {self._got[-3:]} {self._said[-5:]}") from None
            if self._process.poll() is not None and self._lines.empty() and not enough():
                self._reader.join(PATIENCE)
                if self._lines.empty():
                    raise Failure(f"subscriber ended before {what}: {self._said[-5:]}")

    def _keep(self, line: Message | str | None) -> None:
        if isinstance(line, Message):
            self._got.append(line)
        elif line:
            self._said.append(line)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(self._parse(line.rstrip("\n")))


def _environment() -> dict[str, str]:
    return {**os.environ, "NODE_PATH": str(Path(sys.prefix) / "node_modules"), "PYTHONUNBUFFERED": "1"}


def _program_of_ours(*program: str) -> Callable[[Order], list[str]]:
    return lambda order: [*program, json.dumps(asdict(order))]


def _parse_ours(line: str) -> Message | str | None:
    return Message(**json.loads(line)) if line.startswith("{") else line


def _mosquitto(order: Order) -> list[str]:
    version = "mqttv5" if order.version == 5 else "mqttv311"
    common = ["-h", HOST, "-p", str(order.port), "-V", version, "-i", order.id, "-q", str(order.qos)]
    common += ["-t", order.topic]
    if order.transport == "tls":
        common += ["--cafile", order.ca]
    if order.will:
        common += ["--will-topic", order.will, "--will-payload", "gone", "--will-qos", "1"]
    if order.role == "subscribe":
        # -F prints each message as a JSON object; -d tells when the SUBACK has come. It also prints when it is
        # told to go, from inside of its signal handler: with a buffer the line before could come twice.
        keep = ["-c"] if order.keep else []
        return ["stdbuf", "-o0", "mosquitto_sub", "-d", "-F", "%j", *common, *keep]
    payload = ["-n"] if order.payloads == ("",) else ["-m", order.payloads[0]]
    return ["mosquitto_pub", *common, *payload, *(["-r"] if order.retain else [])]


def _parse_mosquitto(line: str) -> Message | str | None:
    if line.startswith("{"):
        fields: dict[str, Any] = json.loads(line)
        return Message(str(fields["payload"]), fields["qos"], bool(fields["retain"]))
    return "ready" if line.startswith("Subscribed") else line


def _paho_c(subscriber: str, publisher: str) -> Callable[[Order], list[str]]:
    def command(order: Order) -> list[str]:
        scheme = {"tcp": "tcp", "tls": "ssl", "ws": "ws", "wss": "wss"}[order.transport]
        common = ["-c", f"{scheme}://{HOST}:{order.port}", "-V", "5" if order.version == 5 else "311"]
        common += ["-i", order.id, "-q", str(order.qos), "-t", order.topic]
        if order.transport in ("tls", "wss"):
            common += ["--cafile", order.ca]
        if order.will:
            common += ["--will-topic", order.will, "--will-payload", "gone", "--will-qos", "1"]
        if order.role == "subscribe":
            return ["stdbuf", "-oL", subscriber, *common, "--trace", "protocol"]
        payload = ["-n"] if order.payloads == ("",) else ["-m", order.payloads[0]]
        return [publisher, *common, *payload, *(["-r"] if order.retain else [])]

    return command


def _parse_paho_c(line: str) -> Message | str | None:
    if line.startswith("Trace"):
        return "ready" if "<- SUBACK" in line else line
    return Message(line) if line else None


def programs(rumqttc: str | None) -> list[Program]:
    """Every client. `rumqttc` is the path of its program, which cargo builds."""
    python = sys.executable
    ours = [
        Program("paho", _program_of_ours(python, str(FOLDER / "paho_client.py")), _parse_ours),
        Program("aiomqtt", _program_of_ours(python, str(FOLDER / "aiomqtt_client.py")), _parse_ours),
        Program("gmqtt", _program_of_ours(python, str(FOLDER / "gmqtt_client.py")), _parse_ours, ("tcp", "tls")),
        Program("mqtt.js", _program_of_ours("node", str(FOLDER / "mqtt_client.js")), _parse_ours),
    ]
    if rumqttc:
        ours.append(Program("rumqttc", _program_of_ours(rumqttc), _parse_ours, ("tcp", "tls")))
    theirs = [
        Program(
            "mosquitto",
            _mosquitto,
            _parse_mosquitto,
            ("tcp", "tls"),
            one_payload_a_run=True,
            will_at_stop=True,
        ),
    ]
    for name in ("paho_c", "paho_cs"):
        # The examples have no flag for a session that is kept.
        command = _paho_c(f"{name}_sub", f"{name}_pub")
        theirs.append(Program(name, command, _parse_paho_c, keeps_sessions=False, one_payload_a_run=True))
    for needed in ("node", "mosquitto_sub", "paho_c_sub", "paho_cs_sub", "stdbuf"):
        if not shutil.which(needed):
            raise SystemExit(f"there is no {needed}: scripts/setup.sh installs it")
    return ours + theirs
