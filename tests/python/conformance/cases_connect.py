"""CONNECT: what its fixed header, flags, names and payload may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import codec
from .client import BROKEN, Client
from .codec import V5, V311, Will
from .context import Context, check
from .properties import text, u16
from .registry import case

# CONNACK without more than a code, as each version has it: 3.1.1 refuses with 0x01, MQTT 5 with 0x84.
UNSUPPORTED_311 = bytes.fromhex("20020001")
UNSUPPORTED_5 = bytes.fromhex("2003008400")


def refused(client: Client, packet: bytes, *codes: int) -> None:
    """The broker closes on this CONNECT, and never accepts it. 3.1.1 wants no CONNACK for a broken one."""
    client.send(packet)
    client.expect_closed(*(codes or BROKEN))


@case(
    "MQTT-3.1.0-1",
    each={
        "publish": lambda version: codec.publish(version, "t", b"m"),
        "subscribe": lambda version: codec.subscribe(version, 1, [("t", 0)]),
        "pingreq": lambda version: codec.pingreq(),
        "puback": lambda version: codec.ack(version, codec.PUBACK, 1),
        "disconnect": codec.disconnect,
    },
)
def first_packet_is_connect(context: Context, make: Callable[[int], bytes]) -> None:
    """A connection that starts with another packet is closed, without an answer to that packet."""
    client = context.open()
    client.send(make(context.version))
    raw = client.read_all()
    check(raw == b"", "a close without any packet", raw.hex(" "))


@case("MQTT-3.1.0-2")
def second_connect_closes(context: Context) -> None:
    """A second CONNECT on the same connection ends it."""
    client = context.connect("a")
    client.send(codec.connect(context.version, context.id("a")))
    client.expect_closed(0x82)


@case("MQTT-3.1.2-1", each={"other": "MQTX", "lower-case": "mqtt", "empty": "", "longer": "MQTTT"})
def wrong_protocol_name(context: Context, name: str) -> None:
    """A name that is not the protocol's is not accepted."""
    client = context.open()
    client.send(codec.connect(context.version, context.id("a"), name=name))
    raw = client.read_all()
    check(raw in (b"", UNSUPPORTED_5, UNSUPPORTED_311), "a close, at most after a refusal", raw.hex(" "))


@case(v4="MQTT-3.1.2-2", each={"2": 2, "0": 0, "127": 127})
def unsupported_level_is_answered(context: Context, level: int) -> None:
    """A protocol level that the broker does not speak gets return code 1, then the close."""
    client = context.open()
    client.send(codec.connect(V311, context.id("a"), level=level))
    raw = client.read_all()
    check(raw in (UNSUPPORTED_311, UNSUPPORTED_5), f"{UNSUPPORTED_311.hex(' ')}, then a close", raw.hex(" "))


@case(v5="MQTT-3.1.2-2", each={"6": 6, "255": 255})
def unsupported_version_is_refused(context: Context, level: int) -> None:
    """A later protocol version is not accepted."""
    client = context.open()
    client.send(codec.connect(V5, context.id("a"), level=level))
    raw = client.read_all()
    check(raw in (b"", UNSUPPORTED_5, UNSUPPORTED_311), "a close, at most after a refusal", raw.hex(" "))


@case("MQTT-3.1.2-3")
def reserved_connect_flag(context: Context) -> None:
    """The lowest connect flag must be 0."""
    refused(context.open(), codec.connect(context.version, context.id("a"), connect_flags=0b11))


@case(v4="MQTT-2.2.2-2", v5="MQTT-2.1.3-1", each={"1": 1, "8": 8})
def connect_header_flags(context: Context, flags: int) -> None:
    """The flags in the fixed header of CONNECT must be 0."""
    refused(context.open(), codec.connect(context.version, context.id("a"), header_flags=flags))


@case(v4="MQTT-3.1.2-13", v5="MQTT-3.1.2-11", each={"1": 0b01010, "2": 0b10010})
def will_qos_without_will(context: Context, flags: int) -> None:
    """There is no QoS of a will that there is not."""
    refused(context.open(), codec.connect(context.version, context.id("a"), connect_flags=flags))


@case(v4="MQTT-3.1.2-15", v5="MQTT-3.1.2-13")
def will_retain_without_will(context: Context) -> None:
    """A will that there is not cannot be retained."""
    refused(context.open(), codec.connect(context.version, context.id("a"), connect_flags=0b100010))


@case(v4="MQTT-3.1.2-14", v5="MQTT-3.1.2-12")
def will_qos_3(context: Context) -> None:
    """A will has QoS 0, 1 or 2."""
    will = Will(context.topic("will"), qos=3)
    refused(context.open(), codec.connect(context.version, context.id("a"), will=will))


@case("MQTT-3.1.2-9")
def will_flag_without_will(context: Context) -> None:
    """With the will flag set, topic and payload of the will must be there."""
    refused(context.open(), codec.connect(context.version, context.id("a"), connect_flags=0b110))


@case(v4="MQTT-3.1.2-11", v5="MQTT-3.1.4-1")
def will_without_will_flag(context: Context) -> None:
    """Without the will flag, there is nothing behind the client id."""
    tail = (b"\0" if context.v5 else b"") + text("w") + text("w")
    refused(context.open(), codec.connect(context.version, context.id("a"), tail=tail))


@case(v4="MQTT-3.1.2-22")
def password_without_user_name(context: Context) -> None:
    """3.1.1 has no password without a user name."""
    refused(context.open(), codec.connect(V311, context.id("a"), password=b"secret"))


@case(v5="MQTT-3.1.2-19")
def password_alone_is_valid(context: Context) -> None:
    """MQTT 5 has: the broker may not trust it, but the packet is well formed."""
    client = context.open()
    client.send(codec.connect(V5, context.id("a"), password=b"secret"))
    answer = client.expect(codec.CONNACK)
    check(answer.code in (0, 0x86, 0x87), "CONNACK with 0x00, 0x86 or 0x87", answer)


@case(v4="MQTT-3.1.2-19", v5="MQTT-3.1.2-17")
def user_name_flag_without_user_name(context: Context) -> None:
    """With the user name flag set, there must be a user name."""
    refused(context.open(), codec.connect(context.version, context.id("a"), connect_flags=0x82))


@case(v4="MQTT-3.1.2-18", v5="MQTT-3.1.2-16")
def user_name_without_flag(context: Context) -> None:
    """Without the user name flag, there must not be one."""
    refused(context.open(), codec.connect(context.version, context.id("a"), tail=text("someone")))


@case(v4="MQTT-3.1.2-21", v5="MQTT-3.1.2-19")
def password_flag_without_password(context: Context) -> None:
    """With the password flag set, there must be a password."""
    fields: dict[str, Any] = {"username": "someone", "connect_flags": 0xC2}
    refused(context.open(), codec.connect(context.version, context.id("a"), **fields))


@case(v4="MQTT-3.1.2-20", v5="MQTT-3.1.2-18")
def password_without_flag(context: Context) -> None:
    """Without the password flag, there must not be one."""
    fields: dict[str, Any] = {"username": "someone", "tail": text("secret")}
    refused(context.open(), codec.connect(context.version, context.id("a"), **fields))


@case("MQTT-3.1.3-3")
def client_id_is_missing(context: Context) -> None:
    """A CONNECT without a payload lacks the client id."""
    body = text("MQTT") + bytes([context.version, 2]) + u16(60) + (b"\0" if context.v5 else b"")
    refused(context.open(), codec.packet(codec.CONNECT, body))


@case("MQTT-3.1.3-4", each={"ill-formed": b"a\xc3(b", "cut": b"ab\xe2\x82", "nul": b"a\0b"})
def client_id_is_not_text(context: Context, client_id: bytes) -> None:
    """A client id is UTF-8."""
    # A 3.1.1 broker may also say that it rejects the identifier.
    refused(context.open(), codec.connect(context.version, client_id), *BROKEN, 0x85, 0x02)


@case("MQTT-3.1.3-5", each={"1": 1, "22": 22, "23": 23})
def client_ids_of_every_length(context: Context, length: int) -> None:
    """Client ids of 1 to 23 letters and digits are good."""
    letters = "Zz09" + context.prefix[::-1] + "AbCdEfGhIjKlMnOpQrStUvWxYz"
    client_id = letters[:length] if length > 1 else "qr"[context.v5]
    context.open().connect(client_id)


@case(v4="MQTT-3.1.3-6", v5="MQTT-3.1.3-6")
def empty_client_id_gets_one(context: Context) -> None:
    """Clients without an id are not mistaken for each other."""
    first, second = context.open(), context.open()
    first.connect("")
    second.connect("")
    first.expect_alive()
    second.expect_alive()


@case(v4="MQTT-3.1.3-8")
def empty_client_id_needs_clean_session(context: Context) -> None:
    """There is no session to keep for a client without a name: return code 2, then the close."""
    client = context.open()
    client.send(codec.connect(V311, "", clean=False))
    client.expect(codec.CONNACK, code=2, session_present=False)
    client.expect_closed()


@case(v5="MQTT-3.2.2-16")
def assigned_client_id_is_new(context: Context) -> None:
    """Each client without an id is told one that nobody else has."""
    names = set()
    for _ in range(3):
        client = context.open()
        names.add(client.connect("").prop("assigned_client_id"))
    check(None not in names and len(names) == 3, "three different assigned client ids", names)


@case(v5="MQTT-3.1.3-7", each={"clean": True, "not clean": False})
def assigned_client_id_names_the_session(context: Context, clean: bool) -> None:
    """The assigned id is as good as one that the client brought: its session can be resumed by it."""
    client = context.open()
    expiry = [("session_expiry", 5)]
    name = client.connect("", clean=clean, props_=expiry).prop("assigned_client_id")
    check(bool(name), "an assigned client id", name)
    client.subscribe(context.topic("x"))
    client.drop()
    again = context.open()
    answer = again.connect(name, clean=False)
    check(answer.session_present, "session_present=1", answer)


@case(v5="MQTT-3.2.2-16")
def known_client_id_is_not_assigned(context: Context) -> None:
    """A client that brought an id is not told another."""
    client = context.connect("a")
    check(client.connack.prop("assigned_client_id") is None, "no assigned client id", client.connack)


@case(
    "MQTT-3.1.4-1",
    each={"empty": b"", "name only": text("MQTT"), "no keep alive": text("MQTT") + b"\x04\x02"},
)
def connect_is_cut_short(context: Context, body: bytes) -> None:
    """A CONNECT that ends before its fixed fields do is not one."""
    refused(context.open(), codec.packet(codec.CONNECT, body), *BROKEN, 0x84)


@case(v4="MQTT-3.1.3-11", v5="MQTT-3.1.3-12", each={"ill-formed": b"\xff\xfe", "nul": b"a\0"})
def user_name_is_not_text(context: Context, username: bytes) -> None:
    """A user name is UTF-8."""
    fields: dict[str, Any] = {"username": username, "password": b"p"}
    refused(context.open(), codec.connect(context.version, context.id("a"), **fields), *BROKEN, 0x86, 0x04)


@case(v4="MQTT-3.1.3-10", v5="MQTT-3.1.3-11", each={"ill-formed": b"w\xed\xa0\x80", "nul": b"w\0"})
def will_topic_is_not_text(context: Context, topic: bytes) -> None:
    """The topic of a will is UTF-8."""
    packet = codec.connect(context.version, context.id("a"), will=Will(topic))
    refused(context.open(), packet, *BROKEN, 0x90, 0x05)


@case(v4="MQTT-4.7.1-1", v5="MQTT-4.7.0-1", each={"#": "w/#", "+": "w/+/x"})
def will_topic_has_wildcards(context: Context, topic: str) -> None:
    """A will is published to a topic, not to a filter."""
    packet = codec.connect(context.version, context.id("a"), will=Will(topic))
    refused(context.open(), packet, *BROKEN, 0x90, 0x05)


@case("MQTT-4.7.3-1")
def will_topic_is_empty(context: Context) -> None:
    """The topic of a will has at least one character."""
    packet = codec.connect(context.version, context.id("a"), will=Will(""))
    refused(context.open(), packet, *BROKEN, 0x90, 0x05)


@case(v4="MQTT-3.1.4-5", v5="MQTT-3.1.4-6")
def nothing_after_a_refused_connect(context: Context) -> None:
    """What follows a CONNECT that was refused is not processed."""
    topic = context.topic("x")
    subscriber = context.subscriber(topic)
    bad = context.open()
    refusable = codec.connect(V311, "", clean=False)
    if context.v5:
        refusable = codec.connect(V5, context.id("a"), props_=[("auth_method", "no-such-method")])
    bad.send(refusable + codec.publish(context.version, topic, b"smuggled"))
    bad.read_all()
    context.expect_only(subscriber, context.connect("p"), topic)
