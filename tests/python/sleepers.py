"""Publishers and persistent subscribers that live through kills of the broker, and say what they saw.

One publisher at QoS 1 and one at QoS 2 keep their sessions and send again what was not acked. Three
subscribers keep theirs: one at QoS 1, one at QoS 2, and one at QoS 2 that only connects once the kills are over.
A line on standard input ends the publishing; a report follows on standard output as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from conformance import codec
from conformance.client import Client, Closed, Failure

V4 = 4
# A connection that is refused or lost is tried again after this time.
RETRY_SECONDS = 0.05
# How long subscribers get after the last publish to have everything.
DRAIN_SECONDS = 90.0
# Publishes that wait for their acks.
WINDOW = 20
TOPICS = {1: "storm/one", 2: "storm/two"}


@dataclass
class Shared:
    """What all clients know."""

    port: int
    stop: threading.Event = field(default_factory=threading.Event)
    drained: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    acked: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0})

    def open(self, name: str) -> Client:
        """Connect with a session that outlives connections, however long that takes."""
        while not self.drained.is_set():
            try:
                client = Client(("127.0.0.1", self.port), V4, time.monotonic() + 3600, False)
                client.send(codec.connect(V4, name, clean=False))
                packet = next_packet(client)
                if packet is not None and packet.kind == codec.CONNACK and packet.code == 0:
                    return client
                client.drop()
            except (OSError, Failure, Closed):
                pass
            time.sleep(RETRY_SECONDS)
        raise SystemExit


def next_packet(client: Client, timeout: float = 1.0) -> codec.Packet | None:
    """The next packet, or nothing within the time."""
    try:
        return client.read(timeout)
    except TimeoutError:
        return None


class Publisher(threading.Thread):
    """Publishes numbers, up to a window of them unacked, and sends again after each new connection."""

    def __init__(self, shared: Shared, qos: int) -> None:
        super().__init__(daemon=True)
        self.shared, self.qos = shared, qos
        self.next_number = 0
        self.waiting: dict[int, int] = {}  # packet id -> number
        self.released: set[int] = set()  # packet ids at QoS 2 whose PUBREC has come

    def run(self) -> None:
        while not self.done():
            client = self.shared.open(f"publisher-{self.qos}")
            try:
                for packet_id, number in list(self.waiting.items()):
                    if packet_id in self.released:
                        client.send(codec.ack(V4, codec.PUBREL, packet_id))
                    else:
                        self.publish(client, packet_id, number, dup=True)
                while not self.done():
                    self.fill(client)
                    self.take(client)
            except (OSError, Failure, Closed):
                pass
            client.drop()

    def done(self) -> bool:
        return self.shared.stop.is_set() and not self.waiting

    def fill(self, client: Client) -> None:
        while len(self.waiting) < WINDOW and not self.shared.stop.is_set():
            packet_id = self.next_number % 60_000 + 1
            if packet_id in self.waiting:
                return
            self.waiting[packet_id] = self.next_number
            self.next_number += 1
            self.publish(client, packet_id, self.waiting[packet_id], dup=False)

    def publish(self, client: Client, packet_id: int, number: int, dup: bool) -> None:
        payload = str(number).encode()
        client.send(codec.publish(V4, TOPICS[self.qos], payload, qos=self.qos, packet_id=packet_id, dup=dup))

    def take(self, client: Client) -> None:
        packet = next_packet(client)
        if packet is None:
            return
        if packet.kind == codec.PUBREC:
            self.released.add(packet.packet_id)
            client.send(codec.ack(V4, codec.PUBREL, packet.packet_id))
            # From here on the broker has promised to deliver it.
        elif packet.kind in (codec.PUBACK, codec.PUBCOMP):
            self.released.discard(packet.packet_id)
            if self.waiting.pop(packet.packet_id, None) is not None:
                with self.shared.lock:
                    self.shared.acked[self.qos] += 1


class Subscriber(threading.Thread):
    """Takes messages; at QoS 2 by the receiver's rules, so that what comes twice is the broker's doing."""

    def __init__(self, shared: Shared, name: str, qos: int, late: bool = False) -> None:
        super().__init__(daemon=True)
        self.shared, self.id, self.qos, self.late = shared, name, qos, late
        self.seen: Counter[int] = Counter()
        self.held: set[int] = set()  # packet ids at QoS 2 that were delivered and not released
        self.subscribed = threading.Event()

    def run(self) -> None:
        while not self.shared.drained.is_set():
            client = self.shared.open(self.id)
            try:
                if not self.subscribed.is_set():
                    client.send(codec.subscribe(V4, 1, [(TOPICS[self.qos], self.qos)]))
                while not self.shared.drained.is_set():
                    self.take(client)
                    if self.late and self.subscribed.is_set() and not self.shared.stop.is_set():
                        break
            except (OSError, Failure, Closed):
                pass
            client.drop()
            if self.late:
                self.shared.stop.wait()

    def take(self, client: Client) -> None:
        packet = next_packet(client)
        if packet is None:
            return
        if packet.kind == codec.SUBACK:
            self.subscribed.set()
        elif packet.kind == codec.PUBREL:
            self.held.discard(packet.packet_id)
            client.send(codec.ack(V4, codec.PUBCOMP, packet.packet_id))
        elif packet.kind == codec.PUBLISH and packet.qos == 1:
            self.seen[int(packet.payload)] += 1
            client.send(codec.ack(V4, codec.PUBACK, packet.packet_id))
        elif packet.kind == codec.PUBLISH and packet.qos == 2:
            if packet.packet_id not in self.held:
                self.held.add(packet.packet_id)
                self.seen[int(packet.payload)] += 1
            client.send(codec.ack(V4, codec.PUBREC, packet.packet_id))


def report(shared: Shared, subscribers: list[Subscriber]) -> dict[str, object]:
    """What each subscriber lacks of what was acked, and what it got more than once."""
    return {
        "acked": shared.acked,
        "subscribers": {
            s.id: {
                "missing": shared.acked[s.qos] - sum(1 for n in s.seen if n < shared.acked[s.qos]),
                "twice": sum(1 for count in s.seen.values() if count > 1),
            }
            for s in subscribers
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    shared = Shared(parser.parse_args().port)
    subscribers = [
        Subscriber(shared, "awake-1", 1),
        Subscriber(shared, "awake-2", 2),
        Subscriber(shared, "asleep-2", 2, late=True),
    ]
    for subscriber in subscribers:
        subscriber.start()
        if not subscriber.subscribed.wait(20):
            raise SystemExit(f"{subscriber.id} is not subscribed")
    publishers = [Publisher(shared, 1), Publisher(shared, 2)]
    for publisher in publishers:
        publisher.start()
    print("ready", flush=True)
    sys.stdin.readline()
    shared.stop.set()
    for publisher in publishers:
        publisher.join(DRAIN_SECONDS)
    # Everything was acked in the end, so the numbers are all from 0 on.
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        if all(len(s.seen) >= shared.acked[s.qos] for s in subscribers):
            break
        time.sleep(0.1)
    # What comes twice may come late.
    time.sleep(2)
    shared.drained.set()
    print(json.dumps(report(shared, subscribers)), flush=True)


if __name__ == "__main__":
    main()
