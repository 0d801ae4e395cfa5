use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::house::in_time;

/// What a server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// It answers with this status and these lines of headers.
    With(u16, &'static str),
    /// It says nothing and keeps the connection.
    Hang,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// A server of HTTP/1.1 that answers as it is told to, and in the end with 200.
pub(crate) struct HttpServer {
    pub(crate) url: String,
    requests: mpsc::UnboundedReceiver<Request>,
}

impl HttpServer {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> HttpServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let answers: Arc<Mutex<VecDeque<Answer>>> =
            Arc::new(Mutex::new(answers.into_iter().collect()));
        let (came, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answers), came.clone()));
            }
        });
        HttpServer { url, requests }
    }

    /// The next request.
    pub(crate) async fn request(&mut self) -> Request {
        in_time(self.requests.recv())
            .await
            .expect("the server runs")
    }

    /// What has come and was not taken.
    pub(crate) fn rest(&mut self) -> Vec<Request> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }
}

async fn serve(
    stream: TcpStream,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    came: mpsc::UnboundedSender<Request>,
) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        let answer = answers.lock().expect("lock").pop_front();
        // Whoever does not listen any more has seen enough.
        let _ = came.send(request);
        match answer.unwrap_or(Answer::With(200, "")) {
            Answer::Hang => std::future::pending().await,
            Answer::With(status, headers) => {
                let text =
                    format!("HTTP/1.1 {status} Said\r\ncontent-length: 5\r\n{headers}\r\nwords");
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let body = String::from_utf8(body).ok()?;
    Some(Request {
        path,
        headers,
        body,
    })
}
