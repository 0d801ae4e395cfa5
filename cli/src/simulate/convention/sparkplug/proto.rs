//! The protobuf messages of Sparkplug B, as far as these devices use them.
//!
//! Field numbers are those of `sparkplug_b.proto` (Eclipse Tahu).

/// Data types that stand in birth certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(in crate::simulate) enum DataType {
    /// 64 bits, signed.
    Int64 = 4,
    /// 64 bits, unsigned.
    UInt64 = 8,
    /// 64 bits of IEEE 754.
    Double = 10,
    /// True or false.
    Boolean = 11,
    /// Text.
    String = 12,
}

/// What one message carries.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::simulate) struct Payload {
    /// When it was sent, in Unix milliseconds.
    #[prost(uint64, optional, tag = "1")]
    pub(in crate::simulate) timestamp: Option<u64>,
    /// Its metrics.
    #[prost(message, repeated, tag = "2")]
    pub(in crate::simulate) metrics: Vec<Metric>,
    /// Counts the messages of a node from its birth, and begins anew after 255.
    #[prost(uint64, optional, tag = "3")]
    pub(in crate::simulate) seq: Option<u64>,
}

/// One value.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::simulate) struct Metric {
    /// Its name; after the birth only its alias is sent.
    #[prost(string, optional, tag = "1")]
    pub(in crate::simulate) name: Option<String>,
    /// A number that stands for the name, unique within the node.
    #[prost(uint64, optional, tag = "2")]
    pub(in crate::simulate) alias: Option<u64>,
    /// When it was measured, in Unix milliseconds.
    #[prost(uint64, optional, tag = "3")]
    pub(in crate::simulate) timestamp: Option<u64>,
    /// A [`DataType`].
    #[prost(uint32, optional, tag = "4")]
    pub(in crate::simulate) datatype: Option<u32>,
    /// It was stored while the node was away, and does not tell the present.
    #[prost(bool, optional, tag = "5")]
    pub(in crate::simulate) is_historical: Option<bool>,
    /// It has no value.
    #[prost(bool, optional, tag = "7")]
    pub(in crate::simulate) is_null: Option<bool>,
    /// What else is known of it, such as its unit.
    #[prost(message, optional, tag = "9")]
    pub(in crate::simulate) properties: Option<PropertySet>,
    /// The value.
    #[prost(oneof = "MetricValue", tags = "10, 11, 12, 13, 14, 15")]
    pub(in crate::simulate) value: Option<MetricValue>,
}

/// The value of a metric.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(in crate::simulate) enum MetricValue {
    /// Up to 32 bits.
    #[prost(uint32, tag = "10")]
    Int(u32),
    /// Up to 64 bits; negative numbers in two's complement.
    #[prost(uint64, tag = "11")]
    Long(u64),
    /// 32 bits of IEEE 754.
    #[prost(float, tag = "12")]
    Float(f32),
    /// 64 bits of IEEE 754.
    #[prost(double, tag = "13")]
    Double(f64),
    /// True or false.
    #[prost(bool, tag = "14")]
    Boolean(bool),
    /// Text.
    #[prost(string, tag = "15")]
    Text(String),
}

/// Keys and values beside each other.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::simulate) struct PropertySet {
    /// The keys.
    #[prost(string, repeated, tag = "1")]
    pub(in crate::simulate) keys: Vec<String>,
    /// Their values, in the same order.
    #[prost(message, repeated, tag = "2")]
    pub(in crate::simulate) values: Vec<PropertyValue>,
}

/// A text of a property set.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::simulate) struct PropertyValue {
    /// A [`DataType`].
    #[prost(uint32, optional, tag = "1")]
    pub(in crate::simulate) datatype: Option<u32>,
    /// The text.
    #[prost(string, optional, tag = "8")]
    pub(in crate::simulate) text: Option<String>,
}

impl PropertySet {
    /// The unit of a metric, under the key that Sparkplug hosts look for.
    pub(in crate::simulate) fn unit(unit: &str) -> PropertySet {
        PropertySet {
            keys: vec!["engUnit".to_owned()],
            values: vec![PropertyValue {
                datatype: Some(DataType::String as u32),
                text: Some(unit.to_owned()),
            }],
        }
    }
}
