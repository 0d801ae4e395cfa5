"""Sessions: when they start, what they keep, when they end, and who takes over a connection."""

from __future__ import annotations

from . import codec
from .codec import V5
from .context import Context, check
from .registry import case

NEVER = 0xFFFFFFFF


@case(v4="MQTT-3.2.0-1", v5="MQTT-3.2.0-1")
def connack_comes_first(context: Context) -> None:
    """Messages that wait for the client come after the CONNACK."""
    topic = context.topic("x")
    context.subscriber(topic, name="a", keep=True, options=1).disconnect()
    context.connect("p").publish(topic, b"waiting", qos=1)
    client = context.resume("a")
    client.message(b"waiting")


@case(v4="MQTT-3.1.4-4", v5="MQTT-3.1.4-5")
def packets_behind_connect_are_processed(context: Context) -> None:
    """A client need not wait for CONNACK before it goes on."""
    client, topic = context.open(), context.topic("x")
    version = context.version
    client.send(codec.connect(version, context.id("a")) + codec.subscribe(version, 1, [(topic, 0)]))
    client.expect(codec.CONNACK, code=0)
    client.expect(codec.SUBACK, packet_id=1)
    client.publish(topic, b"m")
    client.message(b"m")


@case("MQTT-3.2.2-2", each={"new": False, "known": True})
def clean_start_has_no_session(context: Context, known: bool) -> None:
    """Whoever asks for a clean start is told that there is no session. (3.1.1: MQTT-3.2.2-1)"""
    if known:
        context.subscriber(context.topic("x"), name="a", keep=True).disconnect()
    client = context.connect("a")
    check(not client.connack.session_present, "session_present=0", client.connack)


@case("MQTT-3.2.2-3", each={"known": True, "new": False})
def session_present(context: Context, known: bool) -> None:
    """The broker tells whether it has a session to resume. (3.1.1: also MQTT-3.2.2-2)"""
    if known:
        context.connect("a", keep=True).disconnect()
    client = context.connect("a", keep=True)
    check(client.connack.session_present == known, f"session_present={known:d}", client.connack)


@case(v4="MQTT-3.1.2-6", v5="MQTT-3.1.2-4")
def clean_start_forgets(context: Context) -> None:
    """A clean start discards the subscriptions and messages of the session before."""
    topic, kept = context.topic("x"), context.topic("kept")
    context.subscriber(topic, name="a", keep=True, options=1).disconnect()
    publisher = context.connect("p")
    publisher.publish(topic, b"queued", qos=1)
    client = context.connect("a")
    client.subscribe(kept, options=1)
    publisher.publish(topic, b"later", qos=1)
    context.expect_only(client, publisher, kept)


@case(v4="MQTT-3.1.2-4", v5="MQTT-3.1.2-5")
def session_is_resumed(context: Context) -> None:
    """A resumed session still has its subscriptions."""
    topic = context.topic("x")
    context.subscriber(topic, name="a", keep=True, options=1).drop()
    client = context.resume("a")
    publisher = context.connect("p")
    publisher.publish(topic, b"m", qos=1)
    context.expect_only(client, publisher, topic, b"m")


@case(v4="MQTT-3.1.2-6", v5="MQTT-4.1.0-2", each={"disconnect": True, "drop": False})
def transient_session_ends(context: Context, polite: bool) -> None:
    """A session that was not to be kept is gone when its connection is."""
    client = context.subscriber(context.topic("x"), name="a")
    client.leave(polite)
    # The broker may need a moment to see that a connection has gone; the ping takes one.
    context.connect("p").expect_alive()
    again = context.connect("a", keep=True)
    check(not again.connack.session_present, "session_present=0", again.connack)


@case(v5="MQTT-3.1.2-23")
def clean_start_session_is_kept(context: Context) -> None:
    """Clean start says how a session begins, its expiry how it ends."""
    context.connect("a", clean=True, expiry=30).disconnect()
    context.resume("a")


@case(v5="MQTT-3.1.2-23", slow=True)
def session_that_never_expires(context: Context) -> None:
    """The largest expiry means for ever."""
    context.connect("a", keep=True, expiry=NEVER).disconnect()
    context.sleep(1.5)
    context.resume("a")


@case(v5="MQTT-4.1.0-2", slow=True, each={"disconnect": True, "drop": False})
def session_expires(context: Context, polite: bool) -> None:
    """A session is discarded when its expiry has passed since the connection closed."""
    client = context.subscriber(context.topic("x"), name="a", expiry=1)
    client.leave(polite)
    context.sleep(2.5)
    again = context.connect("a", keep=True)
    check(not again.connack.session_present, "session_present=0 after 2.5 s", again.connack)


@case(v5="MQTT-4.1.0-1", slow=True)
def session_does_not_expire_while_connected(context: Context) -> None:
    """Expiry counts from the close: a connected client keeps its session."""
    topic = context.topic("x")
    client = context.subscriber(topic, name="a", expiry=1, options=1)
    context.sleep(2.2)
    client.publish(topic, b"m", qos=1)
    client.message(b"m")
    client.disconnect()
    context.resume("a")


@case(v5="MQTT-4.1.0-2", slow=True)
def resuming_sets_a_new_expiry(context: Context) -> None:
    """The expiry of the last CONNECT counts, not that of the one which began the session."""
    context.connect("a", keep=True, expiry=60).disconnect()
    context.resume("a", expiry=1).disconnect()
    context.sleep(2.5)
    again = context.connect("a", keep=True)
    check(not again.connack.session_present, "session_present=0 after 2.5 s", again.connack)


@case(v5="MQTT-4.1.0-2")
def disconnect_ends_the_session(context: Context) -> None:
    """A DISCONNECT may lower the expiry to 0, which ends the session at once."""
    context.connect("a", keep=True).disconnect(0, [("session_expiry", 0)])
    again = context.connect("a", keep=True)
    check(not again.connack.session_present, "session_present=0", again.connack)


@case(v5="MQTT-3.1.2-23", slow=True)
def disconnect_prolongs_the_session(context: Context) -> None:
    """A DISCONNECT may raise an expiry that was not 0."""
    context.connect("a", clean=True, expiry=1).disconnect(0, [("session_expiry", 60)])
    context.sleep(2.2)
    context.resume("a")


@case(v5="MQTT-4.13.1-1")
def disconnect_cannot_begin_a_session(context: Context) -> None:
    """A DISCONNECT may not raise an expiry of 0: it is a protocol error, and so the will is sent."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    client = context.connect("a", will=codec.Will(topic, b"gone"))
    client.send(codec.disconnect(V5, 0, [("session_expiry", 60)]))
    client.expect_closed(0x82)
    watcher.message(b"gone")


@case(v4="MQTT-3.1.2-5", v5="MQTT-4.5.0-1", each={"1": 1, "2": 2})
def messages_wait_for_an_absent_client(context: Context, qos: int) -> None:
    """Messages of QoS 1 and 2 are kept for an absent subscriber, in order."""
    topic = context.topic("x")
    context.subscriber(topic, name="a", keep=True).disconnect()
    publisher = context.connect("p")
    wanted = [f"m{number}".encode() for number in range(20)]
    for payload in wanted:
        publisher.publish(topic, payload, qos=qos)
    client = context.resume("a")
    found = context.expect_only(client, publisher, topic, *wanted, qos=qos)
    check({message.qos for message in found} == {qos}, f"QoS {qos}", found)


@case(v4="MQTT-3.1.4-2", v5="MQTT-3.1.4-3")
def second_client_takes_over(context: Context) -> None:
    """When another connection comes with the same client id, the first one is closed."""
    first = context.connect("a")
    second = context.connect("a")
    first.expect_closed(0x8E)
    second.expect_alive()


@case(v4="MQTT-3.1.4-2", v5="MQTT-3.1.4-3", each={"to 5": (4, 5), "to 3.1.1": (5, 4)})
def take_over_by_another_version(context: Context, versions: tuple[int, int]) -> None:
    """Client ids are the same whatever version they come in."""
    first = context.connect("a", version=versions[0])
    second = context.connect("a", version=versions[1])
    first.expect_closed(0x8E)
    second.expect_alive()


@case(v4="MQTT-3.1.2-4", v5="MQTT-3.1.2-5")
def take_over_resumes_the_session(context: Context) -> None:
    """The one who takes over gets what the first one has not acknowledged."""
    topic = context.topic("x")
    first = context.subscriber(topic, name="a", keep=True, options=1)
    context.connect("p").publish(topic, b"m", qos=1)
    before = first.message(b"m", ack=False)
    second = context.resume("a")
    after = second.message(b"m", dup=True)
    check(after.packet_id == before.packet_id, f"packet id {before.packet_id}", after)


@case("MQTT-3.1.3-2")
def client_ids_are_compared_exactly(context: Context) -> None:
    """Client ids that differ in case only are different clients."""
    lower, upper = context.open(), context.open()
    lower.connect(context.id("abc"))
    upper.connect(context.id("ABC"))
    lower.expect_alive()


def lateness(context: Context) -> float:
    """How long after its time a keep alive may be found out: brokers look at it every few seconds."""
    return 4.0 if context.strict else 6.0


@case(v4="MQTT-3.1.2-24", v5="MQTT-3.1.2-22", slow=True)
def silent_client_is_closed(context: Context) -> None:
    """Who says nothing for one and a half keep alives is disconnected, and its will published."""
    topic = context.topic("will")
    watcher = context.subscriber(topic)
    # Not 1: mosquitto counts in whole seconds, so that one and a half of them are one.
    client = context.connect("a", keepalive=2, will=codec.Will(topic, b"silent"))
    allowed = (client.connack.prop("server_keep_alive") or 2) * 1.5
    context.sleep(min(allowed * 0.8, 3.0))
    watcher.expect_nothing()
    client.expect_closed(0x8D, timeout=allowed + lateness(context))
    watcher.message(b"silent")


@case(
    v4="MQTT-3.1.2-24",
    v5="MQTT-3.1.2-22",
    slow=True,
    each={"ping": "ping", "publish": "publish", "ack": "ack"},
)
def any_packet_keeps_alive(context: Context, how: str) -> None:
    """Every packet from the client counts for its keep alive."""
    client = context.connect("a", keepalive=4)
    for _ in range(3):
        context.sleep(2.8)
        if how == "publish":
            client.send(codec.publish(context.version, context.topic("x"), b"m"))
        elif how == "ack":
            client.send(codec.ack(context.version, codec.PUBREL, 9, 0x92 if context.v5 else 0))
            client.expect(codec.PUBCOMP, packet_id=9)
        else:
            client.expect_alive()
    client.expect_alive()


@case(v4="MQTT-3.1.2-24", v5="MQTT-3.1.2-22", slow=True)
def sending_to_a_client_does_not_keep_it_alive(context: Context) -> None:
    """What the broker sends does not show that the client is there."""
    topic = context.topic("x")
    client = context.subscriber(topic, keepalive=1, options=0)
    publisher = context.connect("p")
    for _ in range(5):
        publisher.publish(topic)
        context.sleep(0.5)
    client.expect_closed(0x8D, timeout=lateness(context))


@case(v4="MQTT-3.1.2-24", v5="MQTT-3.2.2-22", slow=True)
def keep_alive_0_is_off(context: Context) -> None:
    """A keep alive of 0 lets a client be silent."""
    client = context.connect("a", keepalive=0)
    context.sleep(3)
    client.expect_alive()
