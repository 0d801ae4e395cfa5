"""A blocking client on a raw socket that fails with a sentence when the broker does not do as expected."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterable
from typing import Any

from . import codec
from .codec import NAMES, V5, Packet
from .properties import Malformed, Properties

# How long a step waits for what the broker owes it. Disks of busy machines stand still for seconds.
STEP_SECONDS = 10.0
# The codes for a client that broke the protocol, where no other code is named.
BROKEN = (0x81, 0x82)


class Failure(Exception):
    """The broker did not do what the case expects; the message says what it did."""


class Closed(Exception):
    """The broker has closed the connection."""


def _hex(data: bytes) -> str:
    return data[:48].hex(" ") + (f" … ({len(data)} bytes)" if len(data) > 48 else "")


class Client:
    """One connection. `deadline` (monotonic seconds) bounds every wait, whatever its own timeout."""

    def __init__(self, address: tuple[str, int], version: int, deadline: float, strict: bool) -> None:
        self.version = version
        self.deadline = deadline
        self.strict = strict
        self.connected = False
        self.connack = Packet(codec.CONNACK)
        self.sent = b""
        # The largest packet that the client said it takes.
        self.packet_max: int | None = None
        self._ids = itertools.count(1)
        self._buffer = b""
        # Packets that came while another was waited for: a subscriber may get messages before its SUBACK.
        self._stash: list[Packet] = []
        self._socket = socket.create_connection(address, timeout=STEP_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def drop(self) -> None:
        """Close the socket without a DISCONNECT."""
        self._socket.close()

    def send(self, data: bytes) -> None:
        self.sent = data
        try:
            self._socket.settimeout(STEP_SECONDS)
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return  # What the broker thinks of it is found when its answer is read.
        except TimeoutError as error:
            raise Failure("broker does not read what is sent to it") from error

    def disconnect(self, code: int = 0, props: Properties | None = None) -> None:
        """Say goodbye, and wait until the broker has heard it."""
        self.send(codec.disconnect(self.version, code, props))
        self._socket.shutdown(socket.SHUT_WR)
        self.read_all()
        self.drop()

    def leave(self, polite: bool) -> None:
        """Go, with a DISCONNECT or without."""
        if polite:
            self.disconnect()
        else:
            self.drop()

    def _fill(self, timeout: float) -> None:
        until = min(time.monotonic() + timeout, self.deadline)
        self._socket.settimeout(max(until - time.monotonic(), 0.001))
        try:
            data = self._socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed
        self._buffer += data

    def read_all(self, timeout: float = STEP_SECONDS) -> bytes:
        """Every byte until the broker closes; fails when it does not."""
        try:
            while True:
                self._fill(timeout)
        except Closed:
            raw, self._buffer = self._buffer, b""
            return raw
        except TimeoutError as error:
            raise self._failure("close of the connection", f"nothing within {timeout} s") from error

    def _frame(self) -> tuple[int, bytes] | None:
        """The next packet's first byte and body, if the buffer has all of it."""
        length, at = 0, 1
        for shift in (0, 7, 14, 21):
            if at >= len(self._buffer):
                return None
            byte = self._buffer[at]
            length |= (byte & 0x7F) << shift
            at += 1
            if not byte & 0x80:
                break
        else:
            raise Malformed("remaining length has more than four bytes")
        if len(self._buffer) < at + length:
            return None
        if self.packet_max is not None and at + length > self.packet_max:
            raise Malformed(f"packet of {at + length} bytes, above the client's maximum of {self.packet_max}")
        first, body = self._buffer[0], self._buffer[at : at + length]
        self._buffer = self._buffer[at + length :]
        return first, body

    def read(self, timeout: float = STEP_SECONDS) -> Packet:
        """The next packet from the socket; raises Closed or TimeoutError when there is none."""
        until = time.monotonic() + timeout
        while (frame := self._frame()) is None:
            self._fill(until - time.monotonic())
        return codec.decode(self.version, *frame)

    def _failure(self, wanted: str, got: str) -> Failure:
        return Failure(f"expected {wanted}, got {got}; last sent: {_hex(self.sent)}")

    def expect(self, kind: int, timeout: float = STEP_SECONDS, **fields: Any) -> Packet:
        """The next packet of this kind, with these fields. Only messages and PUBRELs may come before it."""
        wanted = NAMES[kind] + "".join(f" {name}={value!r}" for name, value in fields.items())
        until = time.monotonic() + timeout
        try:
            found = self._next(kind, until)
        except Closed:
            raise self._failure(wanted, "close of the connection") from None
        except TimeoutError:
            raise self._failure(wanted, f"nothing within {timeout} s") from None
        except Malformed as error:
            raise self._failure(wanted, f"a malformed packet: {error}") from error
        if found.kind != kind or any(getattr(found, name) != value for name, value in fields.items()):
            raise self._failure(wanted, str(found))
        return found

    def _next(self, kind: int, until: float) -> Packet:
        for at, waiting in enumerate(self._stash):
            if waiting.kind == kind:
                return self._stash.pop(at)
        while True:
            found = self.read(until - time.monotonic())
            if found.kind == kind or found.kind not in (codec.PUBLISH, codec.PUBREL):
                return found
            self._stash.append(found)

    def expect_closed(self, *codes: int, timeout: float = STEP_SECONDS) -> None:
        """The broker closes. What it says first, if anything, is a DISCONNECT (or CONNACK) with such a code.

        The standard only recommends the DISCONNECT of MQTT 5; with `strict` the case insists on it.
        """
        codes = codes or BROKEN
        said: Packet | None = None
        until = time.monotonic() + timeout
        wanted = "close of the connection"
        try:
            while True:
                said = self.read(until - time.monotonic())
                if said.kind in (codec.DISCONNECT, codec.CONNACK):
                    self._check_reason(said, codes)
                elif said.kind not in (codec.PUBLISH, codec.PUBREL):
                    raise self._failure(wanted, str(said))
        except Closed:
            silent = said is None or said.kind != codec.DISCONNECT
            if self.version == V5 and self.connected and self.strict and silent:
                raise self._failure(f"DISCONNECT with {_list(codes)}", "a bare close") from None
        except TimeoutError:
            raise self._failure(wanted, f"{said or 'nothing'}, and an open connection") from None
        except Malformed as error:
            raise self._failure(wanted, f"a malformed packet: {error}") from error

    def _check_reason(self, said: Packet, codes: Iterable[int]) -> None:
        """A connection is refused by CONNACK, and ended by DISCONNECT; each must have a fitting code."""
        kind = codec.DISCONNECT if self.connected else codec.CONNACK
        if said.kind != kind or said.code not in codes:
            fitting = f", or {NAMES[kind]} with {_list(codes)}" if self.version == V5 else ""
            raise self._failure(f"close of the connection{fitting}", str(said))

    def ask(self, data: bytes) -> Packet | None:
        """Send, and return what comes back where there may be several answers; None is a close."""
        self.send(data)
        try:
            return self.read()
        except Closed:
            return None
        except TimeoutError:
            raise self._failure("an answer or a close", f"nothing within {STEP_SECONDS} s") from None

    def expect_alive(self) -> None:
        """The connection stands, and nothing but the answer to a PINGREQ is on its way."""
        self.send(codec.pingreq())
        self.expect(codec.PINGRESP)

    def waiting(self) -> list[Packet]:
        """The messages that have come by the answer to a PINGREQ, none of them acknowledged."""
        self.expect_alive()
        return [found for found in self._stash if found.kind == codec.PUBLISH]

    def expect_nothing(self) -> None:
        """No message has come that was not asked for."""
        self.expect_alive()
        if self._stash:
            raise self._failure("nothing more", str(self._stash[0]))

    def next_id(self) -> int:
        return next(self._ids)

    def connect(self, client_id: str | bytes, **fields: Any) -> Packet:
        """Send CONNECT and expect the broker to accept it."""
        self.packet_max = dict(fields.get("props_", ())).get("maximum_packet_size")
        self.send(codec.connect(self.version, client_id, **fields))
        self.connack = self.expect(codec.CONNACK, code=0)
        self.connected = True
        return self.connack

    def subscribe(self, *filters: str, options: int = 0, props: Properties = ()) -> Packet:
        """Subscribe, and expect that every filter is granted."""
        packet_id = self.next_id()
        wanted = [(name, options) for name in filters]
        self.send(codec.subscribe(self.version, packet_id, wanted, props))
        return self.expect(codec.SUBACK, packet_id=packet_id, codes=[options & 3] * len(filters))

    def unsubscribe(self, *filters: str) -> Packet:
        packet_id = self.next_id()
        self.send(codec.unsubscribe(self.version, packet_id, filters))
        return self.expect(codec.UNSUBACK, packet_id=packet_id)

    def publish(
        self, topic: str, payload: bytes = b"m", qos: int = 0, retain: bool = False, props: Properties = ()
    ) -> None:
        """Publish, and go through with the handshake of the QoS."""
        packet_id = self.next_id() if qos else 0
        fields: dict[str, Any] = {"qos": qos, "retain": retain, "packet_id": packet_id, "props_": props}
        self.send(codec.publish(self.version, topic, payload, **fields))
        if qos == 1:
            self._accepted(codec.PUBACK, packet_id)
        elif qos == 2:
            self._accepted(codec.PUBREC, packet_id)
            self.release(packet_id)

    def _accepted(self, kind: int, packet_id: int) -> None:
        if (found := self.expect(kind, packet_id=packet_id)).code >= 0x80:
            raise self._failure("an accepted message", str(found))

    def release(self, packet_id: int) -> None:
        """Send PUBREL and expect PUBCOMP."""
        self.send(codec.ack(self.version, codec.PUBREL, packet_id))
        self.expect(codec.PUBCOMP, packet_id=packet_id, code=0)

    def message(self, payload: bytes | None = None, ack: bool = True, **fields: Any) -> Packet:
        """The next message, acknowledged as its QoS asks unless `ack` is false."""
        if payload is not None:
            fields["payload"] = payload
        found = self.expect(codec.PUBLISH, **fields)
        if ack:
            self.acknowledge(found)
        return found

    def acknowledge(self, message: Packet) -> None:
        """Go through with the receiver's side of the handshake."""
        if message.qos == 1:
            self.send(codec.ack(self.version, codec.PUBACK, message.packet_id))
        elif message.qos == 2:
            self.send(codec.ack(self.version, codec.PUBREC, message.packet_id))
            self.expect(codec.PUBREL, packet_id=message.packet_id, code=0)
            self.send(codec.ack(self.version, codec.PUBCOMP, message.packet_id))


def _list(codes: Iterable[int]) -> str:
    return " or ".join(f"0x{code:02X}" for code in codes)
