//! Live events, over connections that come and go: nothing comes twice, and what is missed is asked for again.

use std::{error::Error, io, time::Duration};

use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use reqwest::{Response, header::ACCEPT};
use serde_json::Value;
use sse_stream::SseByteStream;
use tokio::time::{sleep, timeout};

use crate::client::{AskError, Client};

/// A service gives a sign of life every 15 s; one that gives none for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(40);
/// The pause before a connection is tried again; each failure doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Events of a home as they happen.
pub(crate) struct Live<'c> {
    client: &'c Client,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    last_id: Option<String>,
    pause: Duration,
    connection: Option<Connection>,
}

type Connection = SseByteStream<BoxStream<'static, io::Result<Bytes>>>;

/// What came next.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// An event, with its kind in it.
    Event(Value),
    /// The connection is lost, for this reason, and is tried again.
    Lost(String),
}

impl<'c> Live<'c> {
    /// Listen; an error where the service does not take the listener.
    pub(crate) async fn open(
        client: &'c Client,
        home: &str,
        query: Vec<(&'static str, String)>,
    ) -> Result<Live<'c>, AskError> {
        let path = ["v1", "homes", home, "live"].map(str::to_owned).to_vec();
        let mut live = Live {
            client,
            path,
            query,
            last_id: None,
            pause: PAUSE_MIN,
            connection: None,
        };
        live.connection = Some(live.connect().await?);
        Ok(live)
    }

    /// The next event. Without a connection one is made, after what came last.
    pub(crate) async fn next(&mut self) -> Result<Next, AskError> {
        loop {
            let Some(connection) = &mut self.connection else {
                sleep(self.pause).await;
                match self.connect().await {
                    Ok(connection) => self.connection = Some(connection),
                    Err(AskError::Unreachable { .. }) => {
                        self.pause = (self.pause * 2).min(PAUSE_MAX);
                    }
                    Err(refused) => return Err(refused),
                }
                continue;
            };
            let lost = match connection.next().await {
                Some(Ok(block)) => {
                    self.pause = PAUSE_MIN;
                    // An empty id takes back what was before, as the standard has it.
                    self.last_id = block.id.or(self.last_id.take());
                    let Some(data) = block.data else { continue };
                    let event = serde_json::from_str(&data);
                    return event
                        .map(Next::Event)
                        .map_err(|e| self.client.strange(e.to_string()));
                }
                Some(Err(error)) => {
                    let cause = error.source().map(ToString::to_string);
                    cause.unwrap_or_else(|| error.to_string())
                }
                None => "the service ended the connection".to_owned(),
            };
            self.connection = None;
            return Ok(Next::Lost(lost));
        }
    }

    async fn connect(&self) -> Result<Connection, AskError> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let query = self.query.iter().map(|(name, value)| (*name, &**value));
        let query: Vec<(&str, &str)> = query.collect();
        let request = self.client.request(&path, &query);
        let mut request = request.header(ACCEPT, "text/event-stream");
        if let Some(id) = self.last_id.as_deref().filter(|id| !id.is_empty()) {
            request = request.header("last-event-id", id);
        }
        let answer = self.client.send(request).await?;
        Ok(SseByteStream::new(pieces(answer).boxed()))
    }
}

/// The body of an answer as it comes, signs of life included.
fn pieces(answer: Response) -> impl futures::Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Some(answer), async |answer| {
        let mut answer = answer?;
        match timeout(SILENCE_MAX, answer.chunk()).await {
            Ok(Ok(piece)) => Some((Ok(piece?), Some(answer))),
            Ok(Err(error)) => Some((Err(io::Error::other(error)), None)),
            Err(_) => {
                let silence = format!("no sign of life for {} s", SILENCE_MAX.as_secs());
                Some((Err(io::Error::new(io::ErrorKind::TimedOut, silence)), None))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::client::ServiceArgs;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        service: ServiceArgs,
    }

    /// Answers each connection by the next of these texts; gives the requests.
    async fn serve(listener: TcpListener, answers: &[&str]) -> Vec<String> {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut socket, _) = listener.accept().await.expect("a listener");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(socket.read_u8().await.expect("a request"));
            }
            requests.push(String::from_utf8(request).expect("text"));
            // In small pieces: events come as the network cuts them.
            for piece in answer.as_bytes().chunks(7) {
                socket.write_all(piece).await.expect("it listens");
                socket.flush().await.expect("it listens");
            }
        }
        requests
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

    #[tokio::test]
    async fn a_lost_connection_goes_on_after_the_last_event() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let first = format!(
            "{OK}id: a-1\n\n: alive\n\nid: a-2\nevent: reading\ndata: {{\"n\":1}}\n\nid: a-3\nevent: reading\ndata: {{\"n\""
        );
        let second = format!("{OK}id: a-3\nevent: reading\ndata: {{\"n\":2}}\n\n");
        let gone = "HTTP/1.1 404 Not Found\r\ncontent-length: 20\r\n\r\n{\"detail\":\"no home\"}";
        let answers = [&*first, &*second, gone];
        let listen = async {
            let cli = Cli::parse_from(["tarn", "--url", &url]);
            let client = Client::new(&cli.service).expect("good flags");
            let query = vec![("device", "hall/lamp".to_owned())];
            let mut live = Live::open(&client, "lake", query)
                .await
                .expect("it is there");
            let mut came = Vec::new();
            let refused = loop {
                match live.next().await {
                    Ok(Next::Event(event)) => came.push(event),
                    Ok(Next::Lost(_)) => came.push(json!("lost")),
                    Err(refused) => break refused,
                }
            };
            (came, refused.to_string())
        };
        let (requests, (came, refused)) = tokio::join!(serve(listener, &answers), listen);
        assert_eq!(
            came,
            [
                json!({"n": 1}),
                json!("lost"),
                json!({"n": 2}),
                json!("lost")
            ]
        );
        assert_eq!(refused, "no home");
        let path = "GET /v1/homes/lake/live?device=hall%2Flamp HTTP/1.1";
        let ids = ["", "last-event-id: a-2\r\n", "last-event-id: a-3\r\n"];
        for (request, id) in requests.iter().zip(ids) {
            assert!(request.starts_with(path), "{request}");
            assert!(request.contains(id), "{request}");
            assert_eq!(request.contains("last-event-id"), !id.is_empty());
        }
    }
}
