use std::path::Path;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use serde_json::Value;

use crate::access;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client for the REST interface, as a program of a user would have one.
#[derive(Debug)]
pub struct Http {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    token: Option<String>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type.
    pub content_type: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Default for Http {
    fn default() -> Http {
        Http::new()
    }
}

impl Http {
    /// A client with an owner's token.
    #[must_use]
    pub fn new() -> Http {
        Http::anonymous().with_token(access::owner())
    }

    /// A client whom nobody knows.
    #[must_use]
    pub fn anonymous() -> Http {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("build a runtime");
        // A proxy of the developer's shell would not know this machine's loopback.
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(TIMEOUT)
            .build()
            .expect("build an HTTP client");
        Http {
            runtime,
            client,
            token: None,
        }
    }

    /// An owner's client that trusts this authority, and no other.
    ///
    /// # Panics
    /// The file is no certificate.
    #[must_use]
    pub fn trusting(ca: &Path) -> Http {
        let pem = std::fs::read(ca).expect("read the authority");
        let root = reqwest::Certificate::from_pem(&pem).expect("a certificate");
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(TIMEOUT)
            .add_root_certificate(root);
        Http {
            client: client.build().expect("build an HTTP client"),
            ..Http::new()
        }
    }

    /// The same client with a bearer token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Http {
        self.token = Some(token.to_owned());
        self
    }

    /// Asks for `url` in the media type `accept`; an error means that no answer came.
    pub fn try_get(&self, url: &str, accept: &str) -> Result<Answer, reqwest::Error> {
        self.send(self.client.get(url).header(ACCEPT, accept))
    }

    /// Asks for `url` in the media type `accept`.
    #[must_use]
    pub fn get(&self, url: &str, accept: &str) -> Answer {
        self.try_get(url, accept)
            .unwrap_or_else(|error| panic!("GET {url}: {error}"))
    }

    /// The JSON at `url`; the scenario has failed if there is none.
    #[must_use]
    pub fn json(&self, url: &str) -> Value {
        self.get(url, "application/json").json(url)
    }

    /// Posts a JSON document and gives the JSON of a good answer.
    #[must_use]
    pub fn post(&self, url: &str, document: &Value) -> Value {
        self.send_document(self.client.post(url), url, document)
            .json(url)
    }

    /// Puts a JSON document, if the server answers.
    pub fn try_put(&self, url: &str, document: &Value) -> Option<Answer> {
        self.try_send_document(self.client.put(url), document).ok()
    }

    /// Posts a JSON document, whatever the answer is.
    pub fn try_post(&self, url: &str, document: &Value) -> Option<Answer> {
        self.try_send_document(self.client.post(url), document).ok()
    }

    /// Patches what is at `url` with a JSON document.
    #[must_use]
    pub fn patch(&self, url: &str, document: &Value) -> Answer {
        self.send_document(self.client.patch(url), url, document)
    }

    /// Puts something at `url` that needs no more than its name.
    #[must_use]
    pub fn put(&self, url: &str) -> Answer {
        self.send(self.client.put(url).header(ACCEPT, "application/json"))
            .unwrap_or_else(|error| panic!("PUT {url}: {error}"))
    }

    /// Deletes what is at `url`.
    #[must_use]
    pub fn delete(&self, url: &str) -> Answer {
        self.send(self.client.delete(url))
            .unwrap_or_else(|error| panic!("DELETE {url}: {error}"))
    }

    /// Sends a request with these headers and this body.
    ///
    /// # Panics
    /// No answer comes, or there is no such method.
    #[must_use]
    pub fn request(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let method = method.parse().expect("a method of HTTP");
        let mut request = self.client.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request)
            .unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    fn send_document(
        &self,
        request: reqwest::RequestBuilder,
        url: &str,
        document: &Value,
    ) -> Answer {
        self.try_send_document(request, document)
            .unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    fn try_send_document(
        &self,
        request: reqwest::RequestBuilder,
        document: &Value,
    ) -> Result<Answer, reqwest::Error> {
        let request = request.header(ACCEPT, "application/json");
        let request = request.header(CONTENT_TYPE, "application/json");
        self.send(request.body(document.to_string()))
    }

    fn send(&self, mut request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        self.runtime.block_on(async {
            let response = request.send().await?;
            let media = response.headers().get(CONTENT_TYPE);
            let content_type = media
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned();
            let status = response.status().as_u16();
            let headers = response.headers().iter();
            let headers = headers.filter_map(|(name, value)| {
                Some((name.to_string(), value.to_str().ok()?.to_owned()))
            });
            let headers = headers.collect();
            let body = response.bytes().await?.to_vec();
            Ok(Answer {
                status,
                content_type,
                headers,
                body,
            })
        })
    }
}

impl Answer {
    /// A header by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON of a good answer from `url`; the scenario has failed if it is not one.
    #[must_use]
    pub fn json(&self, url: &str) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{url}: {} {}",
            self.status,
            self.text()
        );
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{url}: {error}: {}", self.text()))
    }
}
