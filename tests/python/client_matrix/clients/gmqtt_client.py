"""A client program on gmqtt."""

from __future__ import annotations

import asyncio

import gmqtt
import order as orders
from gmqtt.mqtt.constants import MQTTv50, MQTTv311


def make(order: orders.Order) -> gmqtt.Client:
    will = gmqtt.Message(order.will, orders.WILL_PAYLOAD, qos=1) if order.will else None
    options = {"session_expiry_interval": orders.SESSION_SECONDS} if order.keep and order.version == 5 else {}
    return gmqtt.Client(order.id, clean_session=not order.keep, will_message=will, **options)


async def run(order: orders.Order) -> None:
    client = make(order)
    subscribed = asyncio.Event()

    def on_message(_client: object, _topic: str, payload: bytes, qos: int, properties: dict) -> int:
        orders.got(payload, qos, properties["retain"])
        return 0

    def on_subscribe(*_: object) -> None:
        subscribed.set()

    client.on_message = on_message
    client.on_subscribe = on_subscribe
    version = MQTTv50 if order.version == 5 else MQTTv311
    await client.connect(orders.HOST, order.port, ssl=order.tls or False, version=version)
    try:
        if order.role == "publish":
            for payload in order.payloads:
                client.publish(order.topic, payload, qos=order.qos, retain=order.retain)
            # gmqtt has no call back for an ack; what waits for one is in its store.
            await client._persistent_storage.wait_empty()
            return
        client.subscribe(order.topic, order.qos)
        await subscribed.wait()
        orders.ready()
        await asyncio.Event().wait()
    finally:
        await client.disconnect()


try:
    asyncio.run(run(orders.read()))
except KeyboardInterrupt:
    pass
