"""The properties of MQTT 5: their wire formats, and which packet may carry which."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Property = tuple[str, Any]
# Raw bytes stand for a property that no sane encoder would produce.
Properties = Iterable[Property | bytes]


class Malformed(Exception):
    """Bytes from the broker that are not a valid packet; the message says why."""


def u16(number: int) -> bytes:
    return number.to_bytes(2, "big")


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def text(value: str | bytes) -> bytes:
    """A length-prefixed string; give bytes to send ill-formed UTF-8."""
    raw = value.encode() if isinstance(value, str) else value
    return u16(len(raw)) + raw


def varint(number: int) -> bytes:
    """A variable byte integer in as few bytes as it needs."""
    out = bytearray()
    while True:
        number, low = divmod(number, 128)
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


class Reader:
    """Takes fields off the front of a packet's body."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        if self.left() < count:
            raise Malformed(f"packet ends {count - self.left()} bytes too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def binary(self) -> bytes:
        return self.take(self.u16())

    def text(self) -> str:
        try:
            value = self.binary().decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"string is not UTF-8: {error}") from error
        if "\0" in value:
            raise Malformed("string has U+0000")
        return value

    def pair(self) -> tuple[str, str]:
        return self.text(), self.text()

    def varint(self) -> int:
        value, start = 0, self.at
        for shift in (0, 7, 14, 21):
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                if varint(value) != self.data[start : self.at]:
                    raise Malformed("variable byte integer is longer than needed")
                return value
        raise Malformed("variable byte integer has more than four bytes")


def _pair(value: tuple[str | bytes, str | bytes]) -> bytes:
    return text(value[0]) + text(value[1])


def _u8(value: int) -> bytes:
    return bytes([value])


Kind = tuple[Callable[[Any], bytes], Callable[[Reader], Any]]
BYTE: Kind = (_u8, Reader.u8)
SHORT: Kind = (u16, Reader.u16)
LONG: Kind = (u32, Reader.u32)
VARINT: Kind = (varint, Reader.varint)
TEXT: Kind = (text, Reader.text)
BINARY: Kind = (text, Reader.binary)
PAIR: Kind = (_pair, Reader.pair)

IDS: dict[str, tuple[int, Kind]] = {
    "payload_format": (0x01, BYTE),
    "message_expiry": (0x02, LONG),
    "content_type": (0x03, TEXT),
    "response_topic": (0x08, TEXT),
    "correlation_data": (0x09, BINARY),
    "subscription_id": (0x0B, VARINT),
    "session_expiry": (0x11, LONG),
    "assigned_client_id": (0x12, TEXT),
    "server_keep_alive": (0x13, SHORT),
    "auth_method": (0x15, TEXT),
    "auth_data": (0x16, BINARY),
    "request_problem_info": (0x17, BYTE),
    "will_delay": (0x18, LONG),
    "request_response_info": (0x19, BYTE),
    "response_info": (0x1A, TEXT),
    "server_reference": (0x1C, TEXT),
    "reason_string": (0x1F, TEXT),
    "receive_maximum": (0x21, SHORT),
    "topic_alias_maximum": (0x22, SHORT),
    "topic_alias": (0x23, SHORT),
    "maximum_qos": (0x24, BYTE),
    "retain_available": (0x25, BYTE),
    "user_property": (0x26, PAIR),
    "maximum_packet_size": (0x27, LONG),
    "wildcard_available": (0x28, BYTE),
    "subscription_ids_available": (0x29, BYTE),
    "shared_available": (0x2A, BYTE),
}
NAMES = {number: (name, kind) for name, (number, kind) in IDS.items()}

_WHY = {"reason_string", "user_property"}
_MESSAGE = {"payload_format", "message_expiry", "content_type", "response_topic", "correlation_data"}
# What a broker may send, by packet.
FROM_BROKER: dict[str, set[str]] = {
    "CONNACK": _WHY
    | {"session_expiry", "receive_maximum", "maximum_qos", "retain_available", "maximum_packet_size"}
    | {"assigned_client_id", "topic_alias_maximum", "wildcard_available", "subscription_ids_available"}
    | {"shared_available", "server_keep_alive", "response_info", "server_reference"}
    | {"auth_method", "auth_data"},
    "PUBLISH": _MESSAGE | {"topic_alias", "user_property", "subscription_id"},
    "DISCONNECT": _WHY | {"server_reference"},
    "AUTH": _WHY | {"auth_method", "auth_data"},
}
# Values that the standard calls a protocol error.
BOOLEANS = {
    *("payload_format", "request_problem_info", "request_response_info", "maximum_qos", "retain_available"),
    *("wildcard_available", "subscription_ids_available", "shared_available"),
}
NEVER_ZERO = {"receive_maximum", "maximum_packet_size", "topic_alias", "subscription_id"}


def encode(properties: Properties) -> bytes:
    """Properties with the length before them, in the order given."""
    out = b""
    for item in properties:
        if isinstance(item, bytes):
            out += item
            continue
        number, (write, _) = IDS[item[0]]
        out += bytes([number]) + write(item[1])
    return varint(len(out)) + out


def decode(reader: Reader, packet: str) -> list[Property]:
    """The properties of a packet from the broker; fails for what it may not send in this packet."""
    inner = Reader(reader.take(reader.varint()))
    allowed = FROM_BROKER.get(packet, _WHY)
    found: list[Property] = []
    while inner.left():
        number = inner.varint()
        if number not in NAMES:
            raise Malformed(f"{packet} has unknown property 0x{number:02X}")
        name, (_, read) = NAMES[number]
        if name not in allowed:
            raise Malformed(f"{packet} may not have property {name}")
        if name not in ("user_property", "subscription_id") and any(name == seen for seen, _ in found):
            raise Malformed(f"{packet} has property {name} twice")
        value = read(inner)
        if (name in BOOLEANS and value > 1) or (name in NEVER_ZERO and value == 0):
            raise Malformed(f"{packet} has {name} = {value}")
        found.append((name, value))
    return found
