"""Retained messages: kept, replaced, removed, and sent to new subscriptions."""

from __future__ import annotations

from . import codec
from .codec import V5
from .context import Context, check
from .registry import case

NO_LOCAL, AS_PUBLISHED = 0x04, 0x08
# Retain handling: 0 sends what is retained, 1 only for a new subscription, 2 never.
IF_NEW, NEVER = 0x10, 0x20


@case("MQTT-3.3.1-5", each={"0": 0, "1": 1, "2": 2})
def message_is_retained(context: Context, qos: int) -> None:
    """A message with RETAIN is kept with its QoS for those who subscribe later."""
    topic = context.topic("x")
    context.connect("p").publish(topic, b"state", qos=qos, retain=True)
    context.connect("q").expect_alive()
    client = context.subscriber(topic)
    client.message(b"state", topic=topic, qos=qos, retain=True, dup=False)


@case("MQTT-3.3.1-5", each={f"{p} to {s}": (p, s) for p in range(3) for s in range(3) if p != s})
def retained_qos_is_the_lower_one(context: Context, qos: tuple[int, int]) -> None:
    """A retained message is sent with the lower of its QoS and the subscription's."""
    topic = context.topic("x")
    publisher = context.connect("p")
    publisher.publish(topic, b"state", qos=qos[0], retain=True)
    publisher.expect_alive()
    context.subscriber(topic, options=qos[1]).message(b"state", qos=min(qos), retain=True)


@case("MQTT-3.3.1-5", each={"1 by 1": (1, 1), "2 by 0": (2, 0), "0 by 1": (0, 1)})
def retained_message_is_replaced(context: Context, qos: tuple[int, int]) -> None:
    """Only the last retained message of a topic is kept. (3.1.1: also MQTT-3.3.1-7)"""
    topic = context.topic("x")
    publisher = context.connect("p")
    publisher.publish(topic, b"old", qos=qos[0], retain=True)
    publisher.publish(topic, b"new", qos=qos[1], retain=True)
    publisher.expect_alive()
    client = context.subscriber(topic)
    client.message(b"new", retain=True)
    context.expect_only(client, publisher, topic)


@case(v4="MQTT-3.3.1-12", v5="MQTT-3.3.1-8")
def plain_message_leaves_the_retained_one(context: Context) -> None:
    """A message without RETAIN is neither kept nor does it remove what is, even if it is empty."""
    topic = context.topic("x")
    publisher = context.connect("p")
    publisher.publish(topic, b"state", qos=1, retain=True)
    publisher.publish(topic, b"passing", qos=1)
    publisher.publish(topic, b"", qos=1)
    client = context.subscriber(topic)
    client.message(b"state", retain=True)
    context.expect_only(client, publisher, topic)


@case(v4="MQTT-3.3.1-10", v5="MQTT-3.3.1-6", each={"0": 0, "1": 1, "2": 2})
def empty_message_removes(context: Context, qos: int) -> None:
    """An empty message with RETAIN removes what is kept, and goes to subscribers as any other."""
    topic = context.topic("x")
    publisher = context.connect("p")
    publisher.publish(topic, b"state", qos=1, retain=True)
    before = context.subscriber(topic, name="before")
    before.message(b"state")
    publisher.publish(topic, b"", qos=qos, retain=True)
    before.message(b"", topic=topic, retain=False)
    context.expect_only(context.subscriber(topic, name="after"), publisher, topic)


@case(v4="MQTT-3.3.1-11", v5="MQTT-3.3.1-7")
def empty_message_is_not_retained(context: Context) -> None:
    """An empty message is not kept itself, on a topic that had none."""
    topic = context.topic("x")
    publisher = context.connect("p")
    publisher.publish(topic, b"", qos=1, retain=True)
    context.expect_only(context.subscriber(topic), publisher, topic)


@case(v4="MQTT-3.1.2-7", v5="MQTT-3.3.1-5")
def retained_messages_outlive_the_session(context: Context) -> None:
    """What is retained belongs to the topic, not to the publisher's session."""
    topic = context.topic("x")
    publisher = context.connect("p")
    publisher.publish(topic, b"state", qos=1, retain=True)
    publisher.disconnect()
    context.connect("p").disconnect()
    context.subscriber(topic).message(b"state", retain=True)


@case(v4="MQTT-3.3.1-8", v5="MQTT-3.3.1-9", each={"+": "+", "#": "#"})
def wildcard_gets_all_retained(context: Context, wildcard: str) -> None:
    """A new subscription with a wildcard gets the last message of every topic that it matches."""
    publisher = context.connect("p")
    topics = {context.topic("x", name) for name in ("a", "b", "c")}
    for topic in topics | {context.topic("y", "a")}:
        publisher.publish(topic, topic.encode(), qos=1, retain=True)
    client = context.subscriber(context.topic("x", wildcard))
    found = [client.message(retain=True) for _ in topics]
    check({message.topic for message in found} == topics, f"{topics}", found)
    check(all(message.payload == message.topic.encode() for message in found), "their payloads", found)
    context.expect_only(client, publisher, context.topic("x", "end"))


@case(v4="MQTT-3.3.1-9", v5="MQTT-3.3.1-12")
def live_message_is_not_marked(context: Context) -> None:
    """For a subscription that was there before, a message with RETAIN is a message as any other."""
    topic = context.topic("x")
    client = context.subscriber(topic)
    client.publish(topic, b"state", qos=1, retain=True)
    client.message(b"state", retain=False)


@case(v5="MQTT-3.3.1-13", each={"1": True, "0": False})
def retain_as_published(context: Context, retain: bool) -> None:
    """A subscription that asks for it gets RETAIN as it was published."""
    topic = context.topic("x")
    client = context.subscriber(topic, options=1 | AS_PUBLISHED)
    client.publish(topic, b"state", qos=1, retain=retain)
    client.message(b"state", retain=retain)


@case(v5="MQTT-3.3.1-13")
def retain_as_published_offline(context: Context) -> None:
    """So does one whose client was absent when the message came."""
    topic = context.topic("x")
    context.subscriber(topic, name="a", keep=True, options=1 | AS_PUBLISHED).disconnect()
    publisher = context.connect("p")
    publisher.publish(topic, b"state", qos=1, retain=True)
    publisher.publish(topic, b"passing", qos=1)
    client = context.resume("a")
    client.message(b"state", retain=True)
    client.message(b"passing", retain=False)


@case(v4="MQTT-3.8.4-3", v5="MQTT-3.8.4-4")
def subscribing_again_sends_retained_again(context: Context) -> None:
    """A subscription that replaces another gets what is retained once more."""
    topic = context.topic("x")
    client = context.connect("a")
    client.publish(topic, b"state", qos=1, retain=True)
    for _ in range(2):
        client.subscribe(topic, options=1)
        client.message(b"state", retain=True)


@case(v5="MQTT-3.3.1-9")
def retain_handling_0(context: Context) -> None:
    """Retain handling 0 sends what is retained, as often as one subscribes."""
    topic = context.topic("x")
    publisher = context.connect("p")
    publisher.publish(topic, b"state", qos=1, retain=True)
    client = context.subscriber(topic, options=1)
    client.message(b"state", retain=True)
    client.subscribe(topic, options=1)
    context.expect_only(client, publisher, topic, b"state")


@case(v5="MQTT-3.3.1-10")
def retain_handling_1(context: Context) -> None:
    """Retain handling 1 sends it to a subscription that is new."""
    topic = context.topic("x")
    publisher = context.connect("p")
    publisher.publish(topic, b"state", qos=1, retain=True)
    client = context.subscriber(topic, options=1 | IF_NEW)
    client.message(b"state", retain=True)
    client.subscribe(topic, options=2 | IF_NEW)
    context.expect_only(client, publisher, topic)
    client.unsubscribe(topic)
    client.subscribe(topic, options=1 | IF_NEW)
    client.message(b"state", retain=True)


@case(v5="MQTT-3.3.1-10")
def retain_handling_1_after_resuming(context: Context) -> None:
    """A subscription of a resumed session is not new."""
    topic = context.topic("x")
    publisher = context.connect("p")
    publisher.publish(topic, b"state", qos=1, retain=True)
    context.subscriber(topic, name="a", keep=True, options=1 | NEVER).disconnect()
    client = context.resume("a")
    client.subscribe(topic, options=1 | IF_NEW)
    context.expect_only(client, publisher, topic)


@case(v5="MQTT-3.3.1-11")
def retain_handling_2(context: Context) -> None:
    """Retain handling 2 never sends what is retained."""
    topic = context.topic("x")
    publisher = context.connect("p")
    publisher.publish(topic, b"state", qos=1, retain=True)
    client = context.subscriber(topic, options=1 | NEVER)
    context.expect_only(client, publisher, topic)


@case(v5="MQTT-4.13.1-1")
def retain_handling_3(context: Context) -> None:
    """There is no retain handling 3."""
    client = context.connect("a")
    client.send(codec.subscribe(V5, 1, [(context.topic("x"), 0x30)]))
    client.expect_closed()


@case(v4="MQTT-4.6.0-6", v5="MQTT-4.6.0-5")
def retained_updates_stay_in_order(context: Context) -> None:
    """Who subscribes while a topic is updated sees no state that is older than the one before it."""
    topic = context.topic("x")
    publisher, client = context.connect("p"), context.connect("a")
    for number in range(5):
        publisher.publish(topic, f"{number}".encode(), qos=1, retain=True)
    client.send(codec.subscribe(context.version, 1, [(topic, 1)]))
    for number in range(5, 30):
        publisher.publish(topic, f"{number}".encode(), qos=1, retain=True)
    client.expect(codec.SUBACK, packet_id=1)
    seen = [int(message.payload) for message in context.received(client, publisher, topic)]
    check(seen == sorted(seen) and seen[-1:] == [29], "states in order, up to 29", seen)


@case(v5="MQTT-3.8.4-4")
def nothing_is_lost_while_replacing(context: Context) -> None:
    """No message is lost because a subscription was replaced in the meantime."""
    topic = context.topic("x")
    client, publisher = context.subscriber(topic, options=1), context.connect("p")
    for number in range(20):
        payload = f"{number}".encode()
        publisher.send(codec.publish(V5, topic, payload, qos=1, packet_id=number + 1))
        client.send(codec.subscribe(V5, number + 100, [(topic, 1)]))
    for number in range(20):
        publisher.expect(codec.PUBACK, packet_id=number + 1)
        client.expect(codec.SUBACK, packet_id=number + 100)
    context.expect_only(client, publisher, topic, *(f"{number}".encode() for number in range(20)))
