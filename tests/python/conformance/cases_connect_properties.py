"""The properties of CONNECT, of its will, and of the CONNACK that answers."""

from __future__ import annotations

from . import codec
from .client import Client
from .codec import V5, Will
from .context import Context, check
from .properties import Properties, Property, u16
from .registry import case

# Properties that may be there once, each with a value that is good.
CONNECT_ONCE: dict[str, Property] = {
    name: (name, value)
    for name, value in {
        "session_expiry": 1,
        "receive_maximum": 9,
        "maximum_packet_size": 9000,
        "topic_alias_maximum": 9,
        "request_response_info": 0,
        "request_problem_info": 1,
        "auth_method": "m",
    }.items()
}
WILL_ONCE: dict[str, Property] = {
    name: (name, value)
    for name, value in {
        "will_delay": 1,
        "payload_format": 0,
        "message_expiry": 9,
        "content_type": "t",
        "response_topic": "t",
        "correlation_data": b"d",
    }.items()
}
# Properties of other packets.
NOT_OF_CONNECT: dict[str, Property] = {
    name: (name, value)
    for name, value in {
        "payload_format": 0,
        "message_expiry": 9,
        "subscription_id": 1,
        "assigned_client_id": "a",
        "server_keep_alive": 9,
        "will_delay": 1,
        "response_info": "i",
        "server_reference": "s",
        "reason_string": "r",
        "topic_alias": 1,
        "maximum_qos": 1,
        "retain_available": 1,
        "shared_available": 1,
    }.items()
}
NOT_OF_WILL = {name: entry for name, entry in CONNECT_ONCE.items() if name != "auth_method"} | {
    "topic_alias": ("topic_alias", 1),
    "subscription_id": ("subscription_id", 1),
}
UNKNOWN = {"0x00": b"\x00\x01", "0x04": b"\x04\x01", "0x2B": b"\x2b\x01", "0x7F": b"\x7f\x01"}


def refused(context: Context, props: Properties = (), will_props: Properties | None = None) -> Client:
    """The broker does not accept a CONNECT with these properties."""
    will = None if will_props is None else Will(context.topic("will"), props=will_props)
    client = context.open()
    client.send(codec.connect(V5, context.id("a"), props_=props, will=will))
    client.expect_closed()
    return client


@case(v5="MQTT-4.13.1-1", each={name: entry for name, entry in CONNECT_ONCE.items() if name != "auth_method"})
def connect_property_twice(context: Context, entry: Property) -> None:
    """What may be in a CONNECT once may not be there twice."""
    refused(context, [entry, entry])


@case(v5="MQTT-4.13.1-1")
def auth_method_twice(context: Context) -> None:
    """Nor may the authentication method, though a broker may dislike the method before it sees that."""
    client = context.open()
    client.send(codec.connect(V5, context.id("a"), props_=[("auth_method", "m")] * 2))
    client.expect_closed(0x81, 0x82, 0x87, 0x8C)


@case(v5="MQTT-4.13.1-1", each=WILL_ONCE)
def will_property_twice(context: Context, entry: Property) -> None:
    """What may be in a will once may not be there twice."""
    refused(context, will_props=[entry, entry])


@case(v5="MQTT-4.13.1-1", each=NOT_OF_CONNECT)
def property_of_another_packet(context: Context, entry: Property) -> None:
    """A property that is not defined for CONNECT makes it malformed."""
    refused(context, [entry])


@case(v5="MQTT-4.13.1-1", each=NOT_OF_WILL)
def property_not_of_a_will(context: Context, entry: Property) -> None:
    """A property that is not defined for wills makes CONNECT malformed."""
    refused(context, will_props=[entry])


@case(v5="MQTT-4.13.1-1", each=UNKNOWN)
def unknown_connect_property(context: Context, raw: bytes) -> None:
    """A property that is not defined at all makes CONNECT malformed."""
    refused(context, [raw])


@case(
    v5="MQTT-4.13.1-1",
    each={
        "receive maximum 0": ("receive_maximum", 0),
        "packet size 0": ("maximum_packet_size", 0),
        "problem info 2": ("request_problem_info", 2),
        "response info 2": ("request_response_info", 2),
    },
)
def connect_property_out_of_range(context: Context, entry: Property) -> None:
    """Values that the standard excludes are protocol errors."""
    refused(context, [entry])


@case(v5="MQTT-4.13.1-1")
def auth_data_without_method(context: Context) -> None:
    """Authentication data belong to a method; without one they are a protocol error."""
    client = context.open()
    client.send(codec.connect(V5, context.id("a"), props_=[("auth_data", b"x")]))
    client.expect_closed(0x81, 0x82, 0x87, 0x8C)


@case(v5="MQTT-4.13.1-1")
def will_payload_format_2(context: Context) -> None:
    """A will's payload is bytes (0) or text (1)."""
    refused(context, will_props=[("payload_format", 2)])


@case(
    v5="MQTT-1.5.7-1",
    each={
        "key": (b"\xff", "v"),
        "value": ("k", b"\xff"),
        "nul": ("k", b"a\0b"),
        "surrogate": (b"\xed\xa0\x80", "v"),
    },
)
def user_property_is_not_text(context: Context, pair: tuple) -> None:
    """Both halves of a user property are UTF-8."""
    refused(context, [("user_property", pair)])


@case(
    v5="MQTT-1.5.4-2",
    each={
        "content type": ("content_type", b"a\0"),
        "response topic": ("response_topic", b"a\0"),
        "user property": ("user_property", (b"a\0", "v")),
    },
)
def will_property_has_a_nul(context: Context, entry: Property) -> None:
    """No string has U+0000, nor have those of a will."""
    refused(context, will_props=[entry])


@case(v5="MQTT-2.2.2-1")
def properties_are_longer_than_the_packet(context: Context) -> None:
    """The length of the properties cannot point behind the packet."""
    client = context.open()
    body = bytes.fromhex("00044d5154540502003c") + b"\x7f" + u16(1) + b"a"
    client.send(codec.packet(codec.CONNECT, body))
    client.expect_closed()


@case(v5="MQTT-2.2.2-1")
def property_crosses_the_properties_end(context: Context) -> None:
    """A property must end where the properties end, even if the packet goes on."""
    client = context.open()
    # The length says two bytes, but a session expiry has five.
    body = bytes.fromhex("00044d5154540502003c") + b"\x02\x11\x00\x00\x00\x05" + u16(1) + b"a"
    client.send(codec.packet(codec.CONNECT, body))
    client.expect_closed()


@case(v5="MQTT-3.1.2-29")
def all_connect_properties_at_once(context: Context) -> None:
    """Every property that CONNECT may have is accepted, user properties more than once."""
    props = [entry for name, entry in CONNECT_ONCE.items() if name != "auth_method"]
    context.connect("a", props=[*props, ("user_property", ("k", "1")), ("user_property", ("k", "2"))])


@case(v5="MQTT-3.1.2-28", each={"absent": [], "0": [("request_response_info", 0)]})
def response_information_is_not_volunteered(context: Context, props: Properties) -> None:
    """The broker tells about response topics only when it was asked."""
    client = context.connect("a", props=props)
    check(client.connack.prop("response_info") is None, "no response information", client.connack)


@case(v5="MQTT-3.1.2-29")
def problem_information_is_declined(context: Context) -> None:
    """Who wants no problem information gets no reason strings and user properties in acks."""
    client = context.connect("a", props=[("request_problem_info", 0)])
    client.send(codec.unsubscribe(V5, 1, [context.topic("never")]))
    found = [client.expect(codec.UNSUBACK, packet_id=1)]
    client.send(codec.subscribe(V5, 2, [("$share/g/", 0), (context.topic("x"), 0)]))
    try:
        found.append(client.read())
    finally:
        told = [str(packet) for packet in found if packet.kind != codec.DISCONNECT and packet.props]
        check(not told, "acks without properties", told)


@case(v5="MQTT-4.12.0-6")
def no_auth_method_unless_asked(context: Context) -> None:
    """Without an authentication method in CONNECT there is none in CONNACK."""
    client = context.connect("a")
    check(client.connack.prop("auth_method") is None, "no authentication method", client.connack)


@case(v5="MQTT-4.12.0-1")
def unknown_auth_method(context: Context) -> None:
    """A method that the broker does not know is refused, as bad or as not authorized."""
    client = context.open()
    client.send(codec.connect(V5, context.id("a"), props_=[("auth_method", "no-such-method")]))
    client.expect_closed(0x8C, 0x87)


@case(v5="MQTT-3.2.2-7")
def refusal_closes(context: Context) -> None:
    """After a CONNACK that refuses comes nothing but the close."""
    client = context.open()
    client.send(codec.connect(V5, context.id("a"), props_=[("auth_method", "no-such-method")]))
    raw = client.read_all()
    check(raw[:1] in (b"", b"\x20") and len(raw) <= 2 + sum(raw[1:2]), "one CONNACK at most", raw.hex(" "))


@case(v5="MQTT-3.2.2-9")
def maximum_qos_is_kept(context: Context) -> None:
    """A broker that does not name a lower maximum takes QoS 2."""
    client = context.connect("a")
    maximum = client.connack.prop("maximum_qos")
    client.publish(context.topic("x"), qos=2 if maximum is None else maximum)
