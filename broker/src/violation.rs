//! The rules a client can break, and what each is answered with.

use mqtt_proto::v5::{DisconnectReasonCode, ErrorV5};

/// A client broke the protocol or a limit: it is told why (MQTT 5) and disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("malformed packet")]
    Malformed,
    #[error("packet that the protocol does not allow here")]
    Protocol,
    #[error("packet larger than the limit")]
    TooLarge,
    #[error("topic name that is empty, too long or too deep, or has wildcards")]
    TopicName,
    #[error("topic filter that is not valid")]
    TopicFilter,
    #[error("topic alias that is 0 or too large")]
    TopicAlias,
    #[error("payload is not the UTF-8 that it says it is")]
    PayloadFormat,
    #[error("packet not complete in time")]
    PacketTimeout,
    #[error("more publishes of QoS 1 and 2 at one time than the receive maximum")]
    ReceiveMaximum,
    #[error("the answer is larger than the client takes")]
    AnswerTooLarge,
}

impl Violation {
    /// Value of the metric's `reason` label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Violation::Malformed => "malformed",
            Violation::Protocol => "protocol",
            Violation::TooLarge => "too_large",
            Violation::TopicName => "topic_name",
            Violation::TopicFilter => "topic_filter",
            Violation::TopicAlias => "topic_alias",
            Violation::PayloadFormat => "payload_format",
            Violation::PacketTimeout => "packet_timeout",
            Violation::ReceiveMaximum => "receive_maximum",
            Violation::AnswerTooLarge => "answer_too_large",
        }
    }

    /// Reason of the MQTT 5 DISCONNECT.
    pub(crate) fn code(self) -> DisconnectReasonCode {
        match self {
            Violation::Malformed => DisconnectReasonCode::MalformedPacket,
            Violation::Protocol => DisconnectReasonCode::ProtocolError,
            Violation::TooLarge => DisconnectReasonCode::PacketTooLarge,
            Violation::TopicName => DisconnectReasonCode::TopicNameInvalid,
            Violation::TopicFilter => DisconnectReasonCode::TopicFilterInvalid,
            Violation::TopicAlias => DisconnectReasonCode::TopicAliasInvalid,
            Violation::PayloadFormat => DisconnectReasonCode::PayloadFormatInvalid,
            Violation::PacketTimeout => DisconnectReasonCode::UnspecifiedError,
            Violation::ReceiveMaximum => DisconnectReasonCode::ReceiveMaximumExceeded,
            Violation::AnswerTooLarge => DisconnectReasonCode::PacketTooLarge,
        }
    }
}

impl From<mqtt_proto::Error> for Violation {
    fn from(error: mqtt_proto::Error) -> Self {
        match error {
            mqtt_proto::Error::InvalidTopicName(_) => Violation::TopicName,
            mqtt_proto::Error::InvalidTopicFilter(_) => Violation::TopicFilter,
            mqtt_proto::Error::EmptySubscription => Violation::Protocol,
            // A packet that ends before its fields do is as malformed as any other: the frame was
            // complete when it was decoded.
            _ => Violation::Malformed,
        }
    }
}

impl From<ErrorV5> for Violation {
    fn from(error: ErrorV5) -> Self {
        match error {
            ErrorV5::Common(error) => error.into(),
            ErrorV5::InvalidPayloadFormat => Violation::PayloadFormat,
            ErrorV5::DuplicatedProperty(_) | ErrorV5::InvalidByteProperty(..) => {
                Violation::Protocol
            }
            _ => Violation::Malformed,
        }
    }
}
