"""UNSUBSCRIBE and UNSUBACK."""

from __future__ import annotations

from . import codec
from .cases_publish import NOT_TEXT
from .cases_subscribe import WRONG_FLAGS
from .client import BROKEN
from .codec import V5
from .context import Context, check
from .properties import u16
from .registry import case

NO_SUBSCRIPTION = 0x11


@case("MQTT-3.10.1-1", each=WRONG_FLAGS)
def unsubscribe_header_flags(context: Context, flags: int) -> None:
    """The flags of UNSUBSCRIBE are 0010."""
    client = context.connect("a")
    client.send(codec.unsubscribe(context.version, 1, [context.topic("x")], flags=flags))
    client.expect_closed()


@case("MQTT-3.10.3-2")
def unsubscribe_without_filters(context: Context) -> None:
    """An UNSUBSCRIBE names something."""
    client = context.connect("a")
    client.send(codec.unsubscribe(context.version, 1, []))
    client.expect_closed()


@case(v4="MQTT-2.3.1-1", v5="MQTT-2.2.1-3")
def unsubscribe_with_packet_id_0(context: Context) -> None:
    """An UNSUBSCRIBE has a packet id that is not 0."""
    client = context.connect("a")
    client.send(codec.unsubscribe(context.version, 0, [context.topic("x")]))
    client.expect_closed()


@case("MQTT-3.10.3-1", each=NOT_TEXT | {"nul": b"a\0"})
def unsubscribed_filter_is_not_text(context: Context, filter_: bytes) -> None:
    """A topic filter is UTF-8, here, too."""
    client = context.connect("a")
    client.send(codec.unsubscribe(context.version, 1, [filter_]))
    client.expect_closed(*BROKEN, 0x8F)


@case("MQTT-3.10.3-1", each={"cut filter": b"\0\5ab", "cut length": b"\0"})
def unsubscribe_is_cut_short(context: Context, tail: bytes) -> None:
    """A filter ends within the packet."""
    client = context.connect("a")
    body = u16(1) + (b"\0" if context.v5 else b"") + tail
    client.send(codec.packet(codec.UNSUBSCRIBE, body))
    client.expect_closed()


@case(v4="MQTT-3.10.4-4", v5="MQTT-3.10.4-5", each={"1": 1, "256": 256, "65535": 65535})
def unsuback_has_the_packet_id(context: Context, packet_id: int) -> None:
    """UNSUBACK answers with the packet id of UNSUBSCRIBE."""
    topic = context.topic("x")
    client = context.subscriber(topic)
    client.send(codec.unsubscribe(context.version, packet_id, [topic]))
    answer = client.expect(codec.UNSUBACK, packet_id=packet_id)
    check(answer.codes == ([0] if context.v5 else []), "success", answer)


@case("MQTT-3.10.4-5")
def unsubscribe_without_a_subscription(context: Context) -> None:
    """Who had no such subscription gets an UNSUBACK all the same."""
    client = context.connect("a")
    client.send(codec.unsubscribe(context.version, 1, [context.topic("x")]))
    answer = client.expect(codec.UNSUBACK, packet_id=1)
    check(answer.codes in ([NO_SUBSCRIPTION], []), "0x11", answer)


@case(v5="MQTT-3.11.3-1")
def unsuback_codes_are_in_order(context: Context) -> None:
    """UNSUBACK has a code for each filter, in their order. (also MQTT-3.11.3-2)"""
    client = context.subscriber(context.topic("x"), context.topic("z"))
    names = [context.topic(name) for name in ("w", "x", "y", "z", "x")]
    client.send(codec.unsubscribe(V5, 1, names))
    wanted = [NO_SUBSCRIPTION, 0, NO_SUBSCRIPTION, 0, NO_SUBSCRIPTION]
    client.expect(codec.UNSUBACK, packet_id=1, codes=wanted)


@case("MQTT-3.10.4-6")
def many_filters_at_once(context: Context) -> None:
    """Many filters in one UNSUBSCRIBE end all their subscriptions, with one UNSUBACK."""
    gone, kept = [context.topic("x"), context.topic("y", "#")], context.topic("z")
    client, publisher = context.subscriber(*gone, kept, options=1), context.connect("p")
    client.unsubscribe(*gone)
    publisher.publish(context.topic("x"), b"m", qos=1)
    publisher.publish(context.topic("y", "a"), b"m", qos=1)
    context.expect_only(client, publisher, kept)


@case("MQTT-3.10.4-1", each={"+": "+", "#": "#", "case": "X", "slash": "x/"})
def filters_are_compared_exactly(context: Context, name: str) -> None:
    """A filter that would match, but is not the same, ends nothing."""
    topic = context.topic("x")
    client, publisher = context.subscriber(topic, options=1), context.connect("p")
    client.unsubscribe(context.topic(name))
    publisher.publish(topic, b"m", qos=1)
    context.expect_only(client, publisher, topic, b"m")


@case("MQTT-3.10.4-1", each={"+": "+", "#": "#", "x": "x"})
def the_filter_itself_ends_it(context: Context, name: str) -> None:
    """The very same filter does, and leaves overlapping ones."""
    topic, kept = context.topic("x"), context.topic("kept")
    client, publisher = context.subscriber(context.topic(name), kept, options=1), context.connect("p")
    client.unsubscribe(context.topic(name))
    publisher.publish(topic, b"m", qos=1)
    context.expect_only(client, publisher, kept)


@case("MQTT-3.10.4-2")
def nothing_new_after_unsuback(context: Context) -> None:
    """After UNSUBACK comes no new message, for which QoS ever."""
    topic = context.topic("x")
    client, publisher = context.subscriber(topic), context.connect("p")
    client.unsubscribe(topic)
    for qos in range(3):
        publisher.publish(topic, b"m", qos=qos)
    context.expect_quiet(client)


@case("MQTT-3.10.4-2")
def unsubscribed_for_good(context: Context) -> None:
    """The subscription is not in the session that is resumed."""
    topic = context.topic("x")
    client, publisher = context.subscriber(topic, name="a", keep=True), context.connect("p")
    client.unsubscribe(topic)
    client.disconnect()
    publisher.publish(topic, b"m", qos=1)
    context.expect_quiet(context.resume("a"))


@case("MQTT-3.10.4-3")
def delivery_is_completed(context: Context) -> None:
    """A handshake that has begun goes on after UNSUBSCRIBE."""
    topic = context.topic("x")
    client = context.subscriber(topic)
    client.publish(topic, b"m", qos=2)
    message = client.message(b"m", ack=False)
    client.unsubscribe(topic)
    client.acknowledge(message)
    client.expect_nothing()


@case("MQTT-3.10.4-3", each={"1": 1, "2": 2})
def delivery_is_completed_after_reconnect(context: Context, qos: int) -> None:
    """Even on the next connection: what was not acknowledged is sent again."""
    topic = context.topic("x")
    client = context.subscriber(topic, name="a", keep=True)
    context.connect("p").publish(topic, b"m", qos=qos)
    message = client.message(b"m", ack=False)
    client.unsubscribe(topic)
    client.drop()
    client = context.resume("a")
    client.message(b"m", dup=True, packet_id=message.packet_id)
    client.expect_nothing()
