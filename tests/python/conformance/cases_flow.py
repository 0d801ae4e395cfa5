"""Receive maximum and maximum packet size, in both directions."""

from __future__ import annotations

from typing import Any

from . import codec
from .client import Client
from .codec import V5
from .context import Context, check
from .registry import case

# A receive maximum above this is not filled: it would take longer than a case may.
FILLABLE = 2000
# The largest packet that is sent to find out what the broker says to a larger one.
SENDABLE = 4 * 1024 * 1024


def limited(context: Context, topic: str, maximum: int, qos: int = 1, **fields: Any) -> Client:
    """A subscriber that takes so many unacknowledged messages."""
    return context.subscriber(topic, name="a", options=qos, props=[("receive_maximum", maximum)], **fields)


@case(
    v5="MQTT-3.3.4-9", each={f"{maximum} qos {qos}": (maximum, qos) for maximum in (1, 3) for qos in (1, 2)}
)
def receive_maximum_is_kept(context: Context, given: tuple[int, int]) -> None:
    """No more unacknowledged messages are sent than the client takes, and each ack lets one through."""
    maximum, qos = given
    topic = context.topic("x")
    client, publisher = limited(context, topic, maximum, qos), context.connect("p")
    for number in range(8):
        publisher.publish(topic, f"{number}".encode(), qos=qos)
    waiting = [client.message(ack=False, qos=qos) for _ in range(maximum)]
    client.expect_nothing()
    for number in range(maximum, 8):
        client.acknowledge(waiting.pop(0))
        waiting.append(client.message(f"{number}".encode(), ack=False))
        client.expect_nothing()


@case(v5="MQTT-4.9.0-2")
def pubrec_does_not_let_through(context: Context) -> None:
    """A message of QoS 2 counts until its PUBCOMP, not its PUBREC."""
    topic = context.topic("x")
    client, publisher = limited(context, topic, 1, 2), context.connect("p")
    publisher.publish(topic, b"one", qos=2)
    publisher.publish(topic, b"two", qos=2)
    first = client.message(b"one", ack=False)
    client.send(codec.ack(V5, codec.PUBREC, first.packet_id))
    client.expect(codec.PUBREL, packet_id=first.packet_id)
    client.expect_nothing()
    client.send(codec.ack(V5, codec.PUBCOMP, first.packet_id))
    client.message(b"two")


@case(v5="MQTT-4.9.0-2", each={"puback": 1, "pubrec": 2})
def refusal_lets_through(context: Context, qos: int) -> None:
    """A message that was refused counts no more."""
    topic = context.topic("x")
    client, publisher = limited(context, topic, 1, qos), context.connect("p")
    publisher.publish(topic, b"one", qos=qos)
    publisher.publish(topic, b"two", qos=qos)
    first = client.message(b"one", ack=False)
    client.send(codec.ack(V5, codec.PUBACK if qos == 1 else codec.PUBREC, first.packet_id, 0x80))
    client.message(b"two")


@case(v5="MQTT-4.9.0-3")
def other_packets_do_not_wait(context: Context) -> None:
    """A client that acknowledges nothing is still answered. (also MQTT-3.3.4-10)"""
    topic = context.topic("x")
    client, publisher = limited(context, topic, 1), context.connect("p")
    publisher.publish(topic, b"one", qos=1)
    publisher.publish(topic, b"two", qos=1)
    client.message(b"one", ack=False)
    client.expect_alive()
    client.subscribe(context.topic("y"))
    client.unsubscribe(context.topic("y"))
    client.publish(context.topic("z"), b"m", qos=2)
    client.expect_nothing()


@case(v5="MQTT-3.3.4-9")
def receive_maximum_is_of_the_connection(context: Context) -> None:
    """When a session is resumed, the maximum of the new connection counts, for what is sent again, too."""
    topic = context.topic("x")
    client, publisher = limited(context, topic, 10, keep=True), context.connect("p")
    for number in range(6):
        publisher.publish(topic, f"{number}".encode(), qos=1)
    for _ in range(6):
        client.message(ack=False)
    client.drop()
    client = context.resume("a", props=[("receive_maximum", 2)])
    waiting = [client.message(ack=False, dup=True) for _ in range(2)]
    client.expect_nothing()
    for number in range(2, 6):
        client.acknowledge(waiting.pop(0))
        waiting.append(client.message(f"{number}".encode(), ack=False, dup=True))
        client.expect_nothing()


@case(v5="MQTT-3.3.4-9")
def receive_maximum_of_retained(context: Context) -> None:
    """Retained messages count like others."""
    publisher = context.connect("p")
    for number in range(5):
        publisher.publish(context.topic("x", f"{number}"), b"m", qos=1, retain=True)
    client = limited(context, context.topic("x", "+"), 2)
    waiting = [client.message(ack=False) for _ in range(2)]
    client.expect_nothing()
    for message in waiting:
        client.acknowledge(message)
    for _ in range(3):
        client.message()


@case(v5="MQTT-3.3.4-7")
def broker_takes_its_receive_maximum(context: Context) -> None:
    """The broker takes as many unfinished messages as it said, and tells who sends one more."""
    client = context.connect("a")
    maximum = client.connack.prop("receive_maximum") or 65535
    if maximum > FILLABLE:
        return
    topic = context.topic("x")
    packets = [codec.publish(V5, topic, b"m", qos=2, packet_id=number) for number in range(1, maximum + 1)]
    client.send(b"".join(packets))
    for number in range(1, maximum + 1):
        client.expect(codec.PUBREC, packet_id=number)
    client.expect_alive()
    client.send(codec.publish(V5, topic, b"m", qos=2, packet_id=maximum + 1))
    client.expect_closed(0x93)


@case(v5="MQTT-3.3.4-7")
def pubcomp_gives_room_again(context: Context) -> None:
    """Messages that are complete count no more."""
    client = context.connect("a")
    maximum = min(client.connack.prop("receive_maximum") or 65535, 300)
    topic = context.topic("x")
    for _ in range(2):
        for number in range(1, maximum + 1):
            client.send(codec.publish(V5, topic, b"m", qos=2, packet_id=number))
        for number in range(1, maximum + 1):
            client.expect(codec.PUBREC, packet_id=number)
        for number in range(1, maximum + 1):
            client.send(codec.ack(V5, codec.PUBREL, number))
        for number in range(1, maximum + 1):
            client.expect(codec.PUBCOMP, packet_id=number, code=0)
    client.expect_alive()


@case(v5="MQTT-3.1.2-24", each={"0": 0, "1": 1, "2": 2})
def large_packet_is_not_sent(context: Context, qos: int) -> None:
    """A message larger than the client takes is left out; those around it come. (also MQTT-3.1.2-25)"""
    topic = context.topic("x")
    client = context.subscriber(topic, props=[("maximum_packet_size", 200), ("receive_maximum", 2)])
    publisher = context.connect("p")
    wanted = []
    for number in range(4):
        publisher.publish(topic, b"L" * 300, qos=qos)
        publisher.publish(topic, f"{number}".encode(), qos=qos)
        wanted.append(f"{number}".encode())
    context.expect_only(client, publisher, topic, *wanted, qos=qos)


@case(v5="MQTT-3.1.2-25")
def large_packet_is_complete(context: Context) -> None:
    """It counts as sent: a later connection that takes larger packets does not get it."""
    topic = context.topic("x")
    size = [("maximum_packet_size", 200)]
    client = context.subscriber(topic, name="a", keep=True, options=1, props=size)
    publisher = context.connect("p")
    publisher.publish(topic, b"L" * 300, qos=1)
    context.expect_only(client, publisher, topic)
    client.drop()
    context.expect_only(context.resume("a"), publisher, topic)


@case(v5="MQTT-3.1.2-24")
def packet_of_the_maximum_size(context: Context) -> None:
    """The size counts the whole packet, to the byte."""
    topic = context.topic("x")
    # Header 2, topic with its length, packet id 2, property length 1.
    overhead = 2 + 2 + len(topic) + 2 + 1
    client = context.subscriber(topic, options=1, props=[("maximum_packet_size", 120)])
    publisher = context.connect("p")
    publisher.publish(topic, b"1" * (120 - overhead), qos=1)
    publisher.publish(topic, b"2" * (121 - overhead), qos=1)
    context.expect_only(client, publisher, topic, b"1" * (120 - overhead))


@case(v5="MQTT-3.1.2-24")
def large_retained_message_is_not_sent(context: Context) -> None:
    """What is retained is left out as well when it is too large."""
    topic = context.topic("x")
    publisher = context.connect("p")
    publisher.publish(topic, b"L" * 300, qos=1, retain=True)
    client = context.subscriber(topic, options=1, props=[("maximum_packet_size", 200)])
    context.expect_only(client, publisher, topic)


@case(v5="MQTT-3.1.2-24", each={"5": 5, "10": 10, "20": 20})
def connack_fits_the_client(context: Context, maximum: int) -> None:
    """CONNACK is a packet, too: if it is too large for the client, the broker cannot but close."""
    client = context.open()
    client.packet_max = maximum
    # An empty client id makes for a larger CONNACK.
    client.ask(codec.connect(V5, "", props_=[("maximum_packet_size", maximum)]))


@case(v5="MQTT-3.1.2-24", each={"suback": codec.SUBACK, "unsuback": codec.UNSUBACK})
def acks_fit_the_client(context: Context, kind: int) -> None:
    """So are SUBACK and UNSUBACK, which grow with the filters that they answer."""
    client = context.connect("a", props=[("maximum_packet_size", 60)])
    names = [context.topic(f"{number}") for number in range(80)]
    if kind == codec.SUBACK:
        client.ask(codec.subscribe(V5, 1, [(name, 0) for name in names]))
    else:
        client.ask(codec.unsubscribe(V5, 1, names))


@case(v5="MQTT-3.2.2-15")
def packet_above_the_brokers_maximum(context: Context) -> None:
    """The broker closes on a packet that is larger than it said it takes."""
    client = context.connect("a")
    maximum = client.connack.prop("maximum_packet_size")
    if maximum is None or maximum > SENDABLE:
        return
    client.send(codec.publish(V5, context.topic("x"), b"L" * maximum))
    client.expect_closed(0x95)


@case(v5="MQTT-3.2.2-15")
def packet_of_the_brokers_maximum(context: Context) -> None:
    """And takes one that is just as large."""
    topic = context.topic("x")
    client = context.connect("a")
    maximum = min(client.connack.prop("maximum_packet_size") or SENDABLE, SENDABLE)
    # Header 1 and three bytes of length (four from 2 MiB on), topic with its length, packet id, properties.
    overhead = 1 + (3 if maximum < 2 * 1024 * 1024 else 4) + 2 + len(topic) + 2 + 1
    packet = codec.publish(V5, topic, b"L" * (maximum - overhead), qos=1, packet_id=1)
    check(len(packet) == maximum, f"a packet of {maximum} bytes", len(packet))
    client.send(packet)
    client.expect(codec.PUBACK, packet_id=1)
