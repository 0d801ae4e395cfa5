use std::{error::Error as _, time::Duration};

use jiff::Timestamp;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode, header::RETRY_AFTER, redirect::Policy,
};

use crate::retry::Failure;

/// As much of an answer is read, for the words of a failure.
const ANSWER_BYTES_MAX: usize = 2_048;
/// As much of it is told.
const ANSWER_CHARS_MAX: usize = 200;

/// A client that follows no redirects: what is signed or carries a token goes where the file says, and nowhere else.
pub(crate) fn client() -> Result<Client, String> {
    Client::builder()
        .redirect(Policy::none())
        .user_agent(concat!("tarn/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| words(&e))
}

/// Send a request, and say what its answer means.
pub(super) async fn send(request: RequestBuilder, now_ms: i64) -> Result<(), Failure> {
    let answer = request.send().await.map_err(|e| Failure::Away {
        words: words(&e.without_url()),
        retry_after: None,
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let header = answer.headers().get(RETRY_AFTER);
    let header = header.and_then(|value| value.to_str().ok());
    let retry_after = header.and_then(|text| wait_asked(text, now_ms));
    Err(meaning(status, text(answer).await, retry_after))
}

fn meaning(status: StatusCode, text: String, retry_after: Option<Duration>) -> Failure {
    let mut words = format!("answered {status}");
    if !text.is_empty() {
        words = format!("{words}: {text}");
    }
    match status.as_u16() {
        // A redirect is what a page for logging in to a network answers with, too.
        300..=399 | 429 | 502 | 503 | 504 => Failure::Away { words, retry_after },
        408 | 425 => Failure::NotNow { words, retry_after },
        400..=499 => Failure::Never { words },
        _ => Failure::NotNow { words, retry_after },
    }
}

/// Seconds, or a date.
fn wait_asked(text: &str, now_ms: i64) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until: Timestamp = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait_ms = until.as_millisecond().saturating_sub(now_ms);
    u64::try_from(wait_ms).ok().map(Duration::from_millis)
}

/// The beginning of an answer, as one line.
async fn text(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_BYTES_MAX
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        bytes.extend_from_slice(&chunk);
    }
    bytes.truncate(ANSWER_BYTES_MAX);
    let text = String::from_utf8_lossy(&bytes);
    let line = text.trim().chars().take(ANSWER_CHARS_MAX);
    line.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An error of reqwest with what is behind it.
fn words(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, expected: &str) {
        let status = StatusCode::from_u16(status).expect("a status");
        let told = match meaning(status, String::new(), None) {
            Failure::Away { .. } => "away",
            Failure::NotNow { .. } => "not now",
            Failure::Never { .. } => "never",
        };
        assert_eq!(told, expected, "{status}");
    }

    #[test]
    fn what_an_answer_means() {
        for status in [400, 401, 403, 404, 410, 413, 422] {
            check(status, "never");
        }
        for status in [408, 425, 500, 501, 507] {
            check(status, "not now");
        }
        for status in [302, 307, 429, 502, 503, 504] {
            check(status, "away");
        }
    }

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_until_a_date() {
        assert_eq!(wait_asked("120", 0), Some(Duration::from_secs(120)));
        let date = "Thu, 01 Jan 1970 00:01:00 GMT";
        assert_eq!(wait_asked(date, 15_000), Some(Duration::from_secs(45)));
        assert_eq!(wait_asked(date, 90_000), None);
        assert_eq!(wait_asked("soon", 0), None);
    }
}
