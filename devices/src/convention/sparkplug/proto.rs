//! The messages of Sparkplug B as far as Tarn reads and writes them; fields that are not here are skipped.
//! Field numbers are those of the Sparkplug specification, 6.4.1. What is rare is boxed, so that a payload of many
//! empty metrics stays small in memory.

/// What a node, a device or a host publishes.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Payload {
    /// When it was published, milliseconds since 1970 UTC.
    #[prost(uint64, optional, tag = "1")]
    pub(super) timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    pub(super) metrics: Vec<Metric>,
    /// Counts a node's messages, 0 to 255.
    #[prost(uint64, optional, tag = "3")]
    pub(super) seq: Option<u64>,
}

/// One value.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Metric {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) alias: Option<u64>,
    /// When it was measured, milliseconds since 1970 UTC.
    #[prost(uint64, optional, tag = "3")]
    pub(super) timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    pub(super) datatype: Option<u32>,
    #[prost(bool, optional, tag = "5")]
    pub(super) is_historical: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub(super) is_null: Option<bool>,
    #[prost(message, optional, boxed, tag = "9")]
    pub(super) properties: Option<Box<PropertySet>>,
    #[prost(oneof = "Value", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18")]
    pub(super) value: Option<Value>,
}

/// The value of a metric.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Value {
    #[prost(uint32, tag = "10")]
    Int(u32),
    #[prost(uint64, tag = "11")]
    Long(u64),
    #[prost(float, tag = "12")]
    Float(f32),
    #[prost(double, tag = "13")]
    Double(f64),
    #[prost(bool, tag = "14")]
    Boolean(bool),
    #[prost(string, tag = "15")]
    String(String),
    #[prost(bytes = "vec", tag = "16")]
    Bytes(Vec<u8>),
    #[prost(message, boxed, tag = "17")]
    DataSet(Box<DataSet>),
    #[prost(message, boxed, tag = "18")]
    Template(Box<Template>),
}

/// A table.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DataSet {
    #[prost(string, repeated, tag = "2")]
    pub(super) columns: Vec<String>,
    #[prost(uint32, repeated, packed = "false", tag = "3")]
    pub(super) types: Vec<u32>,
    #[prost(message, repeated, tag = "4")]
    pub(super) rows: Vec<Row>,
}

/// A row of a table.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Row {
    #[prost(message, repeated, tag = "1")]
    pub(super) elements: Vec<Cell>,
}

/// A cell of a table.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Cell {
    #[prost(oneof = "CellValue", tags = "1, 2, 3, 4, 5, 6")]
    pub(super) value: Option<CellValue>,
}

/// The value of a cell.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum CellValue {
    #[prost(uint32, tag = "1")]
    Int(u32),
    #[prost(uint64, tag = "2")]
    Long(u64),
    #[prost(float, tag = "3")]
    Float(f32),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(bool, tag = "5")]
    Boolean(bool),
    #[prost(string, tag = "6")]
    String(String),
}

/// Metrics that belong together, or what such metrics are.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Template {
    #[prost(message, repeated, tag = "2")]
    pub(super) metrics: Vec<Metric>,
    /// Set where no values are told but what instances look like.
    #[prost(bool, optional, tag = "5")]
    pub(super) is_definition: Option<bool>,
}

/// What is said of a metric, such as its unit: the keys, and as many values.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PropertySet {
    #[prost(string, repeated, tag = "1")]
    pub(super) keys: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    pub(super) values: Vec<Property>,
}

/// One of them.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Property {
    #[prost(uint32, optional, tag = "1")]
    pub(super) datatype: Option<u32>,
    #[prost(oneof = "PropertyValue", tags = "3, 4, 5, 6, 7, 8")]
    pub(super) value: Option<PropertyValue>,
}

/// The value of a property; sets of properties are skipped.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum PropertyValue {
    #[prost(uint32, tag = "3")]
    Int(u32),
    #[prost(uint64, tag = "4")]
    Long(u64),
    #[prost(float, tag = "5")]
    Float(f32),
    #[prost(double, tag = "6")]
    Double(f64),
    #[prost(bool, tag = "7")]
    Boolean(bool),
    #[prost(string, tag = "8")]
    String(String),
}
