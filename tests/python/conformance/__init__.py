"""MQTT conformance suite: what a broker owes its clients, checked over raw sockets.

One case for each normative statement of MQTT 3.1.1 and MQTT 5 that a broker can break. The packets are
made here, byte by byte, because half of the cases send what no client library would.

    python -m conformance --port 1883
"""
