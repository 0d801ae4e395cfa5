use bytes::Bytes;
use reqwest::{Response, header::ACCEPT};
use serde::{Deserialize, de::DeserializeOwned};

use super::summary::{Bucket, Gap, MissingChunk};
use crate::{
    client::{AskError, Client},
    exit::Failure,
};

/// Rows of a page: few enough for the service's bound on bytes, many enough to be quick.
const PAGE_ROWS: &str = "20000";

/// Pages of readings, one after another.
pub(super) struct Pages<'c> {
    client: &'c Client,
    path: Vec<&'c str>,
    query: Vec<(&'static str, String)>,
    accept: &'static str,
    cursor: Option<String>,
    is_done: bool,
    /// Gaps in the whole time, as the first page told.
    pub(super) gaps: u64,
    /// Chunks that could not be read, of the page that had most.
    pub(super) missing: u64,
}

/// A page of buckets.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Page {
    pub(super) readings: Vec<Bucket>,
    pub(super) gaps: Vec<Gap>,
    pub(super) missing: Vec<MissingChunk>,
}

impl<'c> Pages<'c> {
    pub(super) fn new(
        client: &'c Client,
        path: &'c [String],
        query: Vec<(&'static str, String)>,
        accept: &'static str,
    ) -> Pages<'c> {
        Pages {
            client,
            path: path.iter().map(String::as_str).collect(),
            query,
            accept,
            cursor: None,
            is_done: false,
            gaps: 0,
            missing: 0,
        }
    }

    /// The next page; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, AskError> {
        if self.is_done {
            return Ok(None);
        }
        let query = self.query.iter().map(|(name, value)| (*name, &**value));
        let mut query: Vec<(&str, &str)> = query.collect();
        query.push(("limit", PAGE_ROWS));
        let is_first = self.cursor.is_none();
        if let Some(cursor) = &self.cursor {
            query.push(("cursor", cursor));
        }
        let request = self.client.request(&self.path, &query);
        let answer = self.client.send(request.header(ACCEPT, self.accept));
        let answer = answer.await?;
        self.cursor = header(&answer, "tarn-next-cursor").map(str::to_owned);
        self.is_done = self.cursor.is_none();
        let count = |name| header(&answer, name).and_then(|count| count.parse().ok());
        if is_first {
            self.gaps = count("tarn-gaps").unwrap_or(0);
        }
        self.missing = self.missing.max(count("tarn-missing-chunks").unwrap_or(0));
        let body = answer.bytes().await;
        let body = body.map_err(|e| self.client.unreachable(&e))?;
        Ok(Some(body))
    }

    /// A page of JSON.
    pub(super) fn parse<T: DeserializeOwned>(&self, page: &Bytes) -> Result<T, Failure> {
        let parsed = serde_json::from_slice(page);
        Ok(parsed.map_err(|e| self.client.strange(e.to_string()))?)
    }
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}
