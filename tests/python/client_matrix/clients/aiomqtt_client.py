"""A client program on aiomqtt."""

from __future__ import annotations

import asyncio

import aiomqtt
import order as orders
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def make(order: orders.Order) -> aiomqtt.Client:
    options: dict[str, object] = {}
    if order.version == 5:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = orders.SESSION_SECONDS if order.keep else 0
        options = {"clean_start": not order.keep, "properties": properties}
    else:
        options = {"clean_session": not order.keep}
    return aiomqtt.Client(
        orders.HOST,
        order.port,
        identifier=order.id,
        protocol=aiomqtt.ProtocolVersion.V5 if order.version == 5 else aiomqtt.ProtocolVersion.V311,
        transport="websockets" if order.is_websocket else "tcp",
        tls_context=order.tls,
        will=aiomqtt.Will(order.will, orders.WILL_PAYLOAD, qos=1) if order.will else None,
        **options,
    )


async def run(order: orders.Order) -> None:
    async with make(order) as client:
        if order.role == "publish":
            for payload in order.payloads:
                await client.publish(order.topic, payload, order.qos, order.retain)
            return
        await client.subscribe(order.topic, order.qos)
        orders.ready()
        async for message in client.messages:
            orders.got(message.payload, message.qos, message.retain)


try:
    asyncio.run(run(orders.read()))
except KeyboardInterrupt:
    pass
