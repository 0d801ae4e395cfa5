use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{ApiResponse, Object, payload::Json};
use tarn_common::query::QueryError;

use crate::access::AccessError;

/// Media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong (RFC 9457).
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub struct Problem {
    /// The kind of problem, as a URI that stays the same.
    #[oai(rename = "type")]
    pub kind: String,
    /// The kind of problem, for people.
    pub title: String,
    /// The HTTP status code.
    #[oai(validator(minimum(value = "400"), maximum(value = "599")))]
    pub status: u16,
    /// What is wrong this time, and what to do.
    pub detail: String,
}

impl poem_openapi::types::Example for Problem {
    fn example() -> Self {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "every: \"1y\" is no width; use 1ms to 366d, like 30s, 15m, 1h or 1d",
        )
    }
}

impl Problem {
    /// A problem of this status.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        let (kind, title) = match status {
            StatusCode::BAD_REQUEST => ("bad-request", "The request is wrong"),
            StatusCode::UNAUTHORIZED => ("unauthenticated", "It is not known who asks"),
            StatusCode::FORBIDDEN => ("forbidden", "You may not"),
            StatusCode::TOO_MANY_REQUESTS => ("too-many-requests", "That is too often"),
            StatusCode::NOT_FOUND => ("not-found", "There is no such thing"),
            StatusCode::METHOD_NOT_ALLOWED => ("method-not-allowed", "The path has no such method"),
            StatusCode::NOT_ACCEPTABLE => {
                ("not-acceptable", "The answer does not come in that form")
            }
            StatusCode::PRECONDITION_FAILED => ("changed", "Somebody changed it meanwhile"),
            StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "The request is too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => (
                "unsupported-media-type",
                "The request comes in another form",
            ),
            StatusCode::UNPROCESSABLE_ENTITY => {
                ("too-expensive", "The answer needs more than its limit")
            }
            StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "Not now; try again later"),
            StatusCode::GATEWAY_TIMEOUT => ("timeout", "It took too long"),
            _ if status.is_client_error() => ("refused", "The request was refused"),
            _ => ("internal", "The service failed"),
        };
        Problem {
            kind: format!("urn:tarn:problem:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
        }
    }

    /// As an HTTP answer.
    #[must_use]
    pub fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = Json(self).into_response();
        body.with_content_type(PROBLEM_JSON)
            .with_status(status)
            .into_response()
    }
}

/// An error of the library, or of an operation, as a problem.
pub(crate) fn of_error(error: poem::Error) -> Response {
    let detail = error.to_string();
    let response = error.into_response();
    if is_problem(&response) {
        return response;
    }
    Problem::new(response.status(), detail).into_response()
}

/// Whether an answer is a problem already.
pub(crate) fn is_problem(response: &Response) -> bool {
    response
        .content_type()
        .is_some_and(|kind| kind.starts_with(PROBLEM_JSON))
}

/// Why an operation failed. Some are only made by the server around the operations; they are here so
/// that each operation's description has them.
#[allow(dead_code)]
#[derive(Debug, Clone, ApiResponse)]
pub(crate) enum Failure {
    /// The request is wrong; the detail says where and how to mend it.
    #[oai(status = 400, content_type = "application/problem+json")]
    BadRequest(Json<Problem>),
    /// It is not known who asks: no token or login was sent, or one that is not good.
    #[oai(status = 401, content_type = "application/problem+json")]
    Unauthenticated(Json<Problem>),
    /// Whoever asks may not do that.
    #[oai(status = 403, content_type = "application/problem+json")]
    Forbidden(Json<Problem>),
    /// There is no such home.
    #[oai(status = 404, content_type = "application/problem+json")]
    NotFound(Json<Problem>),
    /// `Accept` names no form that there is.
    #[oai(status = 406, content_type = "application/problem+json")]
    NotAcceptable(Json<Problem>),
    /// What `If-Match` names is not what it is now.
    #[oai(status = 412, content_type = "application/problem+json")]
    Precondition(Json<Problem>),
    /// The request's body is larger than allowed.
    #[oai(status = 413, content_type = "application/problem+json")]
    TooLarge(Json<Problem>),
    /// The request's body is not of a type that is read.
    #[oai(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(Json<Problem>),
    /// The answer would need more time, memory or room than its limit, which the detail names: ask for less.
    #[oai(status = 422, content_type = "application/problem+json")]
    TooExpensive(Json<Problem>),
    /// Too many requests of one caller; `Retry-After` says when to ask again.
    #[oai(status = 429, content_type = "application/problem+json")]
    TooMany(Json<Problem>),
    /// The service failed.
    #[oai(status = 500, content_type = "application/problem+json")]
    Internal(Json<Problem>),
    /// The service cannot answer now; try again later.
    #[oai(status = 503, content_type = "application/problem+json")]
    Unavailable(Json<Problem>),
    /// The request took longer than any may.
    #[oai(status = 504, content_type = "application/problem+json")]
    Timeout(Json<Problem>),
}

impl Failure {
    pub(crate) fn bad_request(detail: impl Into<String>) -> Failure {
        Failure::BadRequest(Json(Problem::new(StatusCode::BAD_REQUEST, detail)))
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Failure {
        Failure::Forbidden(Json(Problem::new(StatusCode::FORBIDDEN, detail)))
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Failure {
        Failure::NotFound(Json(Problem::new(StatusCode::NOT_FOUND, detail)))
    }

    pub(crate) fn not_acceptable() -> Failure {
        let forms = "use application/json, text/csv, application/vnd.apache.arrow.stream or application/vnd.apache.parquet";
        Failure::NotAcceptable(Json(Problem::new(StatusCode::NOT_ACCEPTABLE, forms)))
    }

    pub(crate) fn too_expensive(detail: impl Into<String>) -> Failure {
        Failure::TooExpensive(Json(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)))
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Failure {
        let detail = detail.into();
        tracing::error!(%detail, "a request failed");
        Failure::Internal(Json(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            detail,
        )))
    }

    pub(crate) fn precondition(detail: impl Into<String>) -> Failure {
        Failure::Precondition(Json(Problem::new(StatusCode::PRECONDITION_FAILED, detail)))
    }

    /// The box that is asked for is away.
    pub(crate) fn away(detail: impl Into<String>) -> Failure {
        let problem = Problem {
            kind: "urn:tarn:problem:away".into(),
            title: "The box is away".into(),
            ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        };
        Failure::Unavailable(Json(problem))
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Failure {
        Failure::Unavailable(Json(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)))
    }
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Failure {
        let detail = error.to_string();
        let problem = |status| Json(Problem::new(status, detail.clone()));
        match error {
            AccessError::WrongPassword => {
                Failure::Unauthenticated(problem(StatusCode::UNAUTHORIZED))
            }
            AccessError::WrongCode => Failure::Forbidden(problem(StatusCode::FORBIDDEN)),
            AccessError::TooMany(_) => Failure::TooMany(problem(StatusCode::TOO_MANY_REQUESTS)),
            AccessError::Invalid(detail) => Failure::bad_request(detail),
            AccessError::NoToken(_) => Failure::not_found(detail),
            AccessError::Store(_) => Failure::unavailable(detail),
            AccessError::Key(_) => Failure::internal(detail),
        }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Failure {
        match error {
            QueryError::BadQuery(detail) => Failure::bad_request(detail),
            error @ QueryError::TooExpensive { .. } => Failure::too_expensive(error.to_string()),
            QueryError::Unavailable(detail) => Failure::unavailable(detail),
            error @ QueryError::Internal(_) => Failure::internal(error.to_string()),
        }
    }
}
