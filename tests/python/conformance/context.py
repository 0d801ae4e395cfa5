"""What a case has to work with: fresh clients, and names that no other case uses."""

from __future__ import annotations

import secrets
import time
from typing import Any

from . import codec
from .client import Client, Closed, Failure
from .codec import V5, V311, Packet
from .properties import Properties, Property

# No case may take longer, whatever the broker does.
CASE_SECONDS = 60.0
# Session expiry of persistent MQTT 5 sessions: longer than any case, so that nothing is left for ever.
SESSION_SECONDS = 60
END = b"-end-"


class Context:
    """One run of one case. `number` tells it apart from all others of the same run of the suite."""

    token = secrets.token_hex(3)

    def __init__(self, address: tuple[str, int], version: int, number: int, strict: bool) -> None:
        self.address = address
        self.version = version
        self.strict = strict
        self.prefix = f"c{self.token}x{number}"
        self.deadline = time.monotonic() + CASE_SECONDS
        self._clients: list[Client] = []
        self._persistent: set[str] = set()

    @property
    def v5(self) -> bool:
        return self.version == V5

    def id(self, name: str) -> str:
        """A client id of this case, at most 23 letters and digits."""
        return f"{self.prefix}{name}"[:23]

    def topic(self, *levels: str) -> str:
        return "/".join((self.prefix, *levels))

    def open(self, version: int | None = None) -> Client:
        """A connection that has not yet said anything."""
        client = Client(self.address, version or self.version, self.deadline, self.strict)
        self._clients.append(client)
        return client

    def connect(
        self,
        name: str = "a",
        *,
        keep: bool = False,
        expiry: int | None = None,
        props: Properties = (),
        version: int | None = None,
        **fields: Any,
    ) -> Client:
        """A connected client. `keep` resumes its session, if there is one, and keeps it afterwards."""
        client = self.open(version)
        properties: list[Property | bytes] = list(props)
        if client.version == V5 and (keep or expiry):
            properties.append(("session_expiry", SESSION_SECONDS if expiry is None else expiry))
        if keep or expiry:
            self._persistent.add(name)
        fields.setdefault("clean", not keep)
        client.connect(self.id(name), props_=properties, **fields)
        return client

    def resume(self, name: str = "a", **fields: Any) -> Client:
        """A client whose session the broker must still have."""
        client = self.connect(name, keep=True, **fields)
        if not client.connack.session_present:
            raise Failure("expected CONNACK with session_present=1, got 0")
        return client

    def subscriber(self, *filters: str, name: str = "sub", options: int = 2, **fields: Any) -> Client:
        """A client that is connected and subscribed."""
        client = self.connect(name, **fields)
        client.subscribe(*filters, options=options)
        return client

    def received(self, client: Client, publisher: Client, topic: str, qos: int = 1) -> list[Packet]:
        """All messages until one more, published now to the topic. Only for topics that the client hears."""
        publisher.publish(topic, END, qos=qos)
        found = []
        while (message := client.message()).payload != END:
            found.append(message)
        return found

    def expect_only(
        self, client: Client, publisher: Client, topic: str, *payloads: bytes, qos: int = 1
    ) -> list[Packet]:
        """These messages have come, in this order, and no others. Order is owed within one QoS only."""
        found = self.received(client, publisher, topic, qos)
        if [message.payload for message in found] != list(payloads):
            got = ", ".join(map(str, found)) or "none"
            raise Failure(f"expected messages {list(payloads)} and no others, got {got}")
        return found

    def expect_quiet(self, client: Client) -> None:
        """Nothing has come to the client, by the time that a message to a fresh topic gets to it."""
        sentinel = self.topic("sentinel", secrets.token_hex(2))
        client.subscribe(sentinel, options=1)
        client.publish(sentinel, END, qos=1)
        client.message(END, topic=sentinel)
        client.expect_nothing()

    def sleep(self, seconds: float) -> None:
        """Let time pass, for the statements that are about time."""
        if time.monotonic() + seconds > self.deadline:
            raise Failure(f"case took longer than {CASE_SECONDS} s")
        time.sleep(seconds)

    def finish(self) -> None:
        """Close what is open, and end the sessions that would outlive the case."""
        for client in self._clients:
            client.drop()
        for name in self._persistent:
            client = Client(self.address, V311, time.monotonic() + CASE_SECONDS, False)
            try:
                client.send(codec.connect(V311, self.id(name)))
                client.read()
            except (Closed, TimeoutError):
                pass  # The case itself has told what is wrong with this broker.
            finally:
                client.drop()


def check(condition: bool, wanted: str, got: object) -> None:
    """Fail with what was expected and what there was instead."""
    if not condition:
        shown = [str(item) for item in got] if isinstance(got, list) else got
        raise Failure(f"expected {wanted}, got {shown}")
