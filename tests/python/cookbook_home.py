#!/usr/bin/env python3
"""Publishes three days of a small home, so that every question of the cookbook has an answer worth comparing.

The days are those around the end of summer time in Vienna, so that a day has 25 hours. The devices tell their own times:
a meter that speaks Tasmota's way and begins anew once, and two rooms with plain topics. One of the rooms is silent for
some hours, and only one of them tells its humidity, a little later than its temperature.

With `--notes N` it publishes so many random texts instead, which no compression makes small: a box with little room is
full of them soon.
"""

import argparse
import datetime
import json
import math
import random

import paho.mqtt.client as mqtt

MAC = "A020A1B2C3D4"
TOPIC = "meter_B2C3D4"
FIRST = datetime.datetime(2025, 10, 24, 22, tzinfo=datetime.timezone.utc)
MINUTES = 3 * 24 * 60
METER_EVERY_MIN, ROOM_EVERY_MIN = 10, 5
RESET_AT_MIN, SILENT_MIN = 2000, range(900, 1200)
ACK_LIMIT_S = 60
NOTE_DIGITS = 3000


def announcement():
    """What Tasmota retains under its discovery topic."""
    config = {
        "ip": "192.168.1.20", "dn": "Meter", "fn": ["Meter"], "hn": TOPIC, "mac": MAC, "md": "Sonoff POW R2", "ty": 0,
        "if": 0, "ofln": "Offline", "onln": "Online", "state": ["OFF", "ON", "TOGGLE", "HOLD"], "sw": "14.2.0",
        "t": TOPIC, "ft": "%prefix%/%topic%/", "tp": ["cmnd", "stat", "tele"], "rl": [1], "swc": [-1], "swn": [None],
        "btn": [0], "so": {"4": 0, "11": 0, "13": 0, "17": 0, "20": 0, "30": 0, "68": 0, "73": 0, "82": 0, "114": 0},
        "lk": 0, "lt_st": 0, "sho": [0], "sht": [[0, 0, 0]], "ver": 1,
    }
    yield f"tasmota/discovery/{MAC}/config", json.dumps(config)


def messages():
    yield from announcement()
    counted = 100.0
    for minute in range(MINUTES):
        moment = FIRST + datetime.timedelta(minutes=minute)
        # The sun of a day, so that averages differ from hour to hour.
        day = math.sin(minute / 1440 * 2 * math.pi)
        if minute == RESET_AT_MIN:
            counted = 0.0
        if minute % METER_EVERY_MIN == 0:
            counted += 0.05 + 0.04 * day
            energy = {"Total": round(counted, 3), "Power": round(300 + 240 * day)}
            # Tasmota's time is local and says no zone; the box is told that the home is in UTC.
            told = {"Time": moment.strftime("%Y-%m-%dT%H:%M:%S"), "ENERGY": energy}
            yield f"tele/{TOPIC}/SENSOR", json.dumps(told)
        if minute % ROOM_EVERY_MIN == 0:
            ts = int(moment.timestamp())
            if minute not in SILENT_MIN:
                yield "home/attic", json.dumps({"ts": ts, "temperature": round(15 + 4 * day, 1)})
            yield "home/kitchen", json.dumps({"ts": ts, "temperature": round(21 + 2 * day, 1)})
            yield "home/kitchen", json.dumps({"ts": ts + 90, "humidity": round(45 - 9 * day)})


def notes(count):
    dice = random.Random(1)
    for number in range(count):
        yield "home/hall/note", f"n{dice.getrandbits(4 * NOTE_DIGITS):x}"
        yield "home/hall/temperature", str(20 + number % 7)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--notes", type=int)
    args = parser.parse_args()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="cookbook-home")
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", args.port)
    client.loop_start()
    said = notes(args.notes) if args.notes else messages()
    sent = [client.publish(topic, payload, qos=1) for topic, payload in said]
    for message in sent:
        message.wait_for_publish(ACK_LIMIT_S)
        if not message.is_published():
            raise SystemExit(f"no ack within {ACK_LIMIT_S} s")
    client.disconnect()
    client.loop_stop()
    print(json.dumps({"acked": len(sent)}))


if __name__ == "__main__":
    main()
