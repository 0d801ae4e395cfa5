// A client program on the npm package mqtt. What it is told and prints is in the package's description.
"use strict";
const fs = require("node:fs");
const mqtt = require("mqtt");

const order = JSON.parse(process.argv[2]);
const scheme = { tcp: "mqtt", tls: "mqtts", ws: "ws", wss: "wss" }[order.transport];
const options = {
  clientId: order.id,
  protocolVersion: order.version,
  clean: !order.keep,
  reconnectPeriod: 0,
};
if (order.version === 5) options.properties = { sessionExpiryInterval: order.keep ? 3600 : 0 };
if (order.will) options.will = { topic: order.will, payload: "gone", qos: 1, retain: false };
if (order.ca) options.ca = fs.readFileSync(order.ca);

const client = mqtt.connect(`${scheme}://localhost:${order.port}`, options);
const fail = (error) => {
  console.error(error);
  process.exit(1);
};
client.on("error", fail);
client.on("message", (_topic, payload, packet) => {
  console.log(JSON.stringify({ payload: payload.toString(), qos: packet.qos, retain: packet.retain }));
});
process.on("SIGTERM", () => client.end(false, {}, () => process.exit(0)));

client.on("connect", async () => {
  try {
    if (order.role === "publish") {
      const { qos, retain } = order;
      await Promise.all(order.payloads.map((payload) => client.publishAsync(order.topic, payload, { qos, retain })));
      client.end();
    } else {
      await client.subscribeAsync(order.topic, { qos: order.qos });
      console.log("ready");
    }
  } catch (error) {
    fail(error);
  }
});
