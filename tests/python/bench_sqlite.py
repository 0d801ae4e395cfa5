"""The baseline pipeline: subscribes at a broker and writes readings to SQLite, one commit a batch."""

import json
import pathlib
import queue
import sqlite3
import sys

import paho.mqtt.client as mqtt

port, path = int(sys.argv[1]), sys.argv[2]
messages = queue.SimpleQueue()
database = sqlite3.connect(path)
database.execute("pragma journal_mode=wal")
database.execute("pragma synchronous=full")
database.execute("create table readings (ts real, device text, metric text, value real)")
database.commit()

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_message = lambda _client, _data, message: messages.put((message.timestamp, message.topic, message.payload))
client.on_subscribe = lambda *_: pathlib.Path(path + ".ready").touch()
client.connect("127.0.0.1", port)
client.subscribe("#", 1)
client.loop_start()

while True:
    batch = [messages.get()]
    while not messages.empty() and len(batch) < 10_000:
        batch.append(messages.get())
    rows = [(ts, topic, key, value) for ts, topic, payload in batch for key, value in json.loads(payload).items()]
    database.executemany("insert into readings values (?, ?, ?, ?)", rows)
    database.commit()
