"""The order that a client program was given, and its answers. See the package's description."""

from __future__ import annotations

import json
import signal
import ssl
import sys
from dataclasses import dataclass

HOST = "localhost"
WILL_PAYLOAD = b"gone"
SESSION_SECONDS = 3600


@dataclass(frozen=True)
class Order:
    """What to do, in the words of the package's description."""

    role: str
    port: int
    transport: str
    ca: str
    version: int
    id: str
    keep: bool
    will: str | None
    topic: str
    qos: int
    payloads: list[str]
    retain: bool

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What the connection is encrypted with, if it is."""
        return ssl.create_default_context(cafile=self.ca) if self.transport in ("tls", "wss") else None

    @property
    def is_websocket(self) -> bool:
        return self.transport in ("ws", "wss")


def read() -> Order:
    """The order on the command line."""
    # A subscriber is told to go by SIGTERM: let it end like one that was interrupted at a terminal.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return Order(**json.loads(sys.argv[1]))


def ready() -> None:
    print("ready", flush=True)


def got(payload: bytes, qos: int, retain: bool) -> None:
    print(json.dumps({"payload": payload.decode(), "qos": qos, "retain": bool(retain)}), flush=True)
