use std::{io, sync::Arc, time::Duration};

use parking_lot::Mutex;
use poem::{
    Body, Endpoint, IntoResponse, PathPattern, Request, Response, Route, Server,
    endpoint::make_sync,
    http::{StatusCode, header},
    listener::{AcceptorExt, TcpAcceptor},
};
use poem_openapi::OpenApiService;
use prometheus_client::registry::Registry;
use tarn_common::tls::TlsServer;
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Gate, Jwk, RateSettings},
    access_api::AccessApi,
    alarms_api::AlarmsApi,
    api::Api,
    broker_api::BrokerApi,
    dashboard,
    deliveries_api::DeliveriesApi,
    devices::Access,
    devices_api::DevicesApi,
    document::{docs_html, document},
    homes_api::HomesApi,
    insights_api::InsightsApi,
    kept,
    latest_api::LatestApi,
    live_api::LiveApi,
    metrics::HttpMetrics,
    problem::{self, Problem, is_problem},
    rules_api::RulesApi,
    scenes_api::ScenesApi,
    service::Service,
    stores_api::StoresApi,
    tls::TlsAcceptor,
    twins_api::TwinsApi,
};

/// The metrics of a process, which its parts register in.
pub type SharedRegistry = Arc<Mutex<Registry>>;

/// Bytes of a request's body at most.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;

/// How long requests under way may take once the server stops.
const STOP_TIME: Duration = Duration::from_secs(5);

/// The docs page may load nothing from outside: it has all that it needs.
const DOCS_POLICY: &str = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'";

/// Settings of the server.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// How long one request may take, from its head to its answer's head. More than the queries' own limit.
    pub request_timeout: Duration,
    /// How much one caller may ask.
    pub rate: RateSettings,
    /// Public keys of further issuers whose tokens are good here.
    pub trusted: Vec<Jwk>,
    /// The certificate to be served with; none is plain HTTP.
    pub tls: Option<Arc<TlsServer>>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            request_timeout: Duration::from_secs(60),
            rate: RateSettings::default(),
            trusted: Vec::new(),
            tls: None,
        }
    }
}

/// Serve the interface until the token is cancelled; then finish what is under way.
pub async fn serve(
    listener: TcpListener,
    service: Arc<dyn Service>,
    registry: SharedRegistry,
    settings: HttpSettings,
    stop: CancellationToken,
) -> io::Result<()> {
    let app = app(service, registry, &settings, stop.clone());
    let acceptor = match &settings.tls {
        Some(tls) => TlsAcceptor::new(listener, tls.clone(), stop.clone())?.boxed(),
        None => TcpAcceptor::from_tokio(listener)?.boxed(),
    };
    Server::new_with_acceptor(acceptor)
        .run_with_graceful_shutdown(app, async move { stop.cancelled().await }, Some(STOP_TIME))
        .await
}

/// The whole interface as one endpoint. Streams end when the token is cancelled.
pub fn app(
    service: Arc<dyn Service>,
    registry: SharedRegistry,
    settings: &HttpSettings,
    stop: CancellationToken,
) -> impl Endpoint + 'static {
    let text = document(service.kind());
    let docs = docs_html(&text);
    let metrics = HttpMetrics::register(&mut registry.lock());
    let (broker, stores) = (service.broker(), service.stores());
    let gate = Arc::new(Gate::new(service.clone()));
    let people = AccessApi {
        host: Some(service.clone()),
    };
    let access = Access {
        host: Some(service.clone()),
    };
    let api = Api {
        host: Some((service, registry)),
        kept: kept::Answers::default(),
    };
    let latest = LatestApi { api: api.clone() };
    let live = LiveApi {
        api: api.clone(),
        stop,
    };
    let document = move |_| {
        Response::builder()
            .content_type("application/json")
            .body(text.clone())
    };
    let docs = move |_| {
        let page = Response::builder().content_type("text/html; charset=utf-8");
        page.header(header::CONTENT_SECURITY_POLICY, DOCS_POLICY)
            .body(docs.clone())
    };
    let routes = Route::new()
        .at("/openapi.json", poem::get(make_sync(document)))
        .at("/docs", poem::get(make_sync(docs)));
    let (title, version) = ("Tarn", env!("CARGO_PKG_VERSION"));
    let twins = TwinsApi {
        access: access.clone(),
    };
    let homes = HomesApi {
        access: access.clone(),
    };
    let rules = RulesApi {
        access: access.clone(),
        api: api.clone(),
    };
    let scenes = ScenesApi {
        access: access.clone(),
        api: api.clone(),
    };
    let alarms = AlarmsApi {
        access: access.clone(),
    };
    let insights = InsightsApi {
        access: access.clone(),
        api: api.clone(),
    };
    let deliveries = DeliveriesApi { api: api.clone() };
    let routes = match broker {
        None => routes.nest(
            "/",
            OpenApiService::new(
                gate.before((
                    api,
                    latest,
                    live,
                    people,
                    twins,
                    homes,
                    rules,
                    scenes,
                    alarms,
                    insights,
                    deliveries,
                    StoresApi { stores },
                )),
                title,
                version,
            ),
        ),
        broker => {
            let broker = BrokerApi { broker };
            let devices = DevicesApi { access };
            routes.nest(
                "/",
                OpenApiService::new(
                    gate.before((
                        api, latest, live, people, broker, devices, twins, homes, rules, scenes,
                        alarms, insights, deliveries,
                    )),
                    title,
                    version,
                ),
            )
        }
    };
    Guarded {
        routes,
        metrics,
        timeout: settings.request_timeout,
    }
}

/// Bounds each request, counts it, and turns whatever failed into a problem.
struct Guarded<E> {
    routes: E,
    metrics: HttpMetrics,
    timeout: Duration,
}

impl<E: Endpoint> Endpoint for Guarded<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let answered = tokio::time::timeout(self.timeout, self.answer(request)).await;
        let (route, response) = answered.unwrap_or_else(|_| {
            let detail = format!("no answer within {} s", self.timeout.as_secs_f64());
            (
                None,
                Problem::new(StatusCode::GATEWAY_TIMEOUT, detail).into_response(),
            )
        });
        let route = route
            .as_deref()
            .filter(|route| !route.is_empty())
            .unwrap_or("unmatched");
        self.metrics
            .note(route, response.status().as_u16(), started.elapsed());
        Ok(response)
    }
}

impl<E: Endpoint> Guarded<E> {
    async fn answer(&self, request: Request) -> (Option<String>, Response) {
        // The operations take every path from the root on, so that no other route can stand there.
        if dashboard::has(&request) {
            return (Some("dashboard".into()), dashboard::serve(&request));
        }
        let request = match bounded(request).await {
            Ok(request) => request,
            Err(problem) => return (None, problem.into_response()),
        };
        match self.routes.call(request).await {
            Ok(output) => {
                let response = output.into_response();
                (
                    response.data::<PathPattern>().map(|p| p.0.to_string()),
                    as_problem(response).await,
                )
            }
            Err(error) => {
                let route = error.data::<PathPattern>().map(|p| p.0.to_string());
                (route, problem::of_error(error))
            }
        }
    }
}

/// Read the body whole, within its bound: no operation takes a large one.
async fn bounded(mut request: Request) -> Result<Request, Problem> {
    let body = request.take_body();
    match body.into_bytes_limit(REQUEST_BYTES_MAX).await {
        Ok(bytes) => {
            request.set_body(Body::from(bytes));
            Ok(request)
        }
        Err(poem::error::ReadBodyError::PayloadTooLarge) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a request's body may have {REQUEST_BYTES_MAX} bytes"),
        )),
        Err(error) => Err(Problem::new(StatusCode::BAD_REQUEST, error.to_string())),
    }
}

async fn as_problem(mut response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || is_problem(&response) {
        return response;
    }
    let detail = response.take_body().into_string().await.unwrap_or_default();
    let detail = if detail.is_empty() {
        status.to_string()
    } else {
        detail
    };
    Problem::new(status, detail).into_response()
}
