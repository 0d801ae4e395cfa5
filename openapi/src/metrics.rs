use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Bounds of the latency histogram, seconds.
const LATENCY_SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

/// Counts and times of requests.
#[derive(Debug, Clone)]
pub(crate) struct HttpMetrics {
    requests: Family<Request, Counter>,
    latency: Family<Route, Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

impl HttpMetrics {
    pub(crate) fn register(registry: &mut Registry) -> HttpMetrics {
        let metrics = HttpMetrics {
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_SECONDS)),
        };
        registry.register(
            "tarn_http_requests",
            "HTTP requests answered",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "tarn_http_request_duration",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            metrics.latency.clone(),
        );
        metrics
    }

    /// Note one answer. `route` is the pattern, never the path: paths have no bound.
    pub(crate) fn note(&self, route: &str, status: u16, took: Duration) {
        self.requests
            .get_or_create(&Request {
                route: route.to_owned(),
                status,
            })
            .inc();
        self.latency
            .get_or_create(&Route {
                route: route.to_owned(),
            })
            .observe(took.as_secs_f64());
    }
}
