use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Figures of a server.
#[derive(Debug, Clone, Default)]
pub struct S3Metrics {
    /// Requests by operation and outcome.
    pub requests: Family<RequestLabels, Counter>,
    /// Bytes of objects taken.
    pub received_bytes: Counter,
    /// Bytes of objects sent.
    pub sent_bytes: Counter,
}

/// Of a request: what was asked, and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The operation as S3 names it; `other` for all that is not served, `none` where it did not come to one.
    pub operation: &'static str,
    /// `ok`, `refused` for what the client did wrong, or `failed`.
    pub outcome: &'static str,
}

impl S3Metrics {
    /// Make them known.
    #[must_use]
    pub fn register(registry: &mut Registry) -> S3Metrics {
        let m = S3Metrics::default();
        registry.register(
            "tarn_s3_requests",
            "Requests by the S3 protocol",
            m.requests.clone(),
        );
        registry.register(
            "tarn_s3_received_bytes",
            "Bytes of objects that came by the S3 protocol",
            m.received_bytes.clone(),
        );
        registry.register(
            "tarn_s3_sent_bytes",
            "Bytes of objects that went by the S3 protocol",
            m.sent_bytes.clone(),
        );
        m
    }

    pub(crate) fn count(&self, operation: &'static str, status: u16) {
        let outcome = match status {
            ..400 => "ok",
            400..500 => "refused",
            _ => "failed",
        };
        let labels = RequestLabels { operation, outcome };
        self.requests.get_or_create(&labels).inc();
    }
}
