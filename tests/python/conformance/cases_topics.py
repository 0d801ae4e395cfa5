"""Which topics a filter matches."""

from __future__ import annotations

from . import codec
from .client import Failure
from .context import Context, check
from .registry import case

# Filter, topics that it matches, topics that it does not; `P` stands for the case's own first level.
MULTI_LEVEL = {
    "P/s/#": (["P/s", "P/s/", "P/s/t", "P/s/t/u", "P/s//"], ["P", "P/", "P/st", "P/t/s", "Ps/s"]),
    "P/#": (["P", "P/", "P/s", "P/s/t"], ["/P", "/P/s"]),
    "/P/#": (["/P", "/P/s"], ["P/s", "P", "//P"]),
    "P//#": (["P/", "P//", "P//s"], ["P", "P/s"]),
}
SINGLE_LEVEL = {
    "P/+": (["P/", "P/s"], ["P", "P/s/t", "P//", "/P"]),
    "P/+/t": (["P/s/t", "P//t"], ["P/t", "P/s/u/t", "P/s/t/", "P/s"]),
    "P/s/+": (["P/s/t", "P/s/"], ["P/s", "P/s/t/u"]),
    "+/P": (["/P", "x/P"], ["P", "x/y/P", "x/P/"]),
    "/P/+": (["/P/x", "/P/"], ["P/x", "/P"]),
    "P/+/+": (["P/s/t", "P//", "P/s/"], ["P/s", "P/s/t/u"]),
    "+/+/P": (["//P", "a/b/P"], ["/P", "a/P", "P"]),
    "P/+/t/+": (["P/s/t/u", "P//t/"], ["P/s/t", "P/s/x/u"]),
}
BOTH = {
    "P/+/t/#": (["P/s/t", "P/s/t/u", "P//t"], ["P/t", "P/s/x/t", "P/s"]),
    "+/P/#": (["/P", "x/P", "x/P/y/z"], ["P", "x/y/P"]),
}
EXACT = {
    "P/s": (["P/s"], ["P", "P/s/", "/P/s", "P/S", "P/s/t", "P//s"]),
    "P/": (["P/"], ["P", "P//", "P/s"]),
    "/P": (["/P"], ["P", "//P", "/P/"]),
    "P/ ": (["P/ "], ["P/", "P/  "]),
    "P/\u00e4\u6c34/\U0001f600": (["P/\u00e4\u6c34/\U0001f600"], ["P/a\u6c34/\U0001f600"]),
}
# Topics beginning with `$`, and filters that must not reach them.
DOLLAR = {
    "#": ("#", "$P/x"),
    "+/x": ("+/x", "$P/x"),
    "+/#": ("+/#", "$P/x"),
    "+": ("+", "$P"),
}


def matches(context: Context, filter_: str, topics: tuple[list[str], list[str]]) -> None:
    """Publish to all these topics, and find which of them the subscription got."""
    own = context.prefix
    wanted, unwanted = ({name.replace("P", own) for name in names} for names in topics)
    # Others publish at the same time: the topics of this case are told by its own name.
    end = context.topic("match", "end")
    client, publisher = context.connect("a"), context.connect("p")
    client.subscribe(filter_.replace("P", own), options=1)
    client.subscribe(end, options=1)
    for topic in sorted(wanted | unwanted):
        publisher.publish(topic, topic.encode(), qos=1)
    publisher.publish(end, b"end", qos=1)
    found: set[str] = set()
    try:
        # What comes through different subscriptions may come in any order.
        while not {end, *wanted} <= found:
            found.add(client.message().topic)
    except Failure:
        pass  # What is missing is told below.
    found = {topic for topic in found | {late.topic for late in client.waiting()} if own in topic} - {end}
    check(found == wanted, f"{filter_} to match {sorted(wanted)}", sorted(found))


def cases(
    table: dict[str, tuple[list[str], list[str]]],
) -> dict[str, tuple[str, tuple[list[str], list[str]]]]:
    return {filter_: (filter_, topics) for filter_, topics in table.items()}


@case(v4="MQTT-4.7.1-2", v5="MQTT-4.7.1-1", each=cases(MULTI_LEVEL))
def multi_level_wildcard(context: Context, given: tuple) -> None:
    """`#` stands for its parent level and everything below."""
    matches(context, *given)


@case(v4="MQTT-4.7.1-3", v5="MQTT-4.7.1-2", each=cases(SINGLE_LEVEL))
def single_level_wildcard(context: Context, given: tuple) -> None:
    """`+` stands for exactly one level, which may be empty."""
    matches(context, *given)


@case(v4="MQTT-4.7.1-3", v5="MQTT-4.7.1-2", each=cases(BOTH))
def both_wildcards(context: Context, given: tuple) -> None:
    """Both wildcards may be in one filter."""
    matches(context, *given)


@case("MQTT-4.7.3-4", each=cases(EXACT))
def no_wildcard(context: Context, given: tuple) -> None:
    """Without a wildcard, a filter matches the topic that is the same character by character."""
    matches(context, *given)


@case("MQTT-4.7.2-1", each=DOLLAR)
def leading_wildcard_and_dollar(context: Context, given: tuple[str, str]) -> None:
    """A filter that begins with a wildcard does not match topics that begin with `$`."""
    filter_, topic = given[0], given[1].replace("P", context.prefix)
    client, publisher = context.connect("a"), context.connect("p")
    end = context.topic("end")
    client.subscribe(filter_, end, options=1)
    # The broker may keep clients from publishing to such topics.
    publisher.send(codec.publish(context.version, topic, b"m"))
    context.connect("q").publish(end, b"end", qos=1)
    while (message := client.message()).topic != end:
        check(not message.topic.startswith("$"), "no topic with $", message)
    late = [message for message in client.waiting() if message.topic.startswith("$")]
    check(not late, "no topic with $", late)


@case("MQTT-4.7.2-1")
def leading_wildcard_and_retained_dollar(context: Context) -> None:
    """Nor does it get what is retained on them."""
    publisher, client = context.connect("p"), context.connect("a")
    topic = f"${context.prefix}/x"
    publisher.send(codec.publish(context.version, topic, b"m", retain=True))
    context.connect("q").expect_alive()
    client.subscribe(f"+/{context.prefix}/x", "+/x", options=1)
    late = [message for message in client.waiting() if message.topic == topic]
    check(not late, "no topic with $", late)
    publisher.send(codec.publish(context.version, topic, b"", retain=True))


@case(v4="MQTT-4.7.3-1", v5="MQTT-4.7.3-1", each={"slash": "/", "slashes": "///"})
def topic_of_slashes(context: Context, topic: str) -> None:
    """A topic may consist of separators only."""
    client = context.subscriber(topic, options=1)
    payload = context.prefix.encode()
    client.publish(topic, payload, qos=1)
    while client.message(topic=topic).payload != payload:
        pass


@case(v4="MQTT-4.7.3-3", v5="MQTT-4.7.3-3", each={"50 levels": 50, "1000 bytes": 0})
def long_topics(context: Context, levels: int) -> None:
    """Topics of many levels and many bytes work as short ones do."""
    topic = context.topic(*["l"] * levels) if levels else context.topic("t" * 1000)
    client = context.subscriber(topic, context.topic("#"), options=1)
    client.publish(topic, b"m", qos=1)
    client.message(b"m", topic=topic)
