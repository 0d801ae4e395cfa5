//! The wire between boxes and clouds: topics and messages over MQTT.
