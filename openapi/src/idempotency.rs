use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use moka::future::Cache;
use poem::{
    Body, Request, Response,
    http::{HeaderMap, HeaderValue, StatusCode},
};
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// The header by which a caller says that a request is the same as one before.
pub(crate) const KEY: &str = "idempotency-key";
/// The header of an answer that was given before.
pub(crate) const REPLAYED: &str = "idempotent-replayed";
/// Characters of a key at most.
pub(crate) const KEY_BYTES_MAX: usize = 255;
/// How long an answer is remembered; a restart forgets all.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(86_400);
/// Bytes of answers that are remembered; those asked for longest ago are forgotten first.
const KEPT_BYTES_MAX: u64 = 16 << 20;
/// What an answer costs beside its body.
const ANSWER_BYTES: usize = 1_024;

/// Answers to changes, so that a change that is asked for again under its key is done once.
#[derive(Debug, Clone)]
pub(crate) struct Answers(Cache<(String, String), Arc<Kept>>);

#[derive(Debug, Clone)]
struct Kept {
    /// Digest of the request.
    of: [u8; 32],
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answers {
    pub(crate) fn new() -> Answers {
        let weigh = |key: &(String, String), kept: &Arc<Kept>| {
            let bytes = ANSWER_BYTES + key.0.len() + key.1.len() + kept.body.len();
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().weigher(weigh);
        Answers(
            cache
                .max_capacity(KEPT_BYTES_MAX)
                .time_to_live(KEPT_FOR)
                .build(),
        )
    }

    /// Answer a caller's request: by `run`, or as it was answered before under the same key. Of several at the same time one is
    /// run. What did not succeed is not remembered.
    pub(crate) async fn once<F>(
        &self,
        caller: &str,
        key: &str,
        mut request: Request,
        run: impl FnOnce(Request) -> F + Send,
    ) -> Response
    where
        F: Future<Output = Response> + Send,
    {
        // It was read whole already, within its bound.
        let body = request.take_body().into_bytes().await.unwrap_or_default();
        let of = digest(&request, &body);
        request.set_body(Body::from(body));
        let place = self.0.entry((caller.to_owned(), key.to_owned()));
        let answered = place.or_try_insert_with(async {
            let kept = Kept::new(of, run(request).await).await;
            if kept.status.is_success() {
                Ok(Arc::new(kept))
            } else {
                Err(kept)
            }
        });
        match answered.await {
            Ok(entry) if entry.value().of != of => reused(key),
            Ok(entry) => {
                let is_new = entry.is_fresh();
                let mut response = Kept::clone(entry.value()).into_response();
                if !is_new {
                    let yes = HeaderValue::from_static("true");
                    response.headers_mut().insert(REPLAYED, yes);
                }
                response
            }
            Err(kept) if kept.of != of => reused(key),
            Err(kept) => Kept::clone(&kept).into_response(),
        }
    }
}

impl Kept {
    async fn new(of: [u8; 32], mut response: Response) -> Kept {
        Kept {
            of,
            status: response.status(),
            headers: response.headers().clone(),
            body: response.take_body().into_bytes().await.unwrap_or_default(),
        }
    }

    fn into_response(self) -> Response {
        let mut response = Response::builder().status(self.status).body(self.body);
        *response.headers_mut() = self.headers;
        response
    }
}

/// The key that a request has, bare or in the quotes of a structured field.
///
/// # Errors
/// It is none.
pub(crate) fn key_of(request: &Request) -> Result<Option<String>, Problem> {
    let Some(value) = request.headers().get(KEY) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    let bare = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    if (1..=KEY_BYTES_MAX).contains(&bare.len()) {
        return Ok(Some(bare.to_owned()));
    }
    Err(Problem::new(
        StatusCode::BAD_REQUEST,
        format!("{KEY} has 1 to {KEY_BYTES_MAX} visible characters, like a UUID"),
    ))
}

fn digest(request: &Request, body: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [request.method().as_str(), &request.uri().to_string()] {
        digest.update(part);
        digest.update([0]);
    }
    digest.update(body);
    digest.finalize().into()
}

fn reused(key: &str) -> Response {
    let detail =
        format!("{key:?} was the {KEY} of another request; each request needs one of its own");
    Problem {
        kind: "urn:tarn:problem:idempotency-key-reused".into(),
        title: "The key was used for another request".into(),
        ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }
    .into_response()
}
