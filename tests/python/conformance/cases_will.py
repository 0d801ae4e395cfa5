"""Wills: when they are published, how, and when they are not."""

from __future__ import annotations

import time
from typing import Any

from . import codec
from .client import Client
from .codec import Will
from .context import Context, check
from .properties import Property
from .registry import case

PROPERTIES: list[Property] = [
    ("payload_format", 1),
    ("content_type", "text/plain"),
    ("response_topic", "answers/here"),
    ("correlation_data", b"\x00\xff\x01"),
    ("user_property", ("b", "2")),
    ("user_property", ("a", "1")),
    ("user_property", ("b", "2")),
]


def dying(context: Context, will: Will, **fields: Any) -> Client:
    """A client with a will."""
    return context.connect("dying", will=will, **fields)


@case(v4="MQTT-3.1.2-8", v5="MQTT-3.1.2-8")
def will_of_a_dropped_connection(context: Context) -> None:
    """A connection that breaks has its will published, once."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    dying(context, Will(topic, b"gone")).drop()
    watcher.message(b"gone", topic=topic, retain=False)
    context.expect_only(watcher, context.connect("p"), topic)


@case(v4="MQTT-3.1.2-9", v5="MQTT-3.1.2-8", each={f"{w} to {s}": (w, s) for w in range(3) for s in range(3)})
def will_has_its_qos(context: Context, qos: tuple[int, int]) -> None:
    """A will is sent with its own QoS, or that of the subscription if that is lower."""
    topic = context.topic("will")
    watcher = context.subscriber(topic, options=qos[1])
    dying(context, Will(topic, b"gone", qos=qos[0])).drop()
    watcher.message(b"gone", qos=min(qos))


@case(v4="MQTT-3.1.2-8", v5="MQTT-3.1.2-8")
def will_without_payload(context: Context) -> None:
    """A will may have an empty payload."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    dying(context, Will(topic, b"")).drop()
    watcher.message(b"", topic=topic)


@case(v4="MQTT-4.8.0-1", v5="MQTT-3.1.2-8")
def will_after_a_protocol_error(context: Context) -> None:
    """A client that is thrown out has its will published, too."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    client = dying(context, Will(topic, b"gone"))
    client.send(codec.packet(codec.SUBSCRIBE, b"\0\1", 0))
    client.expect_closed()
    watcher.message(b"gone")


@case("MQTT-3.14.4-3", each={"short": False, "with code": True})
def no_will_after_disconnect(context: Context, long: bool) -> None:
    """A normal DISCONNECT discards the will."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    client = dying(context, Will(topic, b"gone"))
    client.disconnect(0, [] if long else None)
    context.expect_only(watcher, context.connect("p"), topic)


@case(v5="MQTT-3.1.2-8", each={"0x04": 0x04, "0x80": 0x80, "0x81": 0x81, "0x99": 0x99})
def will_after_disconnect_with_reason(context: Context, code: int) -> None:
    """A DISCONNECT for any other reason than a normal end has the will published."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    dying(context, Will(topic, b"gone")).disconnect(code)
    watcher.message(b"gone")


@case(v4="MQTT-3.1.2-12", v5="MQTT-3.1.2-10")
def will_is_published_once(context: Context) -> None:
    """A will goes with its connection: the next one without a will has none."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    dying(context, Will(topic, b"gone"), keep=True).drop()
    watcher.message(b"gone")
    context.connect("dying", keep=True).drop()
    context.connect("dying", keep=True).expect_alive()
    context.expect_only(watcher, context.connect("p"), topic)


@case(v4="MQTT-3.1.2-10", v5="MQTT-3.1.2-10")
def will_is_removed_by_disconnect(context: Context) -> None:
    """Nor has it one when the will of the last connection was discarded."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    dying(context, Will(topic, b"gone"), keep=True).disconnect()
    context.connect("dying", keep=True).drop()
    context.connect("dying", keep=True).expect_alive()
    context.expect_only(watcher, context.connect("p"), topic)


@case(v4="MQTT-3.1.2-17", v5="MQTT-3.1.2-15")
def will_is_retained(context: Context) -> None:
    """A will that asks for it is retained for later subscribers."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    dying(context, Will(topic, b"gone", qos=1, retain=True)).drop()
    watcher.message(b"gone", retain=False)
    context.subscriber(topic, name="late").message(b"gone", retain=True)
    watcher.publish(topic, b"", retain=True)


@case(v4="MQTT-3.1.2-16", v5="MQTT-3.1.2-14")
def will_is_not_retained(context: Context) -> None:
    """A will that does not ask for it is not."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    dying(context, Will(topic, b"gone", qos=1)).drop()
    watcher.message(b"gone")
    context.expect_only(context.subscriber(topic, name="late"), watcher, topic)


@case(v4="MQTT-3.1.2-8", v5="MQTT-3.1.2-8")
def empty_retained_will_removes(context: Context) -> None:
    """A retained will without a payload removes the topic's retained message."""
    topic = context.topic("will")
    publisher = context.connect("p")
    publisher.publish(topic, b"state", qos=1, retain=True)
    watcher = context.subscriber(topic)
    watcher.message(b"state")
    dying(context, Will(topic, b"", retain=True)).drop()
    watcher.message(b"")
    context.expect_only(context.subscriber(topic, name="late"), publisher, topic)


@case(v4="MQTT-3.1.2-8", v5="MQTT-3.1.2-8", each={"clean": False, "resumed": True})
def will_of_a_taken_over_connection(context: Context, keep: bool) -> None:
    """To be taken over is not a normal end: a will without a delay is published."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    dying(context, Will(topic, b"gone"), keep=keep)
    context.connect("dying", keep=keep)
    watcher.message(b"gone")


@case(v4="MQTT-3.1.2-8", v5="MQTT-3.1.2-8")
def will_waits_for_absent_subscribers(context: Context) -> None:
    """A will is a message as any other: an absent subscriber gets it later."""
    topic = context.topic("will")
    context.subscriber(topic, name="a", keep=True).disconnect()
    watcher = context.subscriber(topic)
    dying(context, Will(topic, b"gone", qos=1)).drop()
    watcher.message(b"gone")
    context.resume("a").message(b"gone", qos=1)


@case(v5="MQTT-3.1.2-8", slow=True)
def will_is_delayed(context: Context) -> None:
    """A will with a delay is not published before the delay has passed, and then it is."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    dying(context, Will(topic, b"gone", props=[("will_delay", 2)]), keep=True).drop()
    dropped = time.monotonic()
    context.sleep(1.2)
    watcher.expect_nothing()
    watcher.message(b"gone", timeout=4)
    waited = time.monotonic() - dropped
    check(waited >= 1.8, "will after 2 s", f"after {waited:.1f} s")


@case(v5="MQTT-3.1.3-9", slow=True)
def will_is_called_off(context: Context) -> None:
    """A client that comes back within the delay has not died."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    dying(context, Will(topic, b"gone", props=[("will_delay", 1)]), keep=True).drop()
    context.resume("dying")
    context.sleep(2.2)
    context.expect_only(watcher, context.connect("p"), topic)


@case(v5="MQTT-3.1.3-9")
def delayed_will_of_a_taken_over_connection(context: Context) -> None:
    """Nor has one whose next connection comes before the first one has closed."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    first = dying(context, Will(topic, b"gone", props=[("will_delay", 60)]), keep=True)
    context.resume("dying")
    first.expect_closed(0x8E)
    context.expect_only(watcher, context.connect("p"), topic)


@case(v5="MQTT-3.1.2-8", each={"no session": False, "clean start": True})
def will_when_the_session_ends(context: Context, clean_start: bool) -> None:
    """The end of the session ends the delay."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    client = dying(context, Will(topic, b"gone", props=[("will_delay", 60)]), keep=clean_start)
    client.drop()
    if clean_start:
        context.connect("dying")
    watcher.message(b"gone")


@case(v5="MQTT-3.1.2-8", slow=True)
def will_when_the_session_expires(context: Context) -> None:
    """So does the session's expiry, if it is shorter than the delay."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    dying(context, Will(topic, b"gone", props=[("will_delay", 60)]), expiry=1).drop()
    watcher.message(b"gone", timeout=4)


@case(v5="MQTT-3.1.2-9")
def will_has_its_properties(context: Context) -> None:
    """The properties of a will arrive with it, as they were given."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    dying(context, Will(topic, b"gone", props=[("will_delay", 0), *PROPERTIES])).drop()
    found = watcher.message(b"gone").props
    users = [entry for entry in PROPERTIES if entry[0] == "user_property"]
    check([entry for entry in found if entry[0] == "user_property"] == users, f"{users}", found)
    check(sorted(map(str, found)) == sorted(map(str, PROPERTIES)), f"{PROPERTIES}", found)


@case(v5="MQTT-3.3.2-6")
def will_expires_from_its_publication(context: Context) -> None:
    """The expiry of a will's message is sent with it."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    dying(context, Will(topic, b"gone", props=[("message_expiry", 30)])).drop()
    left = watcher.message(b"gone").prop("message_expiry")
    check(left in (29, 30), "message expiry 30", left)
