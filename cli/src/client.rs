//! The REST interface of a box or a cloud, as the commands that ask something use it.

use std::{error::Error, path::PathBuf, time::Duration};

use clap::Args;
use reqwest::{
    Certificate, RequestBuilder, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
    redirect,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::{Host, Url};

use crate::exit::Failure;

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long a service may say nothing; one that thinks for longer ends the question by itself.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// Characters that are shown of an answer that is none of Tarn's.
const STRANGE_SHOWN_MAX: usize = 200;

/// JSON.
pub(crate) const JSON: &str = "application/json";

/// Which service is asked, and by whom.
#[derive(Debug, Args)]
#[command(next_help_heading = "Service")]
pub(crate) struct ServiceArgs {
    /// REST interface of the box or cloud that is asked
    #[arg(
        long,
        env = "TARN_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080",
        value_parser = service_url
    )]
    url: Url,
    /// Token to be known by (see `tarn token`)
    #[arg(long, env = "TARN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// File with the token in it, which is taken before --token
    #[arg(long, env = "TARN_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Roots of the service's certificate, PEM [default: the system's]
    #[arg(long, env = "TARN_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Home that is asked about [default: the one that there is]
    #[arg(long, env = "TARN_HOME", value_name = "NAME")]
    home: Option<String>,
}

/// A URL as people write it: `box:8080` is one, too.
fn service_url(text: &str) -> Result<Url, String> {
    let text = text.trim();
    let url = match text.contains("://") {
        true => Url::parse(text),
        false => Url::parse(&format!("http://{text}")),
    };
    match url {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        Ok(_) => Err("use http:// or https:// and a host".into()),
        Err(e) => Err(e.to_string()),
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Nobody is there, or cannot answer now.
    #[error("{url} is not reachable: {reason}")]
    Unreachable {
        /// Who was asked.
        url: Url,
        /// Why it is not.
        reason: String,
    },
    /// The service is there and says no.
    #[error("{detail}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// Why, in one line.
        detail: String,
    },
    /// What came is no answer of Tarn's.
    #[error("{url} answers, but not as Tarn does: {reason}")]
    Strange {
        /// Who was asked.
        url: Url,
        /// What is odd.
        reason: String,
    },
}

impl AskError {
    /// Whether the service refused with this status.
    pub(crate) fn is(&self, wanted: StatusCode) -> bool {
        matches!(self, AskError::Refused { status, .. } if *status == wanted)
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Failure {
        match &error {
            AskError::Unreachable { .. } => Failure::unreachable(error),
            AskError::Strange { .. } => Failure::broken(error),
            AskError::Refused { status, .. } if status.is_server_error() => Failure::broken(error),
            AskError::Refused { status, .. } if *status == StatusCode::TOO_MANY_REQUESTS => {
                Failure::broken(error)
            }
            AskError::Refused { .. } => Failure::usage(error.to_string()),
        }
    }
}

/// A client of one service.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    home: Option<String>,
}

/// A problem as RFC 9457 has it.
#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

#[derive(Deserialize)]
struct Homes {
    homes: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    home: String,
}

impl Client {
    /// A client as the flags say; nothing is sent yet.
    pub(crate) fn new(args: &ServiceArgs) -> Result<Client, Failure> {
        let unread = |flag: &str, path: &PathBuf, e: &dyn std::fmt::Display| {
            Failure::usage(format!("{flag}: {}: {e}", path.display()))
        };
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("tarn/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(SILENCE_MAX)
            // A token is for who was named, and nobody else.
            .redirect(redirect::Policy::none());
        if is_this_machine(&args.url) {
            http = http.no_proxy();
        }
        if let Some(path) = &args.ca {
            let pem = std::fs::read(path).map_err(|e| unread("--ca", path, &e))?;
            let roots = Certificate::from_pem_bundle(&pem);
            for root in roots.map_err(|e| unread("--ca", path, &e))? {
                http = http.add_root_certificate(root);
            }
        }
        let token = match &args.token_file {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                Some(text.map_err(|e| unread("--token-file", path, &e))?)
            }
            None => args.token.clone(),
        };
        let token = token.map(|token| token.trim().to_owned());
        Ok(Client {
            http: http.build().map_err(Failure::broken)?,
            base: args.url.clone(),
            token: token.filter(|token| !token.is_empty()),
            home: args.home.clone().filter(|home| !home.is_empty()),
        })
    }

    /// Who is asked.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The home that was named.
    pub(crate) fn named_home(&self) -> Option<&str> {
        self.home.as_deref()
    }

    /// The home that is asked about: the named one, or the only one that there is.
    pub(crate) async fn home(&self) -> Result<String, Failure> {
        if let Some(home) = &self.home {
            return Ok(home.clone());
        }
        let found: Homes = self.get(&["v1", "homes"], &[]).await?;
        let mut names = found.homes.into_iter().map(|home| home.home);
        match (names.next(), names.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(Failure::usage(format!(
                "{} has no readings of any home yet: say with --home which one is meant",
                self.base
            ))),
            (Some(first), Some(second)) => {
                let rest = names.collect::<Vec<_>>();
                let names = [vec![first, second], rest].concat().join(", ");
                Err(Failure::usage(format!(
                    "there are several homes: say with --home which one of {names}"
                )))
            }
        }
    }

    /// The URL of a path; each step of it is encoded.
    pub(crate) fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        // A URL with a host can be extended.
        if let Ok(mut steps) = url.path_segments_mut() {
            steps.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// A request that reads a path.
    pub(crate) fn request(&self, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        self.http.get(self.url(path, query))
    }

    /// What is at a path.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, AskError> {
        let request = self.request(path, query).header(ACCEPT, JSON);
        self.json(self.send(request).await?).await
    }

    /// Post a JSON document; the answer comes in the media type `accept`.
    pub(crate) async fn post(
        &self,
        path: &[&str],
        document: &Value,
        accept: &str,
    ) -> Result<Response, AskError> {
        let request = self.http.post(self.url(path, &[]));
        let request = request.header(CONTENT_TYPE, JSON).header(ACCEPT, accept);
        self.send(request.body(document.to_string())).await
    }

    /// The JSON of an answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, answer: Response) -> Result<T, AskError> {
        let body = answer.bytes().await.map_err(|e| self.unreachable(&e))?;
        serde_json::from_slice(&body).map_err(|e| self.strange(e.to_string()))
    }

    /// Send a request with what names its sender; an answer that is no success is an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, AskError> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.bytes().await.map_err(|e| self.unreachable(&e))?;
        Err(self.refused(status, &body))
    }

    /// What an answer that is no success says.
    fn refused(&self, status: StatusCode, body: &[u8]) -> AskError {
        let Ok(Problem { title, detail }) = serde_json::from_slice(body) else {
            let text = String::from_utf8_lossy(body);
            let text = one_line(&text.chars().take(STRANGE_SHOWN_MAX).collect::<String>());
            return self.strange(format!("{status} {text}"));
        };
        let said = detail.or(title).unwrap_or_else(|| status.to_string());
        let mut detail = one_line(&said);
        match status {
            StatusCode::UNAUTHORIZED if self.token.is_none() => {
                detail += "; give a token by --token, --token-file or TARN_TOKEN";
            }
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                return AskError::Unreachable {
                    url: self.base.clone(),
                    reason: detail,
                };
            }
            _ => {}
        }
        AskError::Refused { status, detail }
    }

    /// An error of the connection.
    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> AskError {
        AskError::Unreachable {
            url: self.base.clone(),
            reason: root_cause(error),
        }
    }

    /// An answer that cannot be understood.
    pub(crate) fn strange(&self, reason: String) -> AskError {
        AskError::Strange {
            url: self.base.clone(),
            reason,
        }
    }
}

/// Proxies of the surroundings do not know this machine's loopback.
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What lies at the bottom of an error; what stands above only repeats the URL.
fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut cause: &dyn Error = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    one_line(&cause.to_string())
}

/// A text of several lines as one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        service: ServiceArgs,
    }

    fn client(url: &str) -> Client {
        let cli = Cli::parse_from(["tarn", "--url", url]);
        Client::new(&cli.service).expect("good flags")
    }

    #[test]
    fn urls_are_taken_as_people_write_them() {
        let check = |text: &str, url: &str| {
            let read = service_url(text).expect(text);
            assert_eq!(read.as_str(), url);
        };
        check("http://127.0.0.1:8080", "http://127.0.0.1:8080/");
        check("attic:8080", "http://attic:8080/");
        check("https://example.org/tarn/", "https://example.org/tarn/");
        for bad in ["", "mqtt://box", "http://", "file:///etc/passwd"] {
            assert!(service_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn steps_of_a_path_are_encoded() {
        let check = |base: &str, url: &str| {
            let path = ["v1", "homes", "a", "devices", "home/über?"];
            let made = client(base).url(&path, &[("metric", "a&b")]);
            assert_eq!(made.as_str(), url);
        };
        check(
            "http://box",
            "http://box/v1/homes/a/devices/home%2F%C3%BCber%3F?metric=a%26b",
        );
        check(
            "http://box/tarn/",
            "http://box/tarn/v1/homes/a/devices/home%2F%C3%BCber%3F?metric=a%26b",
        );
    }

    #[test]
    fn refusals_are_told_in_one_line_and_sorted() {
        let client = client("http://box");
        let check = |status: u16, body: &str, told: &str, code: &str| {
            let status = StatusCode::from_u16(status).expect("a status");
            let error = client.refused(status, body.as_bytes());
            assert_eq!(error.to_string(), told);
            let failure = format!("{:?}", Failure::from(error));
            assert!(failure.contains(&format!("code: {code},")), "{failure}");
        };
        let problem = r#"{"title":"No","detail":"there is\n no home x"}"#;
        check(404, problem, "there is no home x", "2");
        check(500, r#"{"title":"No"}"#, "No", "1");
        check(429, r#"{"title":"No"}"#, "No", "1");
        check(
            401,
            problem,
            "there is no home x; give a token by --token, --token-file or TARN_TOKEN",
            "2",
        );
        check(
            503,
            problem,
            "http://box/ is not reachable: there is no home x",
            "3",
        );
        check(
            404,
            "<html>\nnothing</html>",
            "http://box/ answers, but not as Tarn does: 404 Not Found <html> nothing</html>",
            "1",
        );
    }
}
