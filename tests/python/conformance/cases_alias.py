"""Topic aliases, in both directions."""

from __future__ import annotations

from . import codec
from .client import BROKEN, Client
from .codec import V5, Packet
from .context import Context, check
from .properties import Properties
from .registry import case


def alias_maximum(client: Client) -> int:
    """How many aliases the broker takes on this connection."""
    return client.connack.prop("topic_alias_maximum") or 0


def send(client: Client, topic: str, alias: int, payload: bytes = b"m") -> None:
    client.send(codec.publish(V5, topic, payload, props_=[("topic_alias", alias)]))


class Aliases:
    """What a client has to remember to know the topics of its messages."""

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.topics: dict[int, str] = {}

    def topic(self, message: Packet) -> str:
        alias = message.prop("topic_alias")
        if alias is None:
            return message.topic
        check(alias <= self.maximum, f"an alias of at most {self.maximum}", message)
        if message.topic:
            self.topics[alias] = message.topic
        check(alias in self.topics, "an alias that was introduced", message)
        return self.topics[alias]


@case(v5="MQTT-3.3.2-12", each={"first": True, "last": False})
def alias_stands_for_its_topic(context: Context, first: bool) -> None:
    """Once given, an alias stands for its topic; the broker takes 1 up to its maximum."""
    topic = context.topic("x")
    subscriber, publisher = context.subscriber(topic), context.connect("p")
    if not (maximum := alias_maximum(publisher)):
        return
    alias = 1 if first else maximum
    send(publisher, topic, alias, b"one")
    send(publisher, "", alias, b"two")
    send(publisher, "", alias, b"three")
    for payload in (b"one", b"two", b"three"):
        subscriber.message(payload, topic=topic)


@case(v5="MQTT-3.3.2-12")
def alias_gets_another_topic(context: Context) -> None:
    """An alias may be given to another topic."""
    first, second = context.topic("x"), context.topic("y")
    subscriber, publisher = context.subscriber(context.topic("+")), context.connect("p")
    if not alias_maximum(publisher):
        return
    for topic in (first, "", second, ""):
        send(publisher, topic, 1)
    for topic in (first, first, second, second):
        subscriber.message(topic=topic)


@case(v5="MQTT-3.3.2-12")
def every_alias_is_taken(context: Context) -> None:
    """All aliases up to the maximum may be in use at once."""
    subscriber, publisher = context.subscriber(context.topic("+")), context.connect("p")
    topics = [context.topic(f"{number}") for number in range(1, min(alias_maximum(publisher), 100) + 1)]
    for alias, topic in enumerate(topics, 1):
        send(publisher, topic, alias)
    for alias in range(1, len(topics) + 1):
        send(publisher, "", alias)
    for topic in topics * 2:
        subscriber.message(topic=topic)


@case(v5="MQTT-3.3.2-8")
def alias_0(context: Context) -> None:
    """There is no alias 0."""
    client = context.connect("a")
    send(client, context.topic("x"), 0)
    client.expect_closed(0x94, *BROKEN)


@case(v5="MQTT-3.3.2-9", each={"next": 1, "far": 1000})
def alias_above_the_maximum(context: Context, above: int) -> None:
    """An alias above the broker's maximum is invalid."""
    client = context.connect("a")
    send(client, context.topic("x"), min(alias_maximum(client) + above, 65535))
    client.expect_closed(0x94)


@case(v5="MQTT-4.13.1-1")
def unknown_alias(context: Context) -> None:
    """An alias without a topic must have been introduced."""
    client = context.connect("a")
    send(client, "", 1)
    client.expect_closed(0x82, 0x94)


@case(v5="MQTT-3.3.2-7")
def alias_ends_with_the_connection(context: Context) -> None:
    """The next connection starts without aliases, even if it resumes the session."""
    client = context.connect("a", keep=True)
    send(client, context.topic("x"), 1)
    client.expect_alive()
    client.drop()
    client = context.resume("a")
    send(client, "", 1)
    client.expect_closed(0x82, 0x94)


@case(v5="MQTT-3.3.2-7")
def alias_is_of_one_client(context: Context) -> None:
    """Two clients may give the same alias to different topics."""
    first, second = context.topic("x"), context.topic("y")
    one, two = context.connect("1"), context.connect("2")
    subscriber = context.subscriber(context.topic("+"))
    if not alias_maximum(one):
        return
    send(one, first, 1)
    subscriber.message(topic=first)
    send(two, second, 1)
    subscriber.message(topic=second)
    send(one, "", 1)
    subscriber.message(topic=first)


@case(v5="MQTT-4.13.1-1")
def alias_twice(context: Context) -> None:
    """A message has one alias at most."""
    client = context.connect("a")
    client.send(codec.publish(V5, context.topic("x"), b"m", props_=[("topic_alias", 1)] * 2))
    client.expect_closed(0x81, 0x82, 0x94)


@case(v5="MQTT-3.3.2-4")
def alias_is_not_passed_on(context: Context) -> None:
    """An alias of the publisher means nothing to a subscriber who takes none. (also MQTT-3.1.2-27)"""
    topic = context.topic("x")
    subscriber, publisher = context.subscriber(topic), context.connect("p")
    send(publisher, topic, 1)
    message = subscriber.message(topic=topic)
    check(message.prop("topic_alias") is None, "no alias", message)


@case(v5="MQTT-3.1.2-27", each={"absent": [], "0": [("topic_alias_maximum", 0)]})
def no_aliases_for_who_takes_none(context: Context, props: Properties) -> None:
    """A client that takes no aliases gets none, however often a topic comes."""
    topic = context.topic("x")
    subscriber, publisher = context.subscriber(topic, props=props), context.connect("p")
    for _ in range(5):
        publisher.publish(topic, qos=1)
        message = subscriber.message(topic=topic)
        check(message.prop("topic_alias") is None, "no alias", message)


@case(v5="MQTT-3.1.2-26", each={"1": 1, "5": 5, "65535": 65535})
def broker_keeps_to_the_clients_maximum(context: Context, maximum: int) -> None:
    """The broker's aliases are within the client's maximum, and mean the right topics. (MQTT-3.3.2-11)"""
    props = [("topic_alias_maximum", maximum)]
    subscriber, publisher = context.subscriber(context.topic("+"), props=props), context.connect("p")
    aliases = Aliases(maximum)
    for round_ in range(3):
        for number in range(12):
            topic = context.topic(f"{number}")
            publisher.publish(topic, f"{round_} {number}".encode(), qos=number % 3)
            message = subscriber.message(f"{round_} {number}".encode())
            check(aliases.topic(message) == topic, topic, message)


@case(v5="MQTT-3.3.2-7", each={"1": 1, "2": 2})
def brokers_aliases_end_with_the_connection(context: Context, qos: int) -> None:
    """What is sent again on the next connection has its topic, not an alias of the last one."""
    topic = context.topic("x")
    props = [("topic_alias_maximum", 5)]
    client, publisher = context.subscriber(topic, name="a", keep=True, props=props), context.connect("p")
    for number in range(3):
        publisher.publish(topic, f"{number}".encode(), qos=qos)
    for _ in range(3):
        client.message(ack=False)
    client.drop()
    client = context.resume("a", props=props)
    aliases = Aliases(5)
    for number in range(3):
        message = client.message(f"{number}".encode(), dup=True)
        check(aliases.topic(message) == topic, topic, message)


@case(v5="MQTT-3.1.2-26")
def fewer_aliases_on_the_next_connection(context: Context) -> None:
    """The maximum is that of the connection, not of the session."""
    topic = context.topic("x")
    client = context.subscriber(topic, name="a", keep=True, props=[("topic_alias_maximum", 5)])
    client.publish(topic, b"one", qos=1)
    client.message(b"one")
    client.publish(topic, b"two", qos=1)
    client.message(b"two", ack=False)
    client.drop()
    client = context.resume("a")
    message = client.message(b"two", topic=topic)
    check(message.prop("topic_alias") is None, "no alias", message)
