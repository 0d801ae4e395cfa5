"""Packets of MQTT 3.1.1 and 5: encoders that can lie, and a decoder that forgives nothing.

Each encoder lets the caller replace any single field by a wrong one. The decoder raises `Malformed` for
whatever a broker may not send, so that every case checks the form of every packet in passing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from . import properties as props
from .properties import Malformed, Properties, Property, Reader, text, u16, varint

V311, V5 = 4, 5

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(8, 16)
_IN_ORDER = (
    "RESERVED CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK"
)
NAMES = dict(enumerate(f"{_IN_ORDER} PINGREQ PINGRESP DISCONNECT AUTH".split()))
# The flags that the standard fixes for each type; PUBLISH alone uses them.
FLAGS = {PUBREL: 2, SUBSCRIBE: 2, UNSUBSCRIBE: 2}

_CONNACK_CODES = {0, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F}
_PUBACK_CODES = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
_CODES: dict[int, set[int]] = {
    CONNACK: _CONNACK_CODES,
    PUBACK: _PUBACK_CODES,
    PUBREC: _PUBACK_CODES,
    PUBREL: {0x00, 0x92},
    PUBCOMP: {0x00, 0x92},
    SUBACK: {0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    UNSUBACK: {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
    DISCONNECT: {0x00, *range(0x80, 0x84), 0x87, 0x89, 0x8B, *range(0x8D, 0x91), *range(0x93, 0xA3)},
    AUTH: {0x00, 0x18},
}


@dataclass
class Packet:
    """A packet from the broker; fields that its type lacks keep their defaults."""

    kind: int
    flags: int = 0
    packet_id: int = 0
    topic: str = ""
    payload: bytes = b""
    session_present: bool = False
    code: int = 0
    codes: list[int] = field(default_factory=list)
    props: list[Property] = field(default_factory=list)

    @property
    def qos(self) -> int:
        return (self.flags >> 1) & 3

    @property
    def dup(self) -> bool:
        return bool(self.flags & 8)

    @property
    def retain(self) -> bool:
        return bool(self.flags & 1)

    def all(self, name: str) -> list[Any]:
        """Every value of a property, in order."""
        return [value for key, value in self.props if key == name]

    def prop(self, name: str) -> Any:
        """The value of a property, or None."""
        return next(iter(self.all(name)), None)

    def __str__(self) -> str:
        name = NAMES[self.kind]
        if self.kind == PUBLISH:
            flags = f"qos={self.qos} dup={self.dup:d} retain={self.retain:d} id={self.packet_id}"
            shown = f"{name}({self.topic!r} {self.payload[:40]!r} {flags}"
        elif self.kind in (SUBACK, UNSUBACK):
            codes = " ".join(f"0x{code:02X}" for code in self.codes)
            shown = f"{name}(id={self.packet_id} codes=[{codes}]"
        elif self.kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
            shown = f"{name}(id={self.packet_id} code=0x{self.code:02X}"
        elif self.kind == CONNACK:
            shown = f"{name}(code=0x{self.code:02X} session_present={self.session_present:d}"
        else:
            shown = f"{name}(code=0x{self.code:02X}"
        return f"{shown} {self.props})" if self.props else f"{shown})"


def packet(kind: int, body: bytes = b"", flags: int | None = None) -> bytes:
    """A fixed header and what follows; flags default to those that the standard wants."""
    flags = FLAGS.get(kind, 0) if flags is None else flags
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


@dataclass(frozen=True)
class Will:
    """The message that the broker publishes when the connection breaks."""

    topic: str | bytes
    payload: bytes = b"will"
    qos: int = 0
    retain: bool = False
    props: Properties = ()


def connect(
    version: int,
    client_id: str | bytes,
    *,
    clean: bool = True,
    keepalive: int = 60,
    props_: Properties = (),
    will: Will | None = None,
    username: str | bytes | None = None,
    password: bytes | None = None,
    name: str = "MQTT",
    level: int | None = None,
    connect_flags: int | None = None,
    header_flags: int = 0,
    tail: bytes = b"",
) -> bytes:
    """A CONNECT; `connect_flags` replaces the flags that follow from the other arguments."""
    flags = 2 if clean else 0
    payload = text(client_id)
    if will:
        flags |= 4 | will.qos << 3 | will.retain << 5
        payload += props.encode(will.props) if version == V5 else b""
        payload += text(will.topic) + text(will.payload)
    if username is not None:
        flags |= 0x80
        payload += text(username)
    if password is not None:
        flags |= 0x40
        payload += text(password)
    flags = flags if connect_flags is None else connect_flags
    head = text(name) + bytes([version if level is None else level, flags]) + u16(keepalive)
    head += props.encode(props_) if version == V5 else b""
    return packet(CONNECT, head + payload + tail, header_flags)


def publish(
    version: int,
    topic: str | bytes,
    payload: bytes = b"",
    *,
    qos: int = 0,
    retain: bool = False,
    dup: bool = False,
    packet_id: int = 0,
    props_: Properties = (),
) -> bytes:
    """A PUBLISH; QoS 3 has a packet id, too."""
    body = text(topic) + (u16(packet_id) if qos else b"")
    body += props.encode(props_) if version == V5 else b""
    return packet(PUBLISH, body + payload, dup << 3 | qos << 1 | retain)


def ack(
    version: int,
    kind: int,
    packet_id: int,
    code: int = 0,
    props_: Properties | None = None,
    flags: int | None = None,
) -> bytes:
    """A PUBACK, PUBREC, PUBREL or PUBCOMP, in its short form where that says the same."""
    body = u16(packet_id)
    if version == V5 and (code or props_ is not None):
        body += bytes([code])
        body += props.encode(props_) if props_ is not None else b""
    return packet(kind, body, flags)


def subscribe(
    version: int,
    packet_id: int,
    filters: Iterable[tuple[str | bytes, int]],
    props_: Properties = (),
    flags: int | None = None,
) -> bytes:
    """A SUBSCRIBE with an options byte for each filter."""
    body = u16(packet_id) + (props.encode(props_) if version == V5 else b"")
    body += b"".join(text(name) + bytes([options]) for name, options in filters)
    return packet(SUBSCRIBE, body, flags)


def unsubscribe(
    version: int,
    packet_id: int,
    filters: Iterable[str | bytes],
    props_: Properties = (),
    flags: int | None = None,
) -> bytes:
    body = u16(packet_id) + (props.encode(props_) if version == V5 else b"")
    return packet(UNSUBSCRIBE, body + b"".join(text(name) for name in filters), flags)


def pingreq() -> bytes:
    return packet(PINGREQ)


def disconnect(version: int, code: int = 0, props_: Properties | None = None) -> bytes:
    """A DISCONNECT; without code and properties it is the two-byte form of both versions."""
    if version == V311 or (code == 0 and props_ is None):
        return packet(DISCONNECT)
    return packet(DISCONNECT, bytes([code]) + (props.encode(props_) if props_ is not None else b""))


def auth(code: int, props_: Properties = ()) -> bytes:
    return packet(AUTH, bytes([code]) + props.encode(props_))


def decode(version: int, first: int, body: bytes) -> Packet:
    """A packet from the broker, checked against all that the standard says of its form."""
    found = Packet(first >> 4, first & 15)
    if found.kind in (0, CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ):
        raise Malformed(f"broker sent {NAMES[found.kind]}")
    if found.kind != PUBLISH and found.flags != FLAGS.get(found.kind, 0):
        raise Malformed(f"{NAMES[found.kind]} has flags {found.flags:04b}")
    if version == V311 and found.kind in (DISCONNECT, AUTH):
        raise Malformed(f"broker sent {NAMES[found.kind]}, which 3.1.1 does not let it send")
    reader = Reader(body)
    _BODIES[found.kind](version, found, reader)
    if reader.left():
        raise Malformed(f"{NAMES[found.kind]} has {reader.left()} bytes too many")
    if version == V5:
        _check_codes(found)
    return found


def _check_codes(found: Packet) -> None:
    for code in found.codes or [found.code]:
        if found.kind in _CODES and code not in _CODES[found.kind]:
            raise Malformed(f"{NAMES[found.kind]} has reason code 0x{code:02X}")


def _connack(version: int, found: Packet, reader: Reader) -> None:
    flags, found.code = reader.u8(), reader.u8()
    if flags > 1:
        raise Malformed(f"CONNACK has reserved flags {flags:08b}")
    found.session_present = bool(flags)
    if found.session_present and found.code:
        raise Malformed(f"CONNACK has session present with code 0x{found.code:02X}")
    if version == V5:
        found.props = props.decode(reader, "CONNACK")
    elif found.code > 5:
        raise Malformed(f"CONNACK has return code {found.code}")


def _publish(version: int, found: Packet, reader: Reader) -> None:
    found.topic = reader.text()
    if found.qos == 3 or (found.qos == 0 and found.dup):
        raise Malformed(f"PUBLISH has flags {found.flags:04b}")
    if "+" in found.topic or "#" in found.topic:
        raise Malformed(f"PUBLISH has topic {found.topic!r}")
    if found.qos:
        found.packet_id = reader.u16()
        if not found.packet_id:
            raise Malformed("PUBLISH has packet id 0")
    if version == V5:
        found.props = props.decode(reader, "PUBLISH")
    if not found.topic and found.prop("topic_alias") is None:
        raise Malformed("PUBLISH has neither topic nor alias")
    found.payload = reader.take(reader.left())


def _ack(version: int, found: Packet, reader: Reader) -> None:
    found.packet_id = reader.u16()
    if version == V5 and reader.left():
        found.code = reader.u8()
        if reader.left():
            found.props = props.decode(reader, NAMES[found.kind])


def _suback(version: int, found: Packet, reader: Reader) -> None:
    found.packet_id = reader.u16()
    if version == V5:
        found.props = props.decode(reader, NAMES[found.kind])
    if version == V5 or found.kind == SUBACK:
        found.codes = list(reader.take(reader.left()))
        if version == V311 and set(found.codes) - {0, 1, 2, 0x80}:
            raise Malformed(f"SUBACK has return codes {found.codes}")


def _why(version: int, found: Packet, reader: Reader) -> None:
    if reader.left():
        found.code = reader.u8()
        if reader.left():
            found.props = props.decode(reader, NAMES[found.kind])


def _empty(version: int, found: Packet, reader: Reader) -> None:
    """PINGRESP has no body."""


_BODIES = {
    CONNACK: _connack,
    PUBLISH: _publish,
    PUBACK: _ack,
    PUBREC: _ack,
    PUBREL: _ack,
    PUBCOMP: _ack,
    SUBACK: _suback,
    UNSUBACK: _suback,
    PINGRESP: _empty,
    DISCONNECT: _why,
    AUTH: _why,
}
