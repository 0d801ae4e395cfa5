"""Shared subscriptions of MQTT 5."""

from __future__ import annotations

import time
from itertools import chain

from . import codec
from .client import BROKEN, STEP_SECONDS, Client
from .codec import V5
from .context import END, Context, check
from .registry import case

NO_LOCAL = 0x04
INVALID = {
    "no name": "$share//t",
    "+ in the name": "$share/a+b/t",
    "+ as name": "$share/+/t",
    "# as name": "$share/#",
    "# in the name": "$share/a#/t",
    "name only": "$share/g",
    "empty filter": "$share/g/",
    "nothing": "$share/",
    "misplaced #": "$share/g/a#",
    "misplaced +": "$share/g/a+/b",
    "misplaced + at the end": "$share/g/a/+b",
}


def members(context: Context, filter_: str, count: int, qos: int = 1) -> list[Client]:
    return [context.subscriber(filter_, name=f"m{number}", options=qos) for number in range(count)]


def publish(client: Client, topic: str, count: int, qos: int = 1) -> list[bytes]:
    sent = [f"{number:02}".encode() for number in range(count)]
    for payload in sent:
        client.publish(topic, payload, qos=qos)
    return sent


def collect(context: Context, clients: list[Client], wanted: int) -> list[list[bytes]]:
    """What comes to each client: waits for so many in all, then sees whether there are more."""
    found: list[list[bytes]] = [[] for _ in clients]
    until = time.monotonic() + STEP_SECONDS
    while sum(map(len, found)) < wanted and time.monotonic() < until:
        for client, got in zip(clients, found, strict=True):
            got += [client.message().payload for _ in client.waiting()]
    for number, (client, got) in enumerate(zip(clients, found, strict=True)):
        end = context.topic("end", f"{number}")
        client.subscribe(end, options=1)
        client.publish(end, END, qos=1)
        while (message := client.message()).topic != end:
            got.append(message.payload)
    return found


@case(v5="MQTT-4.8.2-3", each={"0": 0, "1": 1, "2": 2})
def each_message_goes_to_one_member(context: Context, qos: int) -> None:
    """Of those who share a subscription, exactly one gets each message."""
    topic = context.topic("x")
    group = members(context, f"$share/g/{topic}", 3, 2)
    sent = publish(context.connect("p"), topic, 20, qos)
    found = collect(context, group, 20)
    check(sorted(chain.from_iterable(found)) == sent, "each of 20 messages once", found)


@case(v5="MQTT-4.8.2-3")
def members_get_messages_in_order(context: Context) -> None:
    """A member that is alone gets all messages, in order."""
    topic = context.topic("x")
    (member,) = members(context, f"$share/g/{topic}", 1)
    sent = publish(context.connect("p"), topic, 20)
    found = collect(context, [member], 20)
    check(found == [sent], "20 messages in order", found)


@case(v5="MQTT-4.8.2-3")
def every_group_gets_the_message(context: Context) -> None:
    """Each group gets its own copy, and so does a subscription that is not shared."""
    topic = context.topic("x")
    one, two = (context.subscriber(f"$share/{name}/{topic}", name=name, options=1) for name in ("g1", "g2"))
    plain = context.subscriber(topic, name="plain", options=1)
    sent = publish(context.connect("p"), topic, 5)
    found = collect(context, [one, two, plain], 15)
    check(found == [sent] * 3, "5 messages for each", found)


@case(v5="MQTT-4.8.2-3")
def groups_are_told_apart_by_the_filter(context: Context) -> None:
    """The same share name with another filter is another subscription."""
    first, second = context.topic("x"), context.topic("+")
    one = context.subscriber(f"$share/g/{first}", name="1", options=1)
    two = context.subscriber(f"$share/g/{second}", name="2", options=1)
    sent = publish(context.connect("p"), first, 5)
    found = collect(context, [one, two], 10)
    check(found == [sent, sent], "5 messages for each", found)


@case(v5="MQTT-4.8.2-3")
def member_and_plain_subscriber(context: Context) -> None:
    """A client may share a subscription and have one for itself: the latter gets every message."""
    topic = context.topic("x")
    client = context.connect("a")
    client.subscribe(topic, options=1, props=[("subscription_id", 1)])
    client.subscribe(f"$share/g/{topic}", options=1, props=[("subscription_id", 2)])
    context.connect("p").publish(topic, b"m", qos=1)
    identifiers = client.message(b"m").all("subscription_id")
    if len(identifiers) == 1:
        identifiers += client.message(b"m").all("subscription_id")
    check(sorted(identifiers) == [1, 2], "identifiers 1 and 2", identifiers)


@case(v5="MQTT-4.8.2-2", each={"+": "+", "#": "#", "x/+": "x/+"})
def shared_filter_has_wildcards(context: Context, wildcard: str) -> None:
    """The filter behind the share name may have wildcards."""
    (member,) = members(context, f"$share/g/{context.topic(wildcard)}", 1)
    topic = context.topic("x", "y") if "/" in wildcard else context.topic("x")
    context.connect("p").publish(topic, b"m", qos=1)
    member.message(b"m", topic=topic)


@case(v5="MQTT-4.8.2-2", each=INVALID)
def invalid_share(context: Context, filter_: str) -> None:
    """A shared subscription has a name without wildcards, and a filter. (also MQTT-4.8.2-1)"""
    client = context.connect("a")
    found = client.ask(codec.subscribe(V5, 1, [(filter_, 0)]))
    if found is None:
        return
    if found.kind == codec.DISCONNECT:
        check(found.code in (*BROKEN, 0x8F), "DISCONNECT with 0x81, 0x82 or 0x8F", found)
        return
    check(found.kind == codec.SUBACK and found.codes[0] >= 0x80, "a close, or SUBACK with a failure", found)


@case(v5="MQTT-3.8.3-4")
def no_local_on_a_share(context: Context) -> None:
    """No Local makes no sense where another member could get the message: it is a protocol error."""
    client = context.connect("a")
    client.send(codec.subscribe(V5, 1, [(f"$share/g/{context.topic('x')}", 1 | NO_LOCAL)]))
    client.expect_closed()


@case(v5="MQTT-4.8.2-3", each={"0": 0, "1": 1, "2": 2})
def member_has_its_qos(context: Context, qos: int) -> None:
    """Members may have different QoS: each gets its messages with its own."""
    topic = context.topic("x")
    (member,) = members(context, f"$share/g/{topic}", 1, qos)
    context.connect("p").publish(topic, b"m", qos=2)
    member.message(b"m", qos=qos)


@case(v5="MQTT-4.8.2-3")
def who_leaves_gets_no_more(context: Context) -> None:
    """When members unsubscribe or go away, the others get all messages."""
    topic = context.topic("x")
    filter_ = f"$share/g/{topic}"
    stays, leaves, goes = members(context, filter_, 3)
    leaves.send(codec.unsubscribe(V5, 9, [filter_]))
    leaves.expect(codec.UNSUBACK, packet_id=9, codes=[0])
    goes.disconnect()
    sent = publish(context.connect("p"), topic, 10)
    found = collect(context, [stays, leaves], 10)
    check(found == [sent, []], "all 10 messages for the one who stays", found)


@case(v5="MQTT-3.10.4-1")
def unsubscribing_the_plain_filter(context: Context) -> None:
    """The shared subscription and the plain one with the same filter are different."""
    topic = context.topic("x")
    (member,) = members(context, f"$share/g/{topic}", 1)
    member.send(codec.unsubscribe(V5, 9, [topic]))
    member.expect(codec.UNSUBACK, packet_id=9, codes=[0x11])
    context.connect("p").publish(topic, b"m", qos=1)
    member.message(b"m")


@case(v5="MQTT-4.5.0-1")
def shared_messages_wait(context: Context) -> None:
    """When all members are absent, messages wait for one of them."""
    topic = context.topic("x")
    context.subscriber(f"$share/g/{topic}", name="a", keep=True, options=1).disconnect()
    sent = publish(context.connect("p"), topic, 5)
    found = collect(context, [context.resume("a")], 5)
    check(found == [sent], "5 messages in order", found)


@case(v5="MQTT-4.8.2-4")
def qos_2_completes_with_the_same_member(context: Context) -> None:
    """A handshake of QoS 2 that broke off goes on with the member that began it, when it is back."""
    topic = context.topic("x")
    filter_ = f"$share/g/{topic}"
    first = context.subscriber(filter_, name="a", keep=True)
    context.connect("p").publish(topic, b"m", qos=2)
    message = first.message(b"m", ack=False)
    second = context.subscriber(filter_, name="b")
    first.drop()
    found = collect(context, [second], 0)
    check(found == [[]], "nothing for the other member", found)
    context.resume("a").message(b"m", dup=True, packet_id=message.packet_id)


@case(v5="MQTT-4.8.2-6", each={"1": 1, "2": 2})
def refused_shared_message_is_gone(context: Context, qos: int) -> None:
    """A message that a member refuses is not given to another one."""
    topic = context.topic("x")
    filter_ = f"$share/g/{topic}"
    first = context.subscriber(filter_, name="a")
    context.connect("p").publish(topic, b"m", qos=qos)
    message = first.message(b"m", ack=False)
    second = context.subscriber(filter_, name="b")
    first.send(codec.ack(V5, codec.PUBACK if qos == 1 else codec.PUBREC, message.packet_id, 0x80))
    first.expect_nothing()
    first.drop()
    found = collect(context, [second], 0)
    check(found == [[]], "nothing for the other member", found)


@case(v5="MQTT-3.8.4-4")
def share_gets_no_retained_messages(context: Context) -> None:
    """Retained messages are not sent for a shared subscription."""
    topic = context.topic("x")
    publisher = context.connect("p")
    publisher.publish(topic, b"state", qos=1, retain=True)
    group = members(context, f"$share/g/{topic}", 2)
    found = collect(context, group, 0)
    check(found == [[], []], "nothing", found)


@case(v5="MQTT-3.8.4-3")
def member_subscribes_again(context: Context) -> None:
    """A member that subscribes again is still one member, with the new QoS."""
    topic = context.topic("x")
    client = context.connect("a")
    for qos in (2, 0):
        client.subscribe(f"$share/g/{topic}", options=qos)
    publisher = context.connect("p")
    publisher.publish(topic, b"m", qos=2)
    client.message(b"m", qos=0)
    client.expect_nothing()


@case(v5="MQTT-4.8.2-3")
def share_of_dollar_topics(context: Context) -> None:
    """A filter behind `$share` that begins with a wildcard does not match `$` topics either."""
    (member,) = members(context, f"$share/g/+/{context.prefix}", 1)
    publisher = context.connect("p")
    publisher.send(codec.publish(V5, f"$x/{context.prefix}", b"m"))
    context.connect("q").publish(f"x/{context.prefix}", b"end", qos=1)
    member.message(b"end")
    member.expect_nothing()
