"""Real MQTT clients against a broker, each in both versions of MQTT that it speaks.

`programs` knows the clients, `cases` what each must be able to do, and `clients/` has the programs that
libraries need to be used from a command line. All of these take one argument, an order as JSON:

    role       "subscribe" or "publish"
    port       where the broker listens on the loopback
    transport  "tcp", "tls", "ws" or "wss"
    ca         the file with the authority that signed the broker's certificate
    version    4 (MQTT 3.1.1) or 5
    id         the client id
    keep       whether the session outlives the connection
    will       the topic of a will with the payload "gone" at QoS 1, or null
    topic      what to subscribe to, or to publish on
    qos        0, 1 or 2
    payloads   what to publish, in order
    retain     whether to publish it retained

A subscriber prints `ready` after its SUBACK and then a JSON object for each message: `payload`, and where
the client tells them `qos` and `retain`. At SIGTERM it disconnects. A publisher ends with 0 when all is
acknowledged.
"""
