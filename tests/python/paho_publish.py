#!/usr/bin/env python3
"""Publishes N messages with unique values and notes each one whose ack came.

It behaves as a plain device does: it keeps what is not acked in memory, connects again for as long as
it takes, and sends again what the broker has not acked. It exits 0 once every message is acked, and
1 when the deadline comes first. At QoS 0 there are no acks, so nothing is noted.

Everything runs in one thread: in paho's threaded loop the callback that tells of an ack holds a lock
that publish() wants as well, and may come before publish() has told the packet id.
"""

import argparse
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

RECONNECT_PAUSE_S = 0.05
SESSION_EXPIRY_S = 3600


class Publisher:
    def __init__(self, args, acked):
        self.args = args
        self.acked = acked
        self.in_flight = {}
        self.connected = False
        self.refused = None
        is_v5 = args.version == 5
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=args.client_id,
            protocol=mqtt.MQTTv5 if is_v5 else mqtt.MQTTv311,
            # A session that outlives its connection is what lets a broker know a repeated packet.
            clean_session=None if is_v5 else False,
        )
        if args.user:
            self.client.username_pw_set(args.user, args.password)
        self.client.max_inflight_messages_set(args.in_flight)
        self.client.on_connect = self.on_connect
        self.client.on_disconnect = self.on_disconnect
        self.client.on_publish = self.on_publish

    def on_connect(self, _client, _data, _flags, reason, _properties):
        self.connected = not reason.is_failure
        self.refused = str(reason) if reason.is_failure else None

    def on_disconnect(self, *_):
        self.connected = False

    def on_publish(self, _client, _data, mid, reason, _properties):
        payload = self.in_flight.pop(mid, None)
        # In MQTT 5 an ack can say no. A message that was refused is not one that is stored.
        if payload is not None and not reason.is_failure:
            self.acked.write(f"{self.args.topic}\t{payload}\n")

    def connect(self):
        """One attempt; a broker that is down is no error, only a reason to try again."""
        properties = None
        if self.args.version == 5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
        clean_start = {"clean_start": False, "properties": properties} if properties else {}
        try:
            self.client.connect(self.args.host, self.args.port, keepalive=20, **clean_start)
        except OSError:
            time.sleep(RECONNECT_PAUSE_S)
            return False
        return True

    def run(self):
        deadline = time.monotonic() + self.args.deadline
        next_number, end = self.args.start, self.args.start + self.args.count
        socket_open = False
        began = time.monotonic()
        while next_number < end or self.in_flight or self.client.want_write():
            if time.monotonic() > deadline:
                return False
            if not socket_open:
                socket_open = self.connect()
                continue
            while self.connected and next_number < end and len(self.in_flight) < self.args.in_flight:
                if self.args.rate and next_number - self.args.start >= (time.monotonic() - began) * self.args.rate:
                    break
                info = self.client.publish(self.args.topic, str(next_number), qos=self.args.qos)
                if self.args.qos:
                    self.in_flight[info.mid] = str(next_number)
                next_number += 1
            socket_open = self.client.loop(timeout=0.02) == mqtt.MQTT_ERR_SUCCESS
            self.acked.flush()
            if self.refused:
                print(f"refused: {self.refused}", file=sys.stderr)
                return False
        self.client.disconnect()
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--client-id", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--start", type=int, default=0, help="value of the first message; the next is one more")
    parser.add_argument("--qos", type=int, choices=(0, 1, 2), default=1)
    parser.add_argument("--version", type=int, choices=(3, 5), default=3)
    parser.add_argument("--in-flight", type=int, default=20)
    parser.add_argument("--rate", type=float, default=0, help="messages per second; 0 for as fast as acks allow")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--acked", required=True, help="file to append topic<TAB>payload to")
    parser.add_argument("--deadline", type=float, default=300, help="seconds after which to give up")
    args = parser.parse_args()
    with open(args.acked, "a", encoding="utf-8") as acked:
        publisher = Publisher(args, acked)
        finished = publisher.run()
    if not finished:
        print(f"{len(publisher.in_flight)} messages without an ack", file=sys.stderr)
    sys.exit(0 if finished else 1)


if __name__ == "__main__":
    main()
