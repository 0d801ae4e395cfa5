"""PUBLISH: its flags, topic, payload and answer, and the order in which messages arrive."""

from __future__ import annotations

from . import codec
from .client import BROKEN
from .context import Context, check
from .registry import case

# Bytes that are not UTF-8: each for another reason.
NOT_TEXT = {
    "lone continuation": b"a\x80",
    "cut": b"a\xe2\x82",
    "overlong slash": b"a\xc0\xaf",
    "overlong nul": b"a\xc0\x80",
    "surrogate": b"a\xed\xa0\x80",
    "surrogate pair": b"a\xed\xa0\x81\xed\xb0\x80",
    "above U+10FFFF": b"a\xf4\x90\x80\x80",
    "0xFF": b"a\xff",
}
# Messages sent without waiting for an answer: less than any broker's receive maximum.
WINDOW = 10
# Lengths of payloads around those at which the remaining length takes one byte more.
LENGTHS = {str(length): length for length in (0, 1, 90, 127, 128, 16_000, 16_383, 16_384, 200_000)}


@case("MQTT-3.3.1-4")
def qos_3(context: Context) -> None:
    """There is no QoS 3."""
    client = context.connect("a")
    client.send(codec.publish(context.version, context.topic("x"), b"m", qos=3, packet_id=1))
    client.expect_closed(*BROKEN, 0x9B)


@case(v4="MQTT-2.3.1-1", v5="MQTT-2.2.1-3", each={"1": 1, "2": 2})
def packet_id_0(context: Context, qos: int) -> None:
    """A message of QoS 1 or 2 has a packet id that is not 0."""
    client = context.connect("a")
    client.send(codec.publish(context.version, context.topic("x"), b"m", qos=qos))
    client.expect_closed()


@case("MQTT-3.3.1-2")
def dup_with_qos_0(context: Context) -> None:
    """DUP means nothing at QoS 0: the broker may refuse it, but does not pass it on."""
    topic = context.topic("x")
    subscriber = context.subscriber(topic)
    publisher = context.connect("p")
    publisher.send(codec.publish(context.version, topic, b"m", dup=True))
    for message in context.received(subscriber, context.connect("q"), topic):
        check(not message.dup, "dup=0", message)


@case("MQTT-3.3.1-3", each={"1": 1, "2": 2})
def dup_is_not_passed_on(context: Context, qos: int) -> None:
    """DUP tells of one hop only: subscribers get the message for the first time."""
    topic = context.topic("x")
    subscriber = context.subscriber(topic)
    publisher = context.connect("p")
    publisher.send(codec.publish(context.version, topic, b"m", qos=qos, dup=True, packet_id=7))
    publisher.expect(codec.PUBACK if qos == 1 else codec.PUBREC, packet_id=7)
    if qos == 2:
        publisher.release(7)
    subscriber.message(b"m", dup=False, qos=qos)


@case("MQTT-3.3.2-1", each=NOT_TEXT)
def topic_is_not_text(context: Context, topic: bytes) -> None:
    """A topic name is UTF-8."""
    client = context.connect("a")
    client.send(codec.publish(context.version, topic, b"m"))
    client.expect_closed(*BROKEN, 0x90)


@case(v4="MQTT-1.5.3-2", v5="MQTT-1.5.4-2")
def topic_has_a_nul(context: Context) -> None:
    """No string has the character U+0000."""
    client = context.connect("a")
    client.send(codec.publish(context.version, b"a\0b", b"m"))
    client.expect_closed(*BROKEN, 0x90)


@case(v4="MQTT-1.5.3-3", v5="MQTT-1.5.4-3")
def byte_order_mark_is_kept(context: Context) -> None:
    """U+FEFF is a character as any other, at the start of a string, too."""
    topic = "\ufeff" + context.topic("x")
    marked, plain = context.subscriber(topic), context.subscriber(context.topic("x"), name="plain")
    publisher = context.connect("p")
    publisher.publish(topic, b"m", qos=1)
    marked.message(b"m", topic=topic)
    context.expect_only(plain, publisher, context.topic("x"))


@case("MQTT-3.3.2-2", each={"#": "#", "+": "+", "a/#": "a/#", "a/+/b": "a/+/b", "a#": "a#", "a+b": "a+b"})
def topic_has_wildcards(context: Context, topic: str) -> None:
    """A message goes to one topic; wildcards have no place in its name."""
    client = context.connect("a")
    client.send(codec.publish(context.version, topic, b"m", qos=1, packet_id=1))
    client.expect_closed(*BROKEN, 0x90)


@case("MQTT-4.7.3-1")
def topic_is_empty(context: Context) -> None:
    """A topic name has at least one character (on MQTT 5, unless an alias stands for it)."""
    client = context.connect("a")
    client.send(codec.publish(context.version, "", b"m"))
    client.expect_closed(*BROKEN, 0x90)


@case(
    "MQTT-3.3.2-1", each={"no topic": b"", "cut length": b"\0", "cut topic": b"\0\x09ab", "no id": b"\0\1a"}
)
def publish_is_cut_short(context: Context, body: bytes) -> None:
    """A PUBLISH that ends within its topic or before its packet id is malformed."""
    client = context.connect("a")
    client.send(codec.packet(codec.PUBLISH, body, 2))
    client.expect_closed()


@case("MQTT-3.3.4-1", each={"1": 1, "300": 300, "65535": 65535})
def qos_1_is_acknowledged(context: Context, packet_id: int) -> None:
    """A message of QoS 1 is answered by PUBACK with its packet id. (3.1.1: also MQTT-2.3.1-6)"""
    client = context.connect("a")
    client.send(codec.publish(context.version, context.topic("x"), b"m", qos=1, packet_id=packet_id))
    answer = client.expect(codec.PUBACK, packet_id=packet_id)
    check(answer.code in (0, 0x10), "PUBACK with 0x00 or 0x10", answer)


@case("MQTT-3.3.4-1", each={"1": 1, "300": 300, "65535": 65535})
def qos_2_is_acknowledged(context: Context, packet_id: int) -> None:
    """A message of QoS 2 is answered by PUBREC with its packet id, and PUBREL by PUBCOMP."""
    client = context.connect("a")
    client.send(codec.publish(context.version, context.topic("x"), b"m", qos=2, packet_id=packet_id))
    answer = client.expect(codec.PUBREC, packet_id=packet_id)
    check(answer.code in (0, 0x10), "PUBREC with 0x00 or 0x10", answer)
    client.release(packet_id)


@case("MQTT-3.3.4-1")
def qos_0_is_not_acknowledged(context: Context) -> None:
    """A message of QoS 0 has no answer."""
    client = context.connect("a")
    client.publish(context.topic("x"), b"m")
    client.expect_alive()


@case(v4="MQTT-4.5.0-1", v5="MQTT-4.5.0-1", each=LENGTHS)
def payload_arrives_whole(context: Context, length: int) -> None:
    """Payloads of every length arrive as they were, whatever their bytes are."""
    topic = context.topic("x")
    payload = bytes(number * 7 % 256 for number in range(length))
    client = context.subscriber(topic, options=1)
    client.publish(topic, payload, qos=1)
    found = client.message(topic=topic).payload
    check(found == payload, f"the {length} bytes sent", f"{len(found)} bytes: {found[:20]!r}…")


@case("MQTT-4.3.1-1")
def qos_0_arrives_as_qos_0(context: Context) -> None:
    """A message of QoS 0 is sent on with QoS 0 and without DUP."""
    topic = context.topic("x")
    client = context.subscriber(topic)
    client.publish(topic, b"m")
    client.message(b"m", qos=0, dup=False)


@case(v4="MQTT-4.6.0-6", v5="MQTT-4.6.0-5", each={"0": 0, "1": 1, "2": 2})
def messages_stay_in_order(context: Context, qos: int) -> None:
    """Messages of one client on one topic arrive in the order in which they were sent."""
    topic, answer = context.topic("x"), codec.PUBACK if qos == 1 else codec.PUBREC
    subscriber, publisher = context.subscriber(topic), context.connect("p")
    for start in range(1, 101, WINDOW):
        ids = range(start, start + WINDOW)
        packets = [
            codec.publish(context.version, topic, f"{number}".encode(), qos=qos, packet_id=number)
            for number in ids
        ]
        publisher.send(b"".join(packets))
        for number in ids if qos else ():
            publisher.expect(answer, packet_id=number)
        for number in ids if qos == 2 else ():
            publisher.release(number)
    for number in range(1, 101):
        subscriber.message(f"{number}".encode())


@case(v4="MQTT-4.6.0-6", v5="MQTT-4.6.0-5")
def order_holds_through_a_wildcard(context: Context) -> None:
    """Each topic's messages stay in order when they come through the same subscription."""
    topics = [context.topic("x", name) for name in "abc"]
    subscriber, publisher = context.subscriber(context.topic("x", "+")), context.connect("p")
    for number in range(30):
        publisher.publish(topics[number % 3], f"{number}".encode(), qos=1)
    found = [subscriber.message() for _ in range(30)]
    for topic in topics:
        numbers = [int(message.payload) for message in found if message.topic == topic]
        check(numbers == sorted(numbers) and len(numbers) == 10, f"{topic} in order", numbers)


@case(v4="MQTT-4.5.0-1", v5="MQTT-4.5.0-1")
def every_subscriber_gets_the_message(context: Context) -> None:
    """A message goes to all who subscribed, the publisher among them, and to 3.1.1 and MQTT 5 alike."""
    topic = context.topic("x")
    clients = [context.subscriber(topic, name=f"s{number}", version=4 + number % 2) for number in range(4)]
    publisher = context.subscriber(topic, name="p")
    publisher.publish(topic, b"m", qos=1)
    for client in [*clients, publisher]:
        found = client.message(b"m", topic=topic, qos=1)
        check(not found.props, "no properties", found)


@case(
    "MQTT-4.7.3-4",
    each={
        "case": ("x/Temp", "x/temp"),
        "composed": ("x/\u00e9", "x/e\u0301"),
        "empty level": ("x//y", "x/y"),
        "trailing slash": ("x/y/", "x/y"),
        "leading slash": ("/x", "x"),
        "space": ("x/ y", "x/y"),
        "ligature": ("x/\ufb01", "x/fi"),
    },
)
def topics_are_not_normalized(context: Context, names: tuple[str, str]) -> None:
    """Topics that differ in any character are different topics."""
    first, second = (context.topic(name) for name in names)
    one, two = context.subscriber(first), context.subscriber(second, name="two")
    publisher = context.connect("p")
    publisher.publish(first, b"first", qos=1)
    publisher.publish(second, b"second", qos=1)
    one.message(b"first", topic=first)
    context.expect_only(one, publisher, first)
    two.message(b"second", topic=second)
    context.expect_only(two, publisher, second)


@case(v4="MQTT-7.1.1-1", v5="MQTT-4.2-1")
def packets_come_in_pieces(context: Context) -> None:
    """A packet may arrive byte by byte."""
    topic, version = context.topic("x"), context.version
    client = context.open()
    packets = codec.connect(version, context.id("a")) + codec.subscribe(version, 1, [(topic, 0)])
    for byte in packets:
        client.send(bytes([byte]))
    client.expect(codec.CONNACK, code=0)
    client.expect(codec.SUBACK, packet_id=1)
    for byte in codec.publish(version, topic, b"pieces"):
        client.send(bytes([byte]))
    client.message(b"pieces")


@case(v4="MQTT-7.1.1-1", v5="MQTT-4.2-1")
def packets_come_together(context: Context) -> None:
    """And many of them may arrive at once."""
    client, version = context.connect("a"), context.version
    topic = context.topic("x")
    packets = [codec.publish(version, topic, b"m", qos=1, packet_id=number) for number in range(1, 51)]
    client.send(b"".join(packets))
    for number in range(1, 51):
        client.expect(codec.PUBACK, packet_id=number)
