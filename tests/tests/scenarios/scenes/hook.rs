use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use serde_json::Value;

/// Somebody's own server, which is told of alarms.
pub(super) struct Hook {
    pub(super) port: u16,
    told: Arc<Mutex<Vec<Value>>>,
    status: Arc<AtomicU16>,
}

impl Hook {
    pub(super) fn start() -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let told: Arc<Mutex<Vec<Value>>> = Arc::default();
        let taken = told.clone();
        let status = Arc::new(AtomicU16::new(204));
        let answered = status.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(body) = answer(stream, answered.load(Ordering::Acquire)) {
                    taken.lock().expect("nobody panicked").push(body);
                }
            }
        });
        Hook { port, told, status }
    }

    /// Answer with this status from now on.
    pub(super) fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::Release);
    }

    /// All that it was told.
    pub(super) fn told(&self) -> Vec<Value> {
        self.told.lock().expect("nobody panicked").clone()
    }
}

/// Takes one request and answers with this status; gives its body.
fn answer(mut stream: TcpStream, status: u16) -> Option<Value> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().ok())?
            })?;
            if body.len() >= length {
                let head = format!(
                    "HTTP/1.1 {status} So\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).ok()?;
                return serde_json::from_str(body).ok();
            }
        }
        match stream.read(&mut part) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&part[..n]),
            _ => return None,
        }
    }
}
