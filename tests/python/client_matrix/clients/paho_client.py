"""A client program on paho-mqtt."""

from __future__ import annotations

import order as orders
from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5, MQTTv311
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def make(order: orders.Order) -> Client:
    client = Client(
        CallbackAPIVersion.VERSION2,
        order.id,
        clean_session=None if order.version == 5 else not order.keep,
        protocol=MQTTv5 if order.version == 5 else MQTTv311,
        transport="websockets" if order.is_websocket else "tcp",
    )
    if order.tls:
        client.tls_set_context(order.tls)
    if order.will:
        client.will_set(order.will, orders.WILL_PAYLOAD, qos=1)
    return client


def connect(client: Client, order: orders.Order) -> None:
    if order.version == 5:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = orders.SESSION_SECONDS if order.keep else 0
        client.connect(orders.HOST, order.port, clean_start=not order.keep, properties=properties)
    else:
        client.connect(orders.HOST, order.port)


def subscribe(client: Client, order: orders.Order) -> None:
    client.on_connect = lambda *_: client.subscribe(order.topic, order.qos)
    client.on_subscribe = lambda *_: orders.ready()
    client.on_message = lambda _client, _data, message: orders.got(
        message.payload, message.qos, message.retain
    )
    connect(client, order)
    try:
        client.loop_forever()
    except KeyboardInterrupt:
        client.disconnect()


def publish(client: Client, order: orders.Order) -> None:
    connect(client, order)
    client.loop_start()
    sent = [client.publish(order.topic, payload, order.qos, order.retain) for payload in order.payloads]
    for message in sent:
        message.wait_for_publish(10)
        assert message.is_published(), "not acknowledged"
    client.disconnect()
    client.loop_stop()


given = orders.read()
{"subscribe": subscribe, "publish": publish}[given.role](make(given), given)
