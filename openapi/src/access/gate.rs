use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use poem::{
    Addr, Endpoint, EndpointExt, FromRequest, Request, RequestBody, Response,
    endpoint::BoxEndpoint,
    http::{HeaderValue, Method, StatusCode, header},
};
use poem_openapi::{
    OpenApi,
    registry::{MetaApi, Registry},
};
use subtle::ConstantTimeEq;
use tarn_common::{
    event::{AuditEntry, Outcome},
    ids::HomeId,
};
use tokio::task::JoinError;

use super::{
    Access, Allowance, Caller, TokenFault,
    policy::{self, Decision, Need},
};
use crate::{
    idempotency::{self, Answers},
    problem::{self, Problem},
    service::Service,
};

/// The cookie that a session is known by.
pub(crate) const COOKIE: &str = "tarn_session";
/// The header that has to come beside it with every change.
pub(crate) const CSRF: &str = "tarn-csrf";
/// Stands for the home of what is about none: stores, tokens, logins.
const FLEET_HOME: &str = "_fleet";
/// Refused requests a second that are told one by one; of more, the next one tells how many there were.
const REFUSALS: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);

/// Stands before every operation: finds out who asks, decides by the policy, and has it noted.
pub(crate) struct Gate {
    access: Arc<Access>,
    host: Arc<dyn Service>,
    answers: Answers,
    refusals: DefaultDirectRateLimiter,
    untold: AtomicU64,
}

impl Gate {
    pub(crate) fn new(host: Arc<dyn Service>) -> Gate {
        Gate {
            access: host.access().clone(),
            host,
            answers: Answers::new(),
            refusals: RateLimiter::direct(Quota::per_second(REFUSALS)),
            untold: AtomicU64::new(0),
        }
    }

    /// Put every operation of an interface behind it.
    pub(crate) fn before<T: OpenApi>(self: &Arc<Self>, api: T) -> Gated<T> {
        Gated {
            api,
            gate: self.clone(),
        }
    }

    async fn pass(
        self: &Arc<Self>,
        operation: &Operation,
        mut request: Request,
        inner: &Arc<BoxEndpoint<'static>>,
    ) -> poem::Result<Response> {
        let mut asked = Asked::of(operation, &request, &*self.host);
        let known = self.known(&request, operation.name).await;
        let (caller, unknown) = match known {
            Ok(caller) => (caller, None),
            Err(refused) => (None, Some(refused)),
        };
        asked.caller = caller;
        let allowance = self.access.bounds.request(&asked.key());
        let mut response = match asked.refusal(unknown, allowance) {
            Some(refused) => {
                let reason = Some(refused.detail.clone());
                self.note(&asked, Outcome::Refused, refused.status, reason)
                    .await;
                refused.into_response()
            }
            None => {
                if let Some(caller) = asked.caller.clone() {
                    request.set_data(By(caller));
                }
                if asked.is_change() {
                    // It comes to its end, and is noted, though whoever asked goes away.
                    let change = self.clone().change(asked, request, inner.clone());
                    tokio::spawn(change).await.unwrap_or_else(|e| failed(&e))
                } else {
                    self.run(&asked, request, inner).await
                }
            }
        };
        tell(&mut response, allowance);
        Ok(response)
    }

    async fn change(
        self: Arc<Self>,
        asked: Asked,
        request: Request,
        inner: Arc<BoxEndpoint<'static>>,
    ) -> Response {
        match (idempotency::key_of(&request), &asked.caller) {
            (Err(problem), _) => problem.into_response(),
            (Ok(Some(key)), Some(caller)) => {
                let run = |request| self.run(&asked, request, &inner);
                self.answers.once(&caller.token, &key, request, run).await
            }
            _ => self.run(&asked, request, &inner).await,
        }
    }

    async fn run(&self, asked: &Asked, request: Request, inner: &BoxEndpoint<'static>) -> Response {
        let answered = inner.call(request).await;
        let response = answered.unwrap_or_else(problem::of_error);
        self.note_answer(asked, response.status()).await;
        response
    }

    async fn note_answer(&self, asked: &Asked, status: StatusCode) {
        if !asked.is_change() && status != StatusCode::UNAUTHORIZED {
            return;
        }
        let outcome = match status {
            status if status.is_success() => Outcome::Done,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                Outcome::Refused
            }
            _ => Outcome::Failed,
        };
        self.note(asked, outcome, status, None).await;
    }

    /// Who asks, if he says so.
    async fn known(
        &self,
        request: &Request,
        operation: &str,
    ) -> Result<Option<Arc<Caller>>, Refused> {
        let needs_nothing = policy::need(operation) == Some(Need::Nothing);
        let (token, is_cookie) = match (bearer(request)?, cookie(request)) {
            (Some(token), _) => (token, false),
            (None, Some(token)) => (token, true),
            (None, None) => return Ok(None),
        };
        let caller = match self.access.caller(token).await {
            Ok(caller) => caller,
            // An old cookie must not keep anybody from logging in.
            Err(_) if needs_nothing => return Ok(None),
            Err(TokenFault::UnknownKey) if !self.access.records.is_known() => {
                return Err(Refused {
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    ..Refused::unknown(
                        "the store has not answered yet, so that no token can be checked",
                    )
                });
            }
            Err(fault) => return Err(Refused::unknown(fault.to_string())),
        };
        if is_cookie && !policy::is_read(request.method()) && !needs_nothing {
            let sent = request.header(CSRF).unwrap_or_default();
            let wanted = Access::csrf(token);
            if !bool::from(sent.as_bytes().ct_eq(wanted.as_bytes())) {
                let why = format!(
                    "a change by a session needs the header {CSRF}, as GET /v1/session tells it"
                );
                return Err(Refused::forbidden(why));
            }
        }
        Ok(Some(caller))
    }

    async fn note(
        &self,
        asked: &Asked,
        outcome: Outcome,
        status: StatusCode,
        reason: Option<String>,
    ) {
        let mut more = 0;
        if outcome == Outcome::Refused {
            if self.refusals.check().is_err() {
                self.untold.fetch_add(1, Ordering::Relaxed);
                return;
            }
            more = self.untold.swap(0, Ordering::Relaxed);
        }
        let caller = asked.caller.as_deref();
        let entry = AuditEntry {
            at_ms: self.host.clock().now_ms(),
            actor: caller.map(|caller| caller.name.clone()),
            role: caller.map(|caller| caller.role.to_string()),
            token: caller.map(|caller| caller.token.clone()),
            operation: asked.operation.to_owned(),
            path: asked.path.clone(),
            device: asked.device.clone(),
            outcome,
            status: status.as_u16(),
            reason,
            address: asked.address.map(|address| address.to_string()),
            more,
        };
        // What is about no home that may be is noted with the fleet.
        let home = asked
            .home
            .as_deref()
            .and_then(|home| home.parse::<HomeId>().ok());
        let home = home.or_else(|| FLEET_HOME.parse().ok());
        if let Some(home) = home {
            self.host.audit(&home, entry).await;
        }
    }
}

/// What is asked for, as the policy and the audit see it.
struct Asked {
    operation: &'static str,
    method: Method,
    path: String,
    home: Option<String>,
    device: Option<String>,
    address: Option<IpAddr>,
    caller: Option<Arc<Caller>>,
}

impl Asked {
    fn of(operation: &Operation, request: &Request, host: &dyn Service) -> Asked {
        let named = |name| operation.path_param(request, name);
        let home = named("home").or_else(|| host.home().map(|home| home.to_string()));
        Asked {
            operation: operation.name,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            home,
            device: named("device"),
            address: address(request),
            caller: None,
        }
    }

    /// By what his requests are counted: who is not known is counted by where he is.
    fn key(&self) -> String {
        match (&self.caller, self.address) {
            (Some(caller), _) => caller.token.clone(),
            (None, Some(address)) => address.to_string(),
            (None, None) => String::new(),
        }
    }

    /// Why it is not let through, if it is not. `unknown` is what was wrong with how its sender made himself known.
    fn refusal(&self, unknown: Option<Refused>, allowance: Option<Allowance>) -> Option<Refused> {
        if let Some(wait) = allowance.and_then(|allowance| allowance.wait) {
            return Some(too_many(wait));
        }
        if unknown.is_some() {
            return unknown;
        }
        let (caller, home) = (self.caller.as_deref(), self.home.as_deref());
        match policy::decide(caller, self.operation, home) {
            Decision::Allowed => None,
            Decision::Unknown => Some(Refused::unknown(
                "say who you are: send a token as Authorization: Bearer, or log in",
            )),
            Decision::Forbidden(why) => Some(Refused::forbidden(why)),
        }
    }

    fn is_change(&self) -> bool {
        policy::is_change(self.operation, &self.method)
    }
}

/// Where a request came from.
pub(crate) fn address(request: &Request) -> Option<IpAddr> {
    match &request.remote_addr().0 {
        Addr::SocketAddr(address) => Some(address.ip()),
        _ => None,
    }
}

/// The token of the `Authorization` header.
fn bearer(request: &Request) -> Result<Option<&str>, Refused> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let parts = value.to_str().ok().and_then(|value| value.split_once(' '));
    match parts {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Refused::unknown(
            "the Authorization header is not of the form: Bearer <token>",
        )),
    }
}

/// The token of the session's cookie.
pub(crate) fn cookie(request: &Request) -> Option<&str> {
    let values = request.headers().get_all(header::COOKIE).iter();
    let pairs = values.filter_map(|value| value.to_str().ok());
    pairs
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// Why a request is not let through.
#[derive(Debug, Clone)]
struct Refused {
    status: StatusCode,
    detail: String,
    wait: Option<Duration>,
}

impl Refused {
    fn unknown(detail: impl Into<String>) -> Refused {
        Refused {
            status: StatusCode::UNAUTHORIZED,
            detail: detail.into(),
            wait: None,
        }
    }

    fn forbidden(detail: impl Into<String>) -> Refused {
        Refused {
            status: StatusCode::FORBIDDEN,
            detail: detail.into(),
            wait: None,
        }
    }

    fn into_response(self) -> Response {
        let mut response = Problem::new(self.status, self.detail).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"tarn\""),
            );
        }
        if let Some(wait) = self.wait {
            headers.insert(header::RETRY_AFTER, seconds(wait).into());
        }
        response
    }
}

fn failed(error: &JoinError) -> Response {
    tracing::error!(error = error as &dyn std::error::Error, "a request failed");
    let detail = "the request was not answered; it may be done or not";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
}

fn too_many(wait: Duration) -> Refused {
    Refused {
        status: StatusCode::TOO_MANY_REQUESTS,
        detail: format!("too many requests; ask again in {} s", seconds(wait)),
        wait: Some(wait),
    }
}

fn seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1_000).max(1) as u64
}

/// Say what may still be asked (the RateLimit header fields of the IETF's HTTPAPI group).
fn tell(response: &mut Response, allowance: Option<Allowance>) {
    let Some(allowance) = allowance else { return };
    let wait = allowance.wait.map_or(0, seconds);
    let policy = format!("\"caller\";q={}", allowance.limit);
    let state = format!("\"caller\";r={};t={wait}", allowance.remaining);
    for (name, value) in [("ratelimit-policy", policy), ("ratelimit", state)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// Who asks, for operations that need to know.
#[derive(Debug, Clone)]
pub(crate) struct By(pub(crate) Arc<Caller>);

impl<'a> FromRequest<'a> for By {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<By> {
        let by = request.data::<By>().cloned();
        by.ok_or_else(|| {
            let refused = Refused::unknown("say who you are");
            poem::Error::from_response(refused.into_response())
        })
    }
}

/// An interface behind the gate.
pub(crate) struct Gated<T> {
    api: T,
    gate: Arc<Gate>,
}

impl<T: OpenApi> OpenApi for Gated<T> {
    fn meta() -> Vec<MetaApi> {
        T::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, route_table: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        let mut open = HashMap::new();
        self.api.add_routes(&mut open);
        let operations = operations(&T::meta());
        for (path, methods) in open {
            for (method, inner) in methods {
                // One without a name is in no table, so nobody may.
                let operation = operations.get(&(path.clone(), method.clone()));
                let route = Route {
                    operation: operation.cloned().unwrap_or_default(),
                    gate: self.gate.clone(),
                    inner: Arc::new(inner),
                };
                let methods = route_table.entry(path.clone()).or_default();
                methods.insert(method, route.boxed());
            }
        }
    }
}

/// An operation as its route knows it.
#[derive(Debug, Clone, Default)]
struct Operation {
    /// Its name in the document.
    name: &'static str,
    /// What the document calls the variable parts of its path, in their order: the library's routes only number them.
    path_params: Vec<String>,
}

impl Operation {
    fn path_param(&self, request: &Request, name: &str) -> Option<String> {
        let at = self.path_params.iter().position(|param| param == name)?;
        request.raw_path_param(&numbered(at)).map(str::to_owned)
    }
}

/// What the library's routes call a variable part of a path.
fn numbered(at: usize) -> String {
    format!("param{at}")
}

fn operations(apis: &[MetaApi]) -> HashMap<(String, Method), Operation> {
    let paths = apis.iter().flat_map(|api| &api.paths);
    let named = paths.flat_map(|path| {
        let mut path_params = Vec::new();
        let parts = path.path.split('/').map(|part| {
            let param = part
                .strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'));
            match param {
                Some(param) => {
                    path_params.push(param.to_owned());
                    format!(":{}", numbered(path_params.len() - 1))
                }
                None => part.to_owned(),
            }
        });
        let route = parts.collect::<Vec<_>>().join("/");
        let operations = path.operations.iter();
        operations.map(move |operation| {
            let key = (route.clone(), operation.method.clone());
            let name = operation.operation_id.unwrap_or_default();
            let path_params = path_params.clone();
            (key, Operation { name, path_params })
        })
    });
    named.collect()
}

struct Route {
    operation: Operation,
    gate: Arc<Gate>,
    inner: Arc<BoxEndpoint<'static>>,
}

impl Endpoint for Route {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        self.gate.pass(&self.operation, request, &self.inner).await
    }
}
