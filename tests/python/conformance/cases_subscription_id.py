"""Subscription identifiers of MQTT 5."""

from __future__ import annotations

from . import codec
from .client import Client
from .codec import V5
from .context import Context, check
from .properties import Properties
from .registry import case

LARGEST = 268_435_455


def subscribe(client: Client, filter_: str, identifier: int | None, options: int = 1) -> None:
    props = [] if identifier is None else [("subscription_id", identifier)]
    client.subscribe(filter_, options=options, props=props)


def identifiers(client: Client, payload: bytes, copies: int) -> list[int]:
    """The identifiers of all copies of a message, however they are spread over the copies."""
    found: list[int] = []
    for _ in range(copies):
        message = client.message(payload)
        found += message.all("subscription_id")
        if len(found) == copies:
            break
    return sorted(found)


@case(v5="MQTT-3.3.4-3", each={"1": 1, "127": 127, "128": 128, "largest": LARGEST})
def message_has_the_identifier(context: Context, identifier: int) -> None:
    """A message tells through which subscription it came."""
    topic = context.topic("x")
    client, publisher = context.connect("a"), context.connect("p")
    subscribe(client, topic, identifier)
    publisher.publish(topic, b"m", qos=1)
    found = client.message(b"m").all("subscription_id")
    check(found == [identifier], f"subscription identifier {identifier}", found)


@case(v5="MQTT-3.3.4-4")
def message_has_all_identifiers(context: Context) -> None:
    """When several subscriptions match, all their identifiers come, in one message or in one each."""
    client, publisher = context.connect("a"), context.connect("p")
    subscribe(client, context.topic("x", "+"), 5)
    subscribe(client, context.topic("x", "y"), 7)
    subscribe(client, context.topic("#"), 9)
    publisher.publish(context.topic("x", "y"), b"m", qos=1)
    found = identifiers(client, b"m", 3)
    check(found == [5, 7, 9], "identifiers 5, 7 and 9", found)
    client.expect_nothing()


@case(v5="MQTT-3.3.4-4")
def identifier_shared_by_two_subscriptions(context: Context) -> None:
    """Two subscriptions may have the same identifier; it comes once or twice."""
    client, publisher = context.connect("a"), context.connect("p")
    subscribe(client, context.topic("+"), 5)
    subscribe(client, context.topic("x"), 5)
    publisher.publish(context.topic("x"), b"m", qos=1)
    found = set(client.message(b"m").all("subscription_id"))
    check(found == {5}, "identifier 5", found)


@case(v5="MQTT-3.3.4-3")
def only_matching_identifiers(context: Context) -> None:
    """Subscriptions that do not match, or have no identifier, add none."""
    client, publisher = context.connect("a"), context.connect("p")
    subscribe(client, context.topic("x"), 5)
    subscribe(client, context.topic("other"), 6)
    subscribe(client, context.topic("y"), None)
    publisher.publish(context.topic("x"), b"m", qos=1)
    publisher.publish(context.topic("y"), b"m", qos=1)
    found = {
        message.topic: message.all("subscription_id") for message in (client.message(), client.message())
    }
    check(found == {context.topic("x"): [5], context.topic("y"): []}, "5 for x, none for y", found)


@case(v5="MQTT-3.3.4-3")
def identifier_of_every_filter(context: Context) -> None:
    """The identifier is that of all filters in the packet."""
    topics = [context.topic("x"), context.topic("y")]
    client, publisher = context.connect("a"), context.connect("p")
    client.subscribe(*topics, options=1, props=[("subscription_id", 5)])
    for topic in topics:
        publisher.publish(topic, b"m", qos=1)
        found = client.message(topic=topic).all("subscription_id")
        check(found == [5], "identifier 5", found)


@case(v5="MQTT-3.8.4-3", each={"another": 6, "none": None})
def identifier_is_replaced(context: Context, identifier: int | None) -> None:
    """A subscription that replaces another brings its own identifier, or none."""
    topic = context.topic("x")
    client, publisher = context.connect("a"), context.connect("p")
    subscribe(client, topic, 5)
    subscribe(client, topic, identifier)
    publisher.publish(topic, b"m", qos=1)
    found = client.message(b"m").all("subscription_id")
    check(found == [identifier] * (identifier is not None), f"identifier {identifier}", found)


@case(v5="MQTT-3.3.4-3", each={"queued": True, "later": False})
def identifier_is_part_of_the_session(context: Context, queued: bool) -> None:
    """It is kept with the session's subscription, and with the messages that wait."""
    topic = context.topic("x")
    client, publisher = context.connect("a", keep=True), context.connect("p")
    subscribe(client, topic, 5)
    client.disconnect()
    if queued:
        publisher.publish(topic, b"m", qos=1)
    client = context.resume("a")
    if not queued:
        publisher.publish(topic, b"m", qos=1)
    found = client.message(b"m").all("subscription_id")
    check(found == [5], "identifier 5", found)


@case(v5="MQTT-3.3.4-3")
def retained_message_has_the_identifier(context: Context) -> None:
    """A retained message comes through a subscription, too."""
    topic = context.topic("x")
    client = context.connect("a")
    client.publish(topic, b"state", qos=1, retain=True)
    subscribe(client, topic, 5)
    found = client.message(b"state", retain=True).all("subscription_id")
    check(found == [5], "identifier 5", found)


@case(v5="MQTT-4.13.1-1", each={"0": [("subscription_id", 0)], "two": [("subscription_id", 5)] * 2})
def identifier_is_not_valid(context: Context, props: Properties) -> None:
    """An identifier is not 0, and a SUBSCRIBE has one at most."""
    client = context.connect("a")
    client.send(codec.subscribe(V5, 1, [(context.topic("x"), 0)], props))
    client.expect_closed()


@case(v5="MQTT-3.3.4-6")
def identifier_from_a_publisher(context: Context) -> None:
    """Identifiers are for what the broker sends: a client may not publish with one."""
    client = context.connect("a")
    packet = codec.publish(V5, context.topic("x"), b"m", qos=1, packet_id=1, props_=[("subscription_id", 5)])
    client.send(packet)
    client.expect_closed()


@case(v5="MQTT-3.3.4-3")
def identifier_of_a_shared_subscription(context: Context) -> None:
    """A shared subscription may have an identifier as well."""
    topic = context.topic("x")
    client, publisher = context.connect("a"), context.connect("p")
    subscribe(client, f"$share/g/{topic}", 5)
    publisher.publish(topic, b"m", qos=1)
    found = client.message(b"m").all("subscription_id")
    check(found == [5], "identifier 5", found)
