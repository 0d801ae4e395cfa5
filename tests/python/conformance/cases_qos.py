"""The handshakes of QoS 1 and 2, what is sent again after a reconnect, and what is not."""

from __future__ import annotations

from . import codec
from .codec import V5
from .context import Context, check
from .registry import case

REFUSED = 0x80
NOT_FOUND = 0x92


@case(v4="MQTT-4.3.2-2", v5="MQTT-4.3.2-5")
def packet_id_is_free_after_puback(context: Context) -> None:
    """After PUBACK, the same packet id is a new message, even with DUP."""
    topic, version = context.topic("x"), context.version
    subscriber, publisher = context.subscriber(topic), context.connect("p")
    publisher.send(codec.publish(version, topic, b"one", qos=1, packet_id=7))
    publisher.expect(codec.PUBACK, packet_id=7)
    publisher.send(codec.publish(version, topic, b"two", qos=1, packet_id=7, dup=True))
    publisher.expect(codec.PUBACK, packet_id=7)
    context.expect_only(subscriber, publisher, topic, b"one", b"two")


@case(v4="MQTT-4.3.3-2", v5="MQTT-4.3.3-10", each={"once": 1, "twice": 2})
def qos_2_resent_before_pubrel(context: Context, times: int) -> None:
    """Until PUBREL, a PUBLISH with the same packet id is the same message: PUBREC again, one delivery."""
    topic, version = context.topic("x"), context.version
    subscriber, publisher = context.subscriber(topic), context.connect("p")
    for dup in (False, *[True] * times):
        publisher.send(codec.publish(version, topic, b"once", qos=2, packet_id=7, dup=dup))
        publisher.expect(codec.PUBREC, packet_id=7)
    publisher.release(7)
    context.expect_only(subscriber, publisher, topic, b"once", qos=2)


@case(v4="MQTT-4.3.3-2", v5="MQTT-4.3.3-10", each={"drop": False, "disconnect": True})
def qos_2_resent_after_reconnect(context: Context, polite: bool) -> None:
    """So it is when the sender had to connect again in between."""
    topic, version = context.topic("x"), context.version
    subscriber = context.subscriber(topic)
    publisher = context.connect("p", keep=True)
    publisher.send(codec.publish(version, topic, b"once", qos=2, packet_id=7))
    publisher.expect(codec.PUBREC, packet_id=7)
    publisher.leave(polite)
    publisher = context.resume("p")
    publisher.send(codec.publish(version, topic, b"once", qos=2, packet_id=7, dup=True))
    publisher.expect(codec.PUBREC, packet_id=7)
    publisher.release(7)
    context.expect_only(subscriber, publisher, topic, b"once", qos=2)


@case(v4="MQTT-4.3.3-2", v5="MQTT-4.3.3-11")
def pubrel_after_reconnect(context: Context) -> None:
    """A PUBREL that comes on the next connection completes the message."""
    topic = context.topic("x")
    subscriber, publisher = context.subscriber(topic), context.connect("p", keep=True)
    publisher.send(codec.publish(context.version, topic, b"once", qos=2, packet_id=7))
    publisher.expect(codec.PUBREC, packet_id=7)
    publisher.drop()
    publisher = context.resume("p")
    publisher.release(7)
    context.expect_only(subscriber, publisher, topic, b"once", qos=2)


@case(v4="MQTT-4.3.3-2", v5="MQTT-4.3.3-12")
def packet_id_is_free_after_pubcomp(context: Context) -> None:
    """After PUBCOMP, the same packet id is a new message, even with DUP."""
    topic, version = context.topic("x"), context.version
    subscriber, publisher = context.subscriber(topic), context.connect("p")
    for payload, dup in ((b"one", False), (b"two", True)):
        publisher.send(codec.publish(version, topic, payload, qos=2, packet_id=7, dup=dup))
        publisher.expect(codec.PUBREC, packet_id=7)
        publisher.release(7)
    context.expect_only(subscriber, publisher, topic, b"one", b"two", qos=2)


@case(v4="MQTT-4.3.3-2", v5="MQTT-4.3.3-12")
def qos_2_id_of_an_ended_session(context: Context) -> None:
    """A clean start forgets the packet ids that were received: the id is a new message."""
    topic, version = context.topic("x"), context.version
    subscriber, publisher = context.subscriber(topic), context.connect("p", keep=True)
    publisher.send(codec.publish(version, topic, b"one", qos=2, packet_id=7))
    publisher.expect(codec.PUBREC, packet_id=7)
    publisher.drop()
    publisher = context.connect("p")
    publisher.send(codec.publish(version, topic, b"two", qos=2, packet_id=7))
    publisher.expect(codec.PUBREC, packet_id=7)
    publisher.release(7)
    found = [message.payload for message in context.received(subscriber, publisher, topic, 2)]
    # The first message was never released: whether it counts as received is the broker's choice.
    check(found in ([b"two"], [b"one", b"two"]), "two, perhaps after one", found)


@case(v4="MQTT-4.3.3-2", v5="MQTT-4.3.3-11")
def pubrel_again(context: Context) -> None:
    """A PUBREL for what is already complete is answered all the same; MQTT 5 may say that it is unknown."""
    client, topic = context.connect("a"), context.topic("x")
    client.send(codec.publish(context.version, topic, b"m", qos=2, packet_id=7))
    client.expect(codec.PUBREC, packet_id=7)
    client.release(7)
    client.send(codec.ack(context.version, codec.PUBREL, 7))
    answer = client.expect(codec.PUBCOMP, packet_id=7)
    check(answer.code in (0, NOT_FOUND), "PUBCOMP with 0x00 or 0x92", answer)


@case(v4="MQTT-4.3.3-2", v5="MQTT-4.3.3-11")
def pubrel_for_an_unknown_id(context: Context) -> None:
    """So is one for a packet id that never was."""
    client = context.connect("a")
    client.send(codec.ack(context.version, codec.PUBREL, 99))
    answer = client.expect(codec.PUBCOMP, packet_id=99)
    check(answer.code in (0, NOT_FOUND), "PUBCOMP with 0x00 or 0x92", answer)


@case(v5="MQTT-3.6.2-1")
def pubrec_for_an_unknown_id(context: Context) -> None:
    """A PUBREC for a message that was never sent is answered by PUBREL, or is a protocol error."""
    client = context.connect("a")
    answer = client.ask(codec.ack(V5, codec.PUBREC, 99))
    if answer is None or answer.kind == codec.DISCONNECT:
        check(answer is None or answer.code == 0x82, "DISCONNECT with 0x82", answer)
        return
    check(answer.kind == codec.PUBREL and answer.packet_id == 99, "PUBREL for the id", answer)
    client.expect_alive()


@case(v4="MQTT-4.3.3-1", v5="MQTT-4.3.3-4")
def qos_2_to_a_subscriber(context: Context) -> None:
    """The broker answers PUBREC by PUBREL with the same packet id, and PUBCOMP ends it."""
    topic = context.topic("x")
    client = context.subscriber(topic)
    client.publish(topic, b"m", qos=2)
    message = client.message(b"m", ack=False, qos=2, dup=False)
    client.send(codec.ack(context.version, codec.PUBREC, message.packet_id))
    client.expect(codec.PUBREL, packet_id=message.packet_id)
    client.send(codec.ack(context.version, codec.PUBCOMP, message.packet_id))
    client.expect_nothing()


@case("MQTT-4.4.0-1", each={"1": 1, "2": 2})
def unacknowledged_message_is_sent_again(context: Context, qos: int) -> None:
    """On reconnect, what was not acknowledged comes with its packet id and DUP. (also MQTT-3.3.1-1)"""
    topic = context.topic("x")
    client = context.subscriber(topic, name="a", keep=True)
    publisher = context.connect("p")
    publisher.publish(topic, b"m", qos=qos)
    before = client.message(b"m", ack=False, qos=qos, dup=False)
    client.drop()
    client = context.resume("a")
    client.message(b"m", qos=qos, dup=True, packet_id=before.packet_id, topic=topic)
    context.expect_only(client, publisher, topic, qos=qos)


@case("MQTT-4.4.0-1")
def pubrel_is_sent_again(context: Context) -> None:
    """On reconnect, a PUBREL without PUBCOMP is sent again. (also MQTT-4.3.3-1, in MQTT 5 MQTT-4.3.3-6)"""
    topic = context.topic("x")
    client = context.subscriber(topic, name="a", keep=True)
    publisher = context.connect("p")
    publisher.publish(topic, b"m", qos=2)
    message = client.message(b"m", ack=False)
    client.send(codec.ack(context.version, codec.PUBREC, message.packet_id))
    client.expect(codec.PUBREL, packet_id=message.packet_id)
    client.drop()
    client = context.resume("a")
    client.expect(codec.PUBREL, packet_id=message.packet_id)
    client.send(codec.ack(context.version, codec.PUBCOMP, message.packet_id))
    context.expect_only(client, publisher, topic, qos=2)


@case("MQTT-4.6.0-1", each={"1": 1, "2": 2})
def messages_are_sent_again_in_order(context: Context, qos: int) -> None:
    """What is sent again comes in the order in which it was sent first, and before what is new."""
    topic = context.topic("x")
    client, publisher = context.subscriber(topic, name="a", keep=True), context.connect("p")
    for number in range(5):
        publisher.publish(topic, f"{number}".encode(), qos=qos)
    before = [client.message(ack=False).packet_id for _ in range(5)]
    client.drop()
    publisher.publish(topic, b"5", qos=qos)
    client = context.resume("a")
    found = [client.message(ack=False) for _ in range(6)]
    check([message.payload for message in found] == [b"0", b"1", b"2", b"3", b"4", b"5"], "0 to 5", found)
    check([message.packet_id for message in found[:5]] == before, f"packet ids {before}", found)
    # The broker may have tried to send the sixth, too, before it saw that the client had gone.
    check(all(message.dup for message in found[:5]), "DUP for the first five", found)


@case("MQTT-4.4.0-1", slow=True)
def nothing_is_sent_again_while_connected(context: Context) -> None:
    """A message is sent again after a reconnect only, however long its PUBACK takes. (MUST in MQTT 5)"""
    topic = context.topic("x")
    client = context.subscriber(topic)
    client.publish(topic, b"m", qos=1)
    message = client.message(b"m", ack=False, qos=1)
    context.sleep(4)
    client.expect_nothing()
    client.acknowledge(message)


@case(v4="MQTT-4.3.2-1", v5="MQTT-4.3.2-3")
def acknowledged_message_is_not_sent_again(context: Context) -> None:
    """What was acknowledged is done with."""
    topic = context.topic("x")
    client, publisher = context.subscriber(topic, name="a", keep=True), context.connect("p")
    for qos in (1, 2):
        publisher.publish(topic, b"m", qos=qos)
        client.message(b"m")
    client.expect_alive()
    client.drop()
    context.expect_only(context.resume("a"), publisher, topic)


@case(v5="MQTT-4.4.0-2", each={"puback": 1, "pubrec": 2})
def refused_message_is_not_sent_again(context: Context, qos: int) -> None:
    """An ack with an error is an ack: the message is done with."""
    topic = context.topic("x")
    client, publisher = context.subscriber(topic, name="a", keep=True), context.connect("p")
    publisher.publish(topic, b"m", qos=qos)
    message = client.message(b"m", ack=False, qos=qos)
    client.send(codec.ack(V5, codec.PUBACK if qos == 1 else codec.PUBREC, message.packet_id, REFUSED))
    client.expect_nothing()
    client.drop()
    context.expect_only(context.resume("a"), publisher, topic, qos=qos)


@case(v4="MQTT-2.3.1-4", v5="MQTT-2.2.1-4")
def packet_ids_in_flight_differ(context: Context) -> None:
    """Messages that are not yet acknowledged have different packet ids."""
    topic = context.topic("x")
    client, publisher = context.subscriber(topic), context.connect("p")
    for number in range(15):
        publisher.publish(topic, b"m", qos=1 + number % 2)
    ids = [client.message(ack=False).packet_id for _ in range(15)]
    check(len(set(ids)) == 15, "15 different packet ids", ids)


@case(v4="MQTT-2.3.1-4", v5="MQTT-2.2.1-4")
def both_sides_count_for_themselves(context: Context) -> None:
    """The packet ids of the client and those of the broker have nothing to do with each other."""
    topic, version = context.topic("x"), context.version
    client, publisher = context.subscriber(topic), context.connect("p")
    publisher.publish(topic, b"theirs", qos=2)
    message = client.message(b"theirs", ack=False)
    own = codec.publish(version, context.topic("y"), b"ours", qos=2, packet_id=message.packet_id)
    client.send(own)
    client.expect(codec.PUBREC, packet_id=message.packet_id)
    client.release(message.packet_id)
    client.acknowledge(message)
    client.expect_nothing()


@case(
    v4="MQTT-3.8.4-6",
    v5="MQTT-3.8.4-8",
    each={f"{p} to {s}": (p, s) for p in range(3) for s in range(3)},
)
def qos_is_the_lower_one(context: Context, qos: tuple[int, int]) -> None:
    """A message is sent with the lower of its QoS and the one granted to the subscription."""
    topic = context.topic("x")
    client, publisher = context.subscriber(topic, options=qos[1]), context.connect("p")
    publisher.publish(topic, b"m", qos=qos[0])
    client.message(b"m", qos=min(qos))
    context.expect_only(client, publisher, topic)


@case(
    v4="MQTT-3.8.4-6",
    v5="MQTT-3.8.4-8",
    each={f"{p} to {s}": (p, s) for p in (1, 2) for s in (1, 2)},
)
def qos_is_the_lower_one_offline(context: Context, qos: tuple[int, int]) -> None:
    """So is one that had to wait for its subscriber."""
    topic = context.topic("x")
    context.subscriber(topic, name="a", keep=True, options=qos[1]).disconnect()
    context.connect("p").publish(topic, b"m", qos=qos[0])
    context.resume("a").message(b"m", qos=min(qos))
