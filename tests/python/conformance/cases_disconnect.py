"""DISCONNECT and AUTH."""

from __future__ import annotations

from . import codec
from .client import BROKEN
from .codec import V5, Will
from .context import Context, check
from .properties import Properties
from .registry import case


@case(v4="MQTT-3.14.4-1", v5="MQTT-3.14.4-2")
def disconnect_closes(context: Context) -> None:
    """After DISCONNECT the broker closes, if the client has not, and says nothing more."""
    client = context.connect("a")
    client.send(codec.disconnect(context.version))
    raw = client.read_all()
    check(raw == b"", "a close without any packet", raw.hex(" "))


@case(v4="MQTT-3.14.4-2", v5="MQTT-3.14.4-1")
def messages_before_disconnect_count(context: Context) -> None:
    """What was sent before DISCONNECT is delivered, though its sender has gone."""
    topic = context.topic("x")
    subscriber, publisher = context.subscriber(topic), context.connect("p")
    version = context.version
    packets = [codec.publish(version, topic, f"{qos}".encode(), qos=qos, packet_id=1) for qos in (0, 1)]
    publisher.send(b"".join(packets) + codec.disconnect(version))
    publisher.read_all()
    found = {subscriber.message().payload for _ in packets}
    check(found == {b"0", b"1"}, "both messages", found)


@case(
    v5="MQTT-3.14.2-1",
    each={"code": b"\0", "code and length": b"\0\0", "with reason": b"\0\x06\x1f\0\x03bye"},
)
def disconnect_in_every_length(context: Context, body: bytes) -> None:
    """DISCONNECT may have a code and properties; with code 0 the will is discarded."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    client = context.connect("a", will=Will(topic, b"gone"))
    client.send(codec.packet(codec.DISCONNECT, body))
    raw = client.read_all()
    check(raw == b"", "a close without any packet", raw.hex(" "))
    context.expect_only(watcher, context.connect("p"), topic)


@case(v5="MQTT-3.14.2-1", each={f"0x{code:02X}": code for code in (0x01, 0x03, 0x05, 0x7F, 0xFF)})
def disconnect_with_a_reason_that_is_none(context: Context, code: int) -> None:
    """DISCONNECT has one of its reason codes: otherwise it is malformed, and the will is published."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    client = context.connect("a", will=Will(topic, b"gone"))
    client.send(codec.packet(codec.DISCONNECT, bytes([code])))
    client.expect_closed()
    watcher.message(b"gone")


@case(
    v5="MQTT-4.13.1-1",
    each={
        "session expiry twice": [("session_expiry", 1)] * 2,
        "server reference": [("server_reference", "elsewhere")],
    },
)
def disconnect_property_is_not_valid(context: Context, props: Properties) -> None:
    """A client's DISCONNECT has one session expiry at most, and sends nobody elsewhere."""
    client = context.connect("a", expiry=5)
    client.send(codec.disconnect(V5, 0, props))
    client.expect_closed()


@case(v5="MQTT-4.12.0-7", each={"continue": 0x18, "again": 0x19, "success": 0x00})
def auth_without_method(context: Context, code: int) -> None:
    """Who connected without an authentication method has no business sending AUTH."""
    client = context.connect("a")
    client.send(codec.auth(code, [("auth_method", "m")]))
    client.expect_closed(*BROKEN, 0x8C)


@case(v5="MQTT-4.12.0-7")
def empty_auth(context: Context) -> None:
    """Nor an AUTH without a body, which stands for success."""
    client = context.connect("a")
    client.send(codec.packet(codec.AUTH))
    client.expect_closed(*BROKEN, 0x8C)


@case(v5="MQTT-3.15.1-1", each={"1": 1, "2": 2})
def auth_header_flags(context: Context, flags: int) -> None:
    """The flags of AUTH are 0."""
    client = context.connect("a")
    client.send(codec.packet(codec.AUTH, b"", flags))
    client.expect_closed()


@case(v5="MQTT-3.15.2-1", each={"0x01": 0x01, "0x80": 0x80})
def auth_with_a_reason_that_is_none(context: Context, code: int) -> None:
    """AUTH has one of three reason codes."""
    client = context.connect("a")
    client.send(codec.auth(code))
    client.expect_closed(*BROKEN, 0x8C)


@case(v5="MQTT-4.12.0-6")
def auth_before_connack(context: Context) -> None:
    """AUTH is not how a connection begins."""
    client = context.open()
    client.send(codec.auth(0x18, [("auth_method", "m")]))
    raw = client.read_all()
    check(raw == b"", "a close without any packet", raw.hex(" "))
