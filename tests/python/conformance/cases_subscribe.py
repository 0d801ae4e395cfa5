"""SUBSCRIBE and SUBACK; what a subscription gets, and how it is replaced."""

from __future__ import annotations

from . import codec
from .cases_publish import NOT_TEXT
from .client import BROKEN
from .codec import V5
from .context import Context, check
from .properties import u16
from .registry import case

NO_LOCAL = 0x04
WRONG_FLAGS = {f"{flags:04b}": flags for flags in (0b0000, 0b0001, 0b0011, 0b0110, 0b1010)}
# Filters with a wildcard where none may be.
MULTI = {name: name for name in ("a#", "a/b#", "#/a", "a/#/b", "##", "a/#/", "#b", "a/#b", "+#")}
SINGLE = {name: name for name in ("a+", "+a", "a+/b", "a/b+", "++", "a/+b", "a/+b/c", "+/+a", "a/+#", "a/++")}


def expect_denied(context: Context, filter_: str | bytes) -> None:
    """The broker closes, or says in SUBACK that it does not take the filter."""
    client = context.connect("a")
    found = client.ask(codec.subscribe(context.version, 1, [(filter_, 0)]))
    if found is None:
        return
    if found.kind == codec.DISCONNECT:
        check(found.code in (*BROKEN, 0x8F), "DISCONNECT with 0x81, 0x82 or 0x8F", found)
        return
    check(found.kind == codec.SUBACK and found.codes[0] >= 0x80, "a close, or SUBACK with a failure", found)


@case("MQTT-3.8.1-1", each=WRONG_FLAGS)
def subscribe_header_flags(context: Context, flags: int) -> None:
    """The flags of SUBSCRIBE are 0010."""
    client = context.connect("a")
    client.send(codec.subscribe(context.version, 1, [(context.topic("x"), 0)], flags=flags))
    client.expect_closed()


@case(v4="MQTT-3.8.3-3", v5="MQTT-3.8.3-2")
def subscribe_without_filters(context: Context) -> None:
    """A SUBSCRIBE asks for something."""
    client = context.connect("a")
    client.send(codec.subscribe(context.version, 1, []))
    client.expect_closed()


@case(v4="MQTT-2.3.1-1", v5="MQTT-2.2.1-3")
def subscribe_with_packet_id_0(context: Context) -> None:
    """A SUBSCRIBE has a packet id that is not 0."""
    client = context.connect("a")
    client.send(codec.subscribe(context.version, 0, [(context.topic("x"), 0)]))
    client.expect_closed()


@case("MQTT-3.8.3-4", each={"3": 3})
def subscribe_with_qos_3(context: Context, options: int) -> None:
    """No subscription has QoS 3. (MQTT 5 calls it a protocol error, without a number.)"""
    client = context.connect("a")
    client.send(codec.subscribe(context.version, 1, [(context.topic("x"), options)]))
    client.expect_closed()


@case(v4="MQTT-3.8.3-4", each={f"bit {bit}": 1 << bit for bit in range(2, 8)})
def reserved_bits_of_the_qos(context: Context, bits: int) -> None:
    """3.1.1 reserves all bits beside the QoS."""
    client = context.connect("a")
    client.send(codec.subscribe(context.version, 1, [(context.topic("x"), 1 | bits)]))
    client.expect_closed()


@case(v5="MQTT-3.8.3-5", each={"bit 6": 0x40, "bit 7": 0x80, "both": 0xC0})
def reserved_bits_of_the_options(context: Context, bits: int) -> None:
    """MQTT 5 reserves the upper two bits of the options."""
    client = context.connect("a")
    client.send(codec.subscribe(V5, 1, [(context.topic("x"), 1 | bits)]))
    client.expect_closed()


@case("MQTT-3.8.3-1", each=NOT_TEXT)
def filter_is_not_text(context: Context, filter_: bytes) -> None:
    """A topic filter is UTF-8."""
    client = context.connect("a")
    client.send(codec.subscribe(context.version, 1, [(filter_, 0)]))
    client.expect_closed(*BROKEN, 0x8F)


@case("MQTT-4.7.3-2")
def filter_has_a_nul(context: Context) -> None:
    """No topic filter has the character U+0000."""
    client = context.connect("a")
    client.send(codec.subscribe(context.version, 1, [(b"a\0b", 0)]))
    client.expect_closed(*BROKEN, 0x8F)


@case(
    v4="MQTT-3.8.3-3", v5="MQTT-3.8.3-2", each={"no options": b"\0\1x", "cut filter": b"\0\5ab", "cut": b"\0"}
)
def subscribe_is_cut_short(context: Context, tail: bytes) -> None:
    """Every filter has its options."""
    client = context.connect("a")
    body = u16(1) + (b"\0" if context.v5 else b"") + tail
    client.send(codec.packet(codec.SUBSCRIBE, body))
    client.expect_closed()


@case("MQTT-4.7.3-1")
def filter_is_empty(context: Context) -> None:
    """A topic filter has at least one character."""
    expect_denied(context, "")


@case(v4="MQTT-4.7.1-2", v5="MQTT-4.7.1-1", each=MULTI)
def multi_level_wildcard_is_misplaced(context: Context, filter_: str) -> None:
    """`#` is the last level, and the whole of it."""
    expect_denied(context, filter_)


@case(v4="MQTT-4.7.1-3", v5="MQTT-4.7.1-2", each=SINGLE)
def single_level_wildcard_is_misplaced(context: Context, filter_: str) -> None:
    """`+` is the whole of its level."""
    expect_denied(context, filter_)


@case("MQTT-3.8.4-2", each={"1": 1, "256": 256, "65535": 65535})
def suback_has_the_packet_id(context: Context, packet_id: int) -> None:
    """SUBACK answers with the packet id of SUBSCRIBE. (also MQTT-3.8.4-1)"""
    client = context.connect("a")
    client.send(codec.subscribe(context.version, packet_id, [(context.topic("x"), 0)]))
    client.expect(codec.SUBACK, packet_id=packet_id, codes=[0])


@case("MQTT-3.9.3-1")
def suback_codes_are_in_order(context: Context) -> None:
    """SUBACK has a code for each filter, in their order. (also MQTT-3.8.4-5, and MQTT-3.8.4-6 of MQTT 5)"""
    client = context.connect("a")
    wanted = [0, 1, 2, 2, 1, 0, 1]
    filters = [(context.topic(f"{number}"), qos) for number, qos in enumerate(wanted)]
    client.send(codec.subscribe(context.version, 1, filters))
    client.expect(codec.SUBACK, packet_id=1, codes=wanted)


@case(v4="MQTT-3.8.4-4", v5="MQTT-3.8.4-5")
def filters_count_one_after_the_other(context: Context) -> None:
    """Many filters in one packet are as many packets: of two that are equal, the second one stays."""
    topic = context.topic("x")
    client, publisher = context.connect("a"), context.connect("p")
    client.send(codec.subscribe(context.version, 1, [(topic, 2), (context.topic("y"), 1), (topic, 0)]))
    client.expect(codec.SUBACK, codes=[2, 1, 0])
    publisher.publish(topic, b"m", qos=2)
    client.message(b"m", qos=0)
    context.expect_only(client, publisher, topic)


@case("MQTT-3.8.4-3", each={f"{a} to {b}": (a, b) for a in range(3) for b in range(3) if a != b})
def subscription_is_replaced(context: Context, qos: tuple[int, int]) -> None:
    """A second subscription with the same filter replaces the first: one copy, with the new QoS."""
    topic = context.topic("x")
    client, publisher = context.connect("a"), context.connect("p")
    for granted in qos:
        client.subscribe(topic, options=granted)
    publisher.publish(topic, b"m", qos=2)
    client.message(b"m", qos=qos[1])
    context.expect_only(client, publisher, topic)


@case("MQTT-3.8.4-3")
def subscription_is_replaced_after_resuming(context: Context) -> None:
    """That is so when the first one was made on an earlier connection."""
    topic = context.topic("x")
    context.subscriber(topic, name="a", keep=True, options=0).disconnect()
    client, publisher = context.resume("a"), context.connect("p")
    client.subscribe(topic, options=2)
    publisher.publish(topic, b"m", qos=2)
    client.message(b"m", qos=2)
    context.expect_only(client, publisher, topic)


@case(
    v4="MQTT-3.3.5-1", v5="MQTT-3.3.4-2", each={"low first": (0, 2), "high first": (2, 0), "1 and 0": (1, 0)}
)
def overlapping_subscriptions(context: Context, qos: tuple[int, int]) -> None:
    """Where subscriptions overlap, the highest of their QoS counts, in one copy or in several."""
    topic = context.topic("x", "y")
    client, publisher = context.connect("a"), context.connect("p")
    client.subscribe(context.topic("x", "+"), options=qos[0])
    client.subscribe(context.topic("#"), options=qos[1])
    publisher.publish(topic, b"m", qos=2)
    # Copies of different QoS may come in any order, and the last message overlaps as well.
    found = context.received(client, publisher, topic, 2) + client.waiting()
    granted = [message.qos for message in found if message.payload == b"m"]
    check(max(granted, default=-1) == max(qos) and len(granted) <= 2, f"QoS {max(qos)}, at most twice", found)


@case(v5="MQTT-3.8.3-3")
def no_local(context: Context) -> None:
    """A subscription with No Local does not get what its own client publishes, and gets all else."""
    topic = context.topic("x")
    client, other = context.subscriber(topic, options=1 | NO_LOCAL), context.connect("p")
    client.publish(topic, b"own", qos=1)
    other.publish(topic, b"other", qos=1)
    context.expect_only(client, other, topic, b"other")


@case(v5="MQTT-3.8.3-3")
def no_local_is_of_the_subscription(context: Context) -> None:
    """The client's other subscriptions still get it."""
    topic = context.topic("x")
    client = context.subscriber(topic, options=1 | NO_LOCAL)
    client.subscribe(context.topic("+"), options=1)
    client.publish(topic, b"own", qos=1)
    client.message(b"own", topic=topic)
    client.expect_nothing()


@case(v5="MQTT-3.8.3-3")
def no_local_after_resuming(context: Context) -> None:
    """It is the client id that counts, not the connection."""
    topic = context.topic("x")
    context.subscriber(topic, name="a", keep=True, options=1 | NO_LOCAL).disconnect()
    client, other = context.resume("a"), context.connect("p")
    client.publish(topic, b"own", qos=1)
    context.expect_only(client, other, topic)


@case(v4="MQTT-4.5.0-1", v5="MQTT-4.5.0-1")
def many_subscriptions_of_one_client(context: Context) -> None:
    """A hundred subscriptions in one packet work each."""
    topics = [context.topic(f"{number}") for number in range(100)]
    client, publisher = context.subscriber(*topics, options=1), context.connect("p")
    for topic in topics:
        publisher.publish(topic, topic.encode(), qos=1)
    found = {client.message().topic for _ in topics}
    check(found == set(topics), "all hundred topics", len(found))
