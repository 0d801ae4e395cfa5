"""Packets that are wrong whatever they are about: types, flags, lengths, properties and reason codes."""

from __future__ import annotations

from collections.abc import Callable

from . import codec
from .client import BROKEN
from .codec import V5
from .context import Context, check
from .properties import Property, text, u16
from .registry import case

ACKS = {"puback": codec.PUBACK, "pubrec": codec.PUBREC, "pubrel": codec.PUBREL, "pubcomp": codec.PUBCOMP}
# Packets with flags that their type does not have.
WRONG_FLAGS: dict[str, Callable[[int], bytes]] = {
    "puback": lambda version: codec.ack(version, codec.PUBACK, 1, flags=1),
    "puback 2": lambda version: codec.ack(version, codec.PUBACK, 1, flags=2),
    "pubrec": lambda version: codec.ack(version, codec.PUBREC, 1, flags=2),
    "pubcomp": lambda version: codec.ack(version, codec.PUBCOMP, 1, flags=2),
    "pingreq": lambda version: codec.packet(codec.PINGREQ, flags=2),
    "pingreq 8": lambda version: codec.packet(codec.PINGREQ, flags=8),
}
FROM_BROKERS: dict[str, Callable[[int], bytes]] = {
    "connack": lambda version: codec.packet(codec.CONNACK, b"\0\0" + (b"\0" if version == V5 else b"")),
    "suback": lambda version: codec.packet(codec.SUBACK, u16(1) + (b"\0\0" if version == V5 else b"\0")),
    "unsuback": lambda version: codec.packet(codec.UNSUBACK, u16(1) + (b"\0\0" if version == V5 else b"")),
    "pingresp": lambda version: codec.packet(codec.PINGRESP),
}
# Makers of otherwise good packets with the given properties.
WITH_PROPERTIES: dict[str, Callable[[list], bytes]] = {
    "publish": lambda props: codec.publish(V5, "t", b"m", qos=1, packet_id=1, props_=props),
    "puback": lambda props: codec.ack(V5, codec.PUBACK, 1, 0, props),
    "pubrec": lambda props: codec.ack(V5, codec.PUBREC, 1, 0, props),
    "pubrel": lambda props: codec.ack(V5, codec.PUBREL, 1, 0, props),
    "pubcomp": lambda props: codec.ack(V5, codec.PUBCOMP, 1, 0, props),
    "subscribe": lambda props: codec.subscribe(V5, 1, [("t", 0)], props),
    "unsubscribe": lambda props: codec.unsubscribe(V5, 1, ["t"], props),
    "disconnect": lambda props: codec.disconnect(V5, 4, props),
}
# A property that each of them may not have, though others may.
FOREIGN: dict[str, list[Property]] = {
    "publish": [("session_expiry", 1), ("reason_string", "r"), ("will_delay", 1), ("server_reference", "s")],
    "puback": [("content_type", "t"), ("session_expiry", 1), ("topic_alias", 1)],
    "pubrec": [("content_type", "t"), ("subscription_id", 1)],
    "pubrel": [("content_type", "t"), ("receive_maximum", 1)],
    "pubcomp": [("content_type", "t"), ("message_expiry", 1)],
    "subscribe": [("reason_string", "r"), ("topic_alias", 1), ("payload_format", 0)],
    "unsubscribe": [("subscription_id", 1), ("reason_string", "r")],
    "disconnect": [("subscription_id", 1), ("will_delay", 1), ("topic_alias", 1), ("auth_method", "m")],
}
BAD_CODES = {
    f"{name} 0x{code:02X}": (kind, code)
    for name, kind in ACKS.items()
    for code in ((0x01, 0x7F, 0xFF) if name in ("puback", "pubrec") else (0x01, 0x10, 0x80, 0xFF))
}


def expect_thrown_out(context: Context, packet: bytes, *codes: int) -> None:
    client = context.connect("a")
    client.send(packet)
    client.expect_closed(*(codes or BROKEN))


@case(v4="MQTT-2.2.2-2", v5="MQTT-2.1.3-1", each=WRONG_FLAGS)
def header_flags(context: Context, make: Callable[[int], bytes]) -> None:
    """The flags that a packet type does not use are fixed. (3.1.1: also MQTT-2.2.2-1)"""
    expect_thrown_out(context, make(context.version))


@case("MQTT-3.6.1-1", each={f"{flags:04b}": flags for flags in (0b0000, 0b0001, 0b0011, 0b1010)})
def pubrel_header_flags(context: Context, flags: int) -> None:
    """The flags of PUBREL are 0010."""
    client = context.connect("a")
    client.send(codec.publish(context.version, context.topic("x"), b"m", qos=2, packet_id=1))
    client.expect(codec.PUBREC, packet_id=1)
    client.send(codec.ack(context.version, codec.PUBREL, 1, flags=flags))
    client.expect_closed()


@case("MQTT-3.14.1-1", each={"1": 1, "2": 2, "8": 8})
def disconnect_header_flags(context: Context, flags: int) -> None:
    """The flags of DISCONNECT are 0: otherwise it is none, and the will is published."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    client = context.connect("a", will=codec.Will(topic, b"gone"))
    client.send(codec.packet(codec.DISCONNECT, flags=flags))
    client.expect_closed()
    watcher.message(b"gone")


@case(v4="MQTT-4.8.0-1", v5="MQTT-4.13.1-1", each=FROM_BROKERS)
def packet_that_brokers_send(context: Context, make: Callable[[int], bytes]) -> None:
    """Packets that only brokers send are protocol errors when a client sends them."""
    expect_thrown_out(context, make(context.version))


@case(v4="MQTT-4.8.0-1", v5="MQTT-4.13.1-1", each={"empty": b"\0\0", "with body": b"\0\2ab"})
def packet_type_0(context: Context, packet: bytes) -> None:
    """There is no packet type 0."""
    expect_thrown_out(context, packet)


@case(v4="MQTT-4.8.0-1", each={"empty": b"\xf0\0", "as in 5": codec.auth(0)})
def packet_type_15(context: Context, packet: bytes) -> None:
    """3.1.1 has no packet type 15."""
    expect_thrown_out(context, packet)


@case(
    v4="MQTT-4.8.0-1",
    v5="MQTT-4.13.1-1",
    each={"pingreq": 0xC0, "publish": 0x30, "puback": 0x40, "subscribe": 0x82},
)
def remaining_length_of_five_bytes(context: Context, first: int) -> None:
    """A remaining length has four bytes at most."""
    expect_thrown_out(context, bytes([first]) + b"\xff\xff\xff\xff\x01" + b"a" * 20, *BROKEN, 0x95)


@case(v5="MQTT-1.5.5-1", each={"remaining length": b"\xc0\x80\0", "properties": b"\x30\x07\0\1t\x80\x80\0m"})
def number_is_longer_than_needed(context: Context, packet: bytes) -> None:
    """A number that takes more bytes than it needs is malformed; a broker may read it all the same."""
    client = context.connect("a")
    client.send(packet)
    answer = client.ask(codec.pingreq())
    if answer is not None and answer.kind != codec.PINGRESP:
        check(answer.kind == codec.DISCONNECT and answer.code in BROKEN, "a close, or PINGRESP", answer)


@case(v4="MQTT-4.8.0-1", v5="MQTT-4.13.1-1", each=ACKS)
def ack_without_packet_id(context: Context, kind: int) -> None:
    """An ack has a packet id."""
    expect_thrown_out(context, codec.packet(kind, b"\0"))


@case(v4="MQTT-2.3.1-1", v5="MQTT-2.2.1-5", each={"pubrel": codec.PUBREL})
def pubrel_with_packet_id_0(context: Context, kind: int) -> None:
    """No handshake has packet id 0: the broker closes, or answers as for any id it does not know."""
    client = context.connect("a")
    answer = client.ask(codec.ack(context.version, kind, 0))
    fitting = answer is None or answer.kind in (codec.DISCONNECT, codec.PUBCOMP)
    check(fitting, "a close or PUBCOMP", answer)


@case(v4="MQTT-4.8.0-1", v5="MQTT-4.13.1-1")
def pingreq_with_a_body(context: Context) -> None:
    """PINGREQ is two bytes long."""
    expect_thrown_out(context, codec.packet(codec.PINGREQ, b"a"))


@case(v4="MQTT-4.8.0-1", each=ACKS)
def ack_with_a_tail(context: Context, kind: int) -> None:
    """Acks of 3.1.1 have a packet id and nothing else."""
    expect_thrown_out(context, codec.packet(kind, u16(1) + b"\0"))


@case(v4="MQTT-4.8.0-1")
def disconnect_with_a_tail(context: Context) -> None:
    """DISCONNECT of 3.1.1 is two bytes long: another one does not discard the will."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    client = context.connect("a", will=codec.Will(topic, b"gone"))
    client.send(codec.packet(codec.DISCONNECT, b"\0"))
    client.expect_closed()
    watcher.message(b"gone")


@case("MQTT-3.12.4-1", each={"once": 1, "many": 50})
def pingreq_is_answered(context: Context, times: int) -> None:
    """Every PINGREQ has a PINGRESP."""
    client = context.connect("a")
    client.send(codec.pingreq() * times)
    for _ in range(times):
        client.expect(codec.PINGRESP)


@case(v5="MQTT-4.13.1-1", each=WITH_PROPERTIES)
def unknown_property(context: Context, make: Callable[[list], bytes]) -> None:
    """A property that is not defined makes any packet malformed."""
    expect_thrown_out(context, make([b"\x7f\x00"]))


@case(
    v5="MQTT-4.13.1-1",
    each={
        f"{packet} {entry[0]}": (WITH_PROPERTIES[packet], entry)
        for packet, entries in FOREIGN.items()
        for entry in entries
    },
)
def property_of_other_packets(context: Context, given: tuple) -> None:
    """So does one that is not defined for this packet."""
    make, entry = given
    expect_thrown_out(context, make([entry]))


@case(
    v5="MQTT-4.13.1-1",
    each={name: make for name, make in WITH_PROPERTIES.items() if name in ACKS or name == "disconnect"},
)
def reason_string_twice(context: Context, make: Callable[[list], bytes]) -> None:
    """A packet has one reason string at most."""
    expect_thrown_out(context, make([("reason_string", "a"), ("reason_string", "b")]))


@case(v5="MQTT-1.5.4-1", each={name: make for name, make in WITH_PROPERTIES.items() if name in ACKS})
def reason_string_is_not_text(context: Context, make: Callable[[list], bytes]) -> None:
    """A reason string is UTF-8."""
    expect_thrown_out(context, make([("reason_string", b"\xff")]))


@case(v5="MQTT-1.5.7-1", each=WITH_PROPERTIES)
def user_property_is_not_utf8(context: Context, make: Callable[[list], bytes]) -> None:
    """User properties are UTF-8 in every packet."""
    expect_thrown_out(context, make([("user_property", ("k", b"\xc3"))]))


@case(v5="MQTT-1.5.4-2", each={name: make for name, make in WITH_PROPERTIES.items() if name != "publish"})
def user_property_has_a_nul(context: Context, make: Callable[[list], bytes]) -> None:
    """And have no U+0000, as no string has."""
    expect_thrown_out(context, make([("user_property", ("k", b"a\0b"))]))


@case(v5="MQTT-2.2.2-1", each={name: make for name, make in WITH_PROPERTIES.items() if name != "publish"})
def properties_behind_the_end(context: Context, make: Callable[[list], bytes]) -> None:
    """The length of the properties cannot exceed the packet."""
    packet = bytearray(make([("user_property", ("k", "v"))]))
    at = packet.index(b"\x26\x00\x01k") - 1
    packet[at] = 0x7F
    expect_thrown_out(context, bytes(packet))


@case(v5="MQTT-2.2.2-1", each={name: make for name, make in WITH_PROPERTIES.items() if name in ACKS})
def bytes_behind_the_properties(context: Context, make: Callable[[list], bytes]) -> None:
    """An ack ends with its properties."""
    packet = make([("user_property", ("k", "v"))])
    expect_thrown_out(context, packet[:1] + bytes([packet[1] + 1]) + packet[2:] + b"\0")


@case(v5="MQTT-3.4.2-1", each=BAD_CODES)
def ack_with_a_reason_that_is_none(context: Context, given: tuple[int, int]) -> None:
    """An ack has one of the reason codes of its type. (also MQTT-3.5.2-1, MQTT-3.6.2-1, MQTT-3.7.2-1)"""
    kind, code = given
    topic = context.topic("x")
    client = context.subscriber(topic)
    packet_id = 1
    if kind == codec.PUBREL:
        client.send(codec.publish(V5, context.topic("y"), b"m", qos=2, packet_id=1))
        client.expect(codec.PUBREC)
    else:
        client.publish(topic, b"m", qos=1 if kind == codec.PUBACK else 2)
        packet_id = client.message(ack=False).packet_id
    if kind == codec.PUBCOMP:
        client.send(codec.ack(V5, codec.PUBREC, packet_id))
        client.expect(codec.PUBREL)
    client.send(codec.ack(V5, kind, packet_id, code))
    client.expect_closed()


@case(
    v5="MQTT-3.4.2-1",
    each={
        f"{name} {form}": (kind, form) for name, kind in ACKS.items() for form in ("short", "code", "full")
    },
)
def ack_in_every_length(context: Context, given: tuple[int, str]) -> None:
    """An ack may leave out its properties, and its code if that is 0."""
    kind, form = given
    client = context.connect("a")
    tail = {"short": b"", "code": b"\x92", "full": b"\x92\0"}[form]
    if kind in (codec.PUBACK, codec.PUBREC):
        tail = tail.replace(b"\x92", b"\x80")
    topic = context.topic("x")
    client.subscribe(topic, options=2)
    if kind == codec.PUBREL:
        client.send(codec.publish(V5, context.topic("y"), b"m", qos=2, packet_id=1))
        client.expect(codec.PUBREC)
        client.send(codec.packet(kind, u16(1) + tail))
        client.expect(codec.PUBCOMP, packet_id=1)
        return
    client.publish(topic, b"m", qos=1 if kind == codec.PUBACK else 2)
    message = client.message(ack=False)
    if kind == codec.PUBCOMP:
        client.send(codec.ack(V5, codec.PUBREC, message.packet_id))
        client.expect(codec.PUBREL)
    client.send(codec.packet(kind, u16(message.packet_id) + tail))
    if kind == codec.PUBREC and form == "short":
        client.expect(codec.PUBREL, packet_id=message.packet_id)
    client.expect_nothing()


@case(v4="MQTT-4.8.0-1", v5="MQTT-4.13.1-1")
def one_bad_client_does_not_harm_others(context: Context) -> None:
    """Only the connection on which the violation came is closed."""
    topic = context.topic("x")
    good = context.subscriber(topic)
    bad = context.connect("bad")
    bad.send(b"\xff" * 64)
    bad.expect_closed()
    good.publish(topic, b"m", qos=1)
    good.message(b"m")


@case(v4="MQTT-4.8.0-1", v5="MQTT-4.13.1-1")
def nothing_after_a_violation(context: Context) -> None:
    """What follows the violation in the same stream is not processed."""
    topic = context.topic("x")
    subscriber, bad = context.subscriber(topic), context.connect("bad")
    violation = codec.packet(codec.SUBSCRIBE, u16(1) + text("t"), 0)
    bad.send(violation + codec.publish(context.version, topic, b"smuggled"))
    bad.expect_closed()
    context.expect_only(subscriber, context.connect("p"), topic)
