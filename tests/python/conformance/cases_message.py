"""What MQTT 5 messages carry besides their payload: passed on unaltered, checked, and expiring."""

from __future__ import annotations

from . import codec
from .client import BROKEN
from .codec import V5, V311
from .context import Context, check
from .properties import Property
from .registry import case

USERS: list[Property] = [
    ("user_property", ("b", "2")),
    ("user_property", ("a", "1")),
    ("user_property", ("b", "2")),
    ("user_property", ("", "")),
    ("user_property", ("\u00e9", "\U0001f600")),
]
PASSED_ON: dict[str, tuple[str, list[Property]]] = {
    "payload format 1": ("MQTT-3.3.2-4", [("payload_format", 1)]),
    "payload format 0": ("MQTT-3.3.2-4", [("payload_format", 0)]),
    "content type": ("MQTT-3.3.2-20", [("content_type", "text/plain; \u00e9")]),
    "empty content type": ("MQTT-3.3.2-20", [("content_type", "")]),
    "response topic": ("MQTT-3.3.2-15", [("response_topic", "answers/$to/me")]),
    "correlation data": ("MQTT-3.3.2-16", [("correlation_data", bytes(range(256)))]),
    "empty correlation data": ("MQTT-3.3.2-16", [("correlation_data", b"")]),
    "user properties": ("MQTT-3.3.2-17", USERS),
}
ONCE: dict[str, Property] = {
    name: (name, value)
    for name, value in {
        "payload_format": 0,
        "message_expiry": 9,
        "content_type": "t",
        "response_topic": "t",
        "correlation_data": b"d",
    }.items()
}


def check_props(found: list[Property], wanted: list[Property]) -> None:
    """The same properties; those of different kinds may come in any order. No format is format 0."""
    for name in {name for name, _ in [*found, *wanted]}:
        got = [value for key, value in found if key == name]
        want = [value for key, value in wanted if key == name]
        same = got == want or (name == "payload_format" and {*got, *want} == {0})
        check(same, f"{name} {want}", got)


def _passed_on(context: Context, props: list[Property]) -> None:
    """A property of a message reaches its subscribers as it was."""
    topic = context.topic("x")
    client = context.subscriber(topic)
    client.publish(topic, b"text", qos=1, props=props)
    check_props(client.message(b"text").props, props)


for _name, (_statement, _props) in PASSED_ON.items():
    case(v5=_statement, each={_name: _props})(_passed_on)


@case(v5="MQTT-3.3.2-18")
def user_properties_stay_in_order(context: Context) -> None:
    """User properties stay in their order, those with the same name, too."""
    props: list[Property] = [("user_property", (f"k{number % 3}", f"{number}")) for number in range(30)]
    _passed_on(context, props)


@case(v5="MQTT-3.3.2-17", each={"retained": "retained", "offline": "offline", "again": "again"})
def properties_are_stored(context: Context, how: str) -> None:
    """A message that waited, was retained or is sent again still has its properties."""
    topic = context.topic("x")
    props = [entry for _, entries in PASSED_ON.values() for entry in entries if entry[1] not in ("", b"", 0)]
    publisher = context.connect("p")
    if how != "retained":
        client = context.subscriber(topic, name="a", keep=True, options=1)
        if how == "offline":
            client.disconnect()
    publisher.publish(topic, b"text", qos=1, retain=how == "retained", props=props)
    if how == "again":
        client.message(b"text", ack=False)
        client.drop()
    client = context.subscriber(topic) if how == "retained" else context.resume("a")
    check_props(client.message(b"text").props, props)


@case(v4="MQTT-4.5.0-1", v5="MQTT-4.5.0-1")
def properties_stop_at_the_older_version(context: Context) -> None:
    """Messages pass between the versions: properties are left out towards 3.1.1, the payload is the same."""
    topic = context.topic("x")
    old, new = (
        context.subscriber(topic, name="o", version=V311),
        context.subscriber(topic, name="n", version=V5),
    )
    old.publish(topic, b"from old", qos=1)
    check_props(new.message(b"from old", topic=topic, qos=1).props, [])
    old.message(b"from old")
    new.publish(topic, b"from new", qos=2, props=USERS)
    old.message(b"from new", topic=topic, qos=2)


@case(v5="MQTT-3.3.2-14", each={"#": "a/#", "+": "a/+/b"})
def response_topic_has_wildcards(context: Context, topic: str) -> None:
    """A response topic is a topic, not a filter."""
    client = context.connect("a")
    props = [("response_topic", topic)]
    client.send(codec.publish(V5, context.topic("x"), b"m", qos=1, packet_id=1, props_=props))
    client.expect_closed(*BROKEN, 0x90)


@case(v5="MQTT-3.3.2-13", each={"ill-formed": b"\xff", "nul": b"a\0"})
def response_topic_is_not_text(context: Context, topic: bytes) -> None:
    """A response topic is UTF-8."""
    client = context.connect("a")
    client.send(codec.publish(V5, context.topic("x"), b"m", props_=[("response_topic", topic)]))
    client.expect_closed(*BROKEN, 0x90)


@case(v5="MQTT-3.3.2-19", each={"ill-formed": b"\xc0\x80", "nul": b"a\0", "surrogate": b"\xed\xa0\x80"})
def content_type_is_not_text(context: Context, value: bytes) -> None:
    """A content type is UTF-8."""
    client = context.connect("a")
    client.send(codec.publish(V5, context.topic("x"), b"m", props_=[("content_type", value)]))
    client.expect_closed()


@case(v5="MQTT-1.5.7-1", each={"key": (b"\xff", "v"), "value": ("k", b"\xff"), "nul": ("k", b"\0")})
def user_property_of_a_message_is_not_text(context: Context, pair: tuple) -> None:
    """Both halves of a user property are UTF-8."""
    client = context.connect("a")
    client.send(codec.publish(V5, context.topic("x"), b"m", props_=[("user_property", pair)]))
    client.expect_closed()


@case(v5="MQTT-4.13.1-1", each=ONCE)
def message_property_twice(context: Context, entry: Property) -> None:
    """What a message may have once it may not have twice."""
    client = context.connect("a")
    client.send(codec.publish(V5, context.topic("x"), b"m", props_=[entry, entry]))
    client.expect_closed()


@case(v5="MQTT-4.13.1-1", each={"2": 2, "255": 255})
def payload_format_out_of_range(context: Context, value: int) -> None:
    """A payload is bytes (0) or text (1)."""
    client = context.connect("a")
    client.send(codec.publish(V5, context.topic("x"), b"m", props_=[("payload_format", value)]))
    client.expect_closed()


@case(v5="MQTT-3.3.2-4", each={"0": 0, "1": 1, "2": 2})
def payload_is_not_the_text_it_says(context: Context, qos: int) -> None:
    """A broker may check that a payload is text, and refuse it as such; or pass it on unaltered."""
    topic = context.topic("x")
    client, publisher = context.subscriber(topic), context.connect("p")
    props = [("payload_format", 1)]
    packet = codec.publish(V5, topic, b"\xff", qos=qos, packet_id=qos and 1, props_=props)
    if not qos:
        publisher.send(packet)
    else:
        answer = publisher.ask(packet)
        if answer is None or answer.code >= 0x80:
            check(answer is None or answer.code == 0x99, "0x99", answer)
            return
        if qos == 2:
            publisher.release(1)
    for message in context.received(client, context.connect("q"), topic, qos):
        check(message.payload == b"\xff" and message.prop("payload_format") == 1, "it unaltered", message)


@case(v5="MQTT-3.3.2-6")
def expiry_is_passed_on(context: Context) -> None:
    """A message that did not wait has its whole expiry left."""
    topic = context.topic("x")
    client = context.subscriber(topic)
    client.publish(topic, b"m", qos=1, props=[("message_expiry", 100)])
    left = client.message(b"m").prop("message_expiry")
    check(left in (99, 100), "message expiry 100", left)


@case(v5="MQTT-3.3.2-6", slow=True, each={"offline": False, "retained": True})
def expiry_is_what_is_left(context: Context, retained: bool) -> None:
    """The time that a message waited is taken off its expiry."""
    topic = context.topic("x")
    if not retained:
        context.subscriber(topic, name="a", keep=True, options=1).disconnect()
    context.connect("p").publish(topic, b"m", qos=1, retain=retained, props=[("message_expiry", 100)])
    context.sleep(2.2)
    client = context.subscriber(topic) if retained else context.resume("a")
    left = client.message(b"m").prop("message_expiry")
    check(left in (97, 98), "message expiry 98", left)


@case(v5="MQTT-3.3.2-5", slow=True, each={"1": 1, "2": 2})
def expired_message_is_not_sent(context: Context, qos: int) -> None:
    """A message whose expiry has passed is gone, and those around it are not."""
    topic = context.topic("x")
    context.subscriber(topic, name="a", keep=True).disconnect()
    publisher = context.connect("p")
    publisher.publish(topic, b"before", qos=qos)
    publisher.publish(topic, b"brief", qos=qos, props=[("message_expiry", 1)])
    publisher.publish(topic, b"long", qos=qos, props=[("message_expiry", 100)])
    context.sleep(2.5)
    context.expect_only(context.resume("a"), publisher, topic, b"before", b"long", qos=qos)


@case(v5="MQTT-3.3.2-5", slow=True)
def expired_retained_message_is_not_sent(context: Context) -> None:
    """So is a retained one."""
    topic = context.topic("x")
    publisher = context.connect("p")
    publisher.publish(topic, b"brief", qos=1, retain=True, props=[("message_expiry", 1)])
    context.sleep(2.5)
    context.expect_only(context.subscriber(topic), publisher, topic)


@case(v5="MQTT-3.3.2-5", slow=True)
def message_expires_behind_the_receive_maximum(context: Context) -> None:
    """A message that could not be sent for want of acks expires as well."""
    topic = context.topic("x")
    client = context.subscriber(topic, options=1, props=[("receive_maximum", 1)])
    publisher = context.connect("p")
    publisher.publish(topic, b"first", qos=1)
    publisher.publish(topic, b"brief", qos=1, props=[("message_expiry", 1)])
    first = client.message(b"first", ack=False)
    context.sleep(2.5)
    client.acknowledge(first)
    context.expect_only(client, publisher, topic)


@case(v5="MQTT-4.3.3-7", slow=True)
def message_under_way_does_not_expire(context: Context) -> None:
    """Once a message of QoS 2 was sent, its handshake goes on whatever its expiry. (also MQTT-4.3.3-13)"""
    topic = context.topic("x")
    client = context.subscriber(topic)
    client.publish(topic, b"m", qos=2, props=[("message_expiry", 1)])
    message = client.message(b"m", ack=False)
    context.sleep(2.2)
    client.acknowledge(message)
    client.expect_nothing()
