"""What every client must be able to do."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from .programs import HOST, PATIENCE, Failure, Message, Order, Program, Subscriber

COUNT = 10


@dataclass(frozen=True)
class Ports:
    """Where the broker listens, by transport, who signed its certificate, and where it tells of its clients."""

    by_transport: dict[str, int]
    ca: str
    http: int


@dataclass(frozen=True)
class Context:
    """One client, one version, and names that no other case has."""

    program: Program
    version: int
    ports: Ports
    name: str
    _running: list[Subscriber] = field(default_factory=list)

    def subscribe(self, order: Order) -> Subscriber:
        """A subscriber that has its SUBACK. It does not outlive the case."""
        subscriber = self.program.subscriber(order)
        self._running.append(subscriber)
        subscriber.wait_ready()
        return subscriber

    def wait_settled(self, order: Order) -> None:
        """Wait until the client and the broker owe each other nothing any more."""
        url = f"http://{HOST}:{self.ports.http}/v1/broker/clients?limit=1000"
        end = time.monotonic() + PATIENCE
        while True:
            request = urllib.request.Request(url, headers={"Authorization": f"Bearer {os.environ['TARN_TOKEN']}"})
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                clients = json.load(answer)["clients"]
            waiting = [client["queued_messages"] for client in clients if client["client_id"] == order.id]
            if waiting == [0]:
                return
            if time.monotonic() > end:
                raise Failure(f"messages of {order.id} are not settled: {waiting}")
            time.sleep(0.02)

    def finish(self) -> None:
        """End what the case left running."""
        for subscriber in self._running:
            subscriber.kill()

    def order(self, role: str, topic: str = "topic", transport: str = "tcp", **rest: object) -> Order:
        secure = transport in ("tls", "wss")
        return Order(
            role=role,
            port=self.ports.by_transport[transport],
            transport=transport,
            ca=self.ports.ca if secure else "",
            version=self.version,
            id=f"{self.name}-{role}",
            topic=f"{self.name}/{topic}",
            **rest,
        )


def expect(got: list[Message], payloads: list[str], qos: int, retain: bool = False) -> None:
    """The payloads in their order, with the QoS and the retain flag where the client tells them."""
    if [message.payload for message in got] != payloads:
        raise Failure(f"expected {payloads}, got {got}")
    for message in got:
        if message.qos not in (None, qos) or message.retain not in (None, retain):
            raise Failure(f"expected QoS {qos} and retain {retain}, got {message}")


def both_ways(context: Context, qos: int, transport: str) -> None:
    """Publish and subscribe at one QoS: everything arrives, in order and once."""
    subscriber = context.subscribe(context.order("subscribe", qos=qos, transport=transport))
    payloads = [f"m{n}" for n in range(COUNT)]
    order = context.order("publish", qos=qos, transport=transport, payloads=tuple(payloads))
    context.program.publish(order)
    expect(subscriber.messages(COUNT), payloads, qos)
    expect(subscriber.stop(), [], qos)


def retained(context: Context) -> None:
    """A retained message waits for a subscriber, until an empty one takes its place."""
    program = context.program
    subscribe = context.order("subscribe", qos=1)
    program.publish(context.order("publish", qos=1, payloads=("kept",), retain=True))
    subscriber = context.subscribe(subscribe)
    expect(subscriber.messages(1), ["kept"], 1, retain=True)
    subscriber.stop()
    program.publish(context.order("publish", qos=1, payloads=("",), retain=True))
    subscriber = context.subscribe(subscribe)
    program.publish(context.order("publish", qos=1, payloads=("later",)))
    expect(subscriber.messages(1), ["later"], 1)
    subscriber.stop()


def will(context: Context) -> None:
    """Who dies leaves a will; who says goodbye does not."""
    program = context.program
    watch = context.order("subscribe", topic="will", qos=1)
    watcher = context.subscribe(watch)
    mortal = context.order("subscribe", qos=1, will=watch.topic)
    mortal = Order(**{**mortal.__dict__, "id": f"{context.name}-mortal"})
    context.subscribe(mortal).stop()
    if program.will_at_stop and context.version == 5:
        expect(watcher.messages(1), ["gone"], 1)
    context.subscribe(mortal).kill()
    expect(watcher.messages(1), ["gone"], 1)
    program.publish(context.order("publish", topic="will", qos=1, payloads=("after",)))
    expect(watcher.messages(1), ["after"], 1)
    watcher.stop()


def kept_session(context: Context, qos: int) -> None:
    """What is published while a client with a kept session is away reaches it when it is back."""
    program = context.program
    subscribe = context.order("subscribe", qos=qos, keep=True)
    subscriber = context.subscribe(subscribe)
    program.publish(context.order("publish", qos=qos, payloads=("here",)))
    expect(subscriber.messages(1), ["here"], qos)
    # The programs forget what they were in the middle of, and rumqttc ends at a PUBREL that it does not
    # know. So the end of the first exchange is awaited.
    context.wait_settled(subscribe)
    subscriber.stop()
    payloads = [f"away{n}" for n in range(COUNT)]
    program.publish(context.order("publish", qos=qos, payloads=tuple(payloads)))
    subscriber = context.subscribe(subscribe)
    expect(subscriber.messages(COUNT), payloads, qos)
    expect(subscriber.kill(), [], qos)


def cases(program: Program) -> Iterator[tuple[str, Callable[[Context], None]]]:
    """The cases that a client can be put to, by name."""
    for qos in (0, 1, 2):
        yield f"QoS {qos}", partial(both_ways, qos=qos, transport="tcp")
    yield "retained", retained
    yield "will", will
    if program.keeps_sessions:
        for qos in (1, 2):
            yield f"session {qos}", partial(kept_session, qos=qos)
    for transport in program.transports[1:]:
        yield transport, partial(both_ways, qos=1, transport=transport)
