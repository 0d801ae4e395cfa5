use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The largest head of a request or an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long a connection may be silent before the proxy gives it up.
const SILENCE_LIMIT: Duration = Duration::from_secs(120);
/// How often a connection that is never answered looks whether that has changed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the proxy does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Hands it on and hands the answer back.
    None,
    /// Answers with this status, such as 403 or 503, and an S3 error document.
    Status(u16),
    /// Hands on only half of the request's body, or of the answer's if the request has none, then
    /// closes both connections.
    CutBody,
    /// Turns over one bit in the middle of the answer's body.
    FlipAnswer,
    /// Turns over one bit in the middle of the request's body, as a bad line or a bad memory would.
    FlipRequest,
    /// Takes the request and never answers, until the fault changes.
    Never,
}

/// Stands before an S3 server and misbehaves when told to.
///
/// It carries one request per connection, which keeps it simple and leaves the signature of a request
/// whole: that covers neither the hop-by-hop headers nor the address at the other end.
#[derive(Debug)]
pub struct FaultProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    rule: Mutex<Rule>,
    /// Grows with each new rule, so that requests held by an old one notice.
    rule_number: AtomicU64,
    closing: AtomicBool,
    requests: AtomicU64,
    faulted: AtomicU64,
}

#[derive(Debug, Clone)]
struct Rule {
    fault: Fault,
    method: Option<String>,
    path_part: String,
}

impl FaultProxy {
    /// A proxy on a free port before the server at `upstream`, an `address:port`. It begins well-behaved.
    #[must_use]
    pub fn start(upstream: &str) -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen on the loopback");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            rule: Mutex::new(Rule {
                fault: Fault::None,
                method: None,
                path_part: String::new(),
            }),
            rule_number: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            faulted: AtomicU64::new(0),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.closing.load(Ordering::Relaxed) {
                    break;
                }
                let shared = accepting.clone();
                // A client that goes away in the middle is no failure of the scenario.
                std::thread::spawn(move || drop(serve(&shared, client)));
            }
        });
        FaultProxy { shared, address }
    }

    /// Where clients reach it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on treats every request like this.
    pub fn set(&self, fault: Fault) {
        self.set_for(fault, None, "");
    }

    /// From now on treats the requests of this method (or any), whose path contains `path_part`, like
    /// this, and hands on the others.
    pub fn set_for(&self, fault: Fault, method: Option<&str>, path_part: &str) {
        let rule = Rule {
            fault,
            method: method.map(str::to_owned),
            path_part: path_part.to_owned(),
        };
        *self.shared.lock() = rule;
        self.shared.rule_number.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests have come.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// How many requests have met a fault: what a scenario waits for before it heals the line.
    #[must_use]
    pub fn faulted(&self) -> u64 {
        self.shared.faulted.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        // The accepting thread sleeps in `accept`: one more connection wakes it.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Rule> {
        self.rule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to do with a request of this head, and the number of the rule that said so.
    fn decide(&self, head: &Head) -> (Fault, u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let number = self.rule_number.load(Ordering::Relaxed);
        let rule = self.lock();
        let is_method = rule
            .method
            .as_deref()
            .is_none_or(|method| method == head.method());
        let applies = is_method && head.path().contains(&rule.path_part);
        let fault = if applies { rule.fault } else { Fault::None };
        if fault != Fault::None {
            self.faulted.fetch_add(1, Ordering::Relaxed);
        }
        (fault, number)
    }
}

fn serve(shared: &Shared, mut client: TcpStream) -> io::Result<()> {
    client.set_read_timeout(Some(SILENCE_LIMIT))?;
    let Some(head) = Head::read(&mut client)? else {
        return Ok(());
    };
    let (fault, rule_number) = shared.decide(&head);
    match fault {
        Fault::Status(status) => refuse(&mut client, &head, status),
        Fault::Never => {
            while shared.rule_number.load(Ordering::Relaxed) == rule_number
                && !shared.closing.load(Ordering::Relaxed)
            {
                std::thread::sleep(LOOK_EVERY);
            }
            client.shutdown(Shutdown::Both)
        }
        _ => relay(shared, &mut client, &head, fault),
    }
}

/// Reads the request to its end, because closing a socket with unread bytes resets the connection and
/// the client would see that instead of the answer.
fn refuse(client: &mut TcpStream, head: &Head, status: u16) -> io::Result<()> {
    if !head.has("expect") {
        let left = head.body_bytes().saturating_sub(head.after.len() as u64);
        io::copy(&mut client.take(left), &mut io::sink())?;
    }
    let (reason, code) = match status {
        403 => ("Forbidden", "AccessDenied"),
        503 => ("Service Unavailable", "SlowDown"),
        _ => ("Error", "InternalError"),
    };
    let body =
        format!(r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code></Error>"#);
    let length = body.len();
    // The answer to a HEAD announces a body and has none.
    let body = if head.method() == "HEAD" { "" } else { &body };
    write!(
        client,
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )?;
    client.shutdown(Shutdown::Both)
}

fn relay(shared: &Shared, client: &mut TcpStream, head: &Head, fault: Fault) -> io::Result<()> {
    let mut upstream = TcpStream::connect(&shared.upstream)?;
    upstream.set_read_timeout(Some(SILENCE_LIMIT))?;
    upstream.write_all(&head.closing())?;

    let body = head.body_bytes();
    let cuts_request = fault == Fault::CutBody && body > 0;
    let flips_request = fault == Fault::FlipRequest && body > 0;
    let sending = Altered {
        limit: if cuts_request { body / 2 } else { body },
        flip_at: flips_request.then_some(body / 2),
    };
    if head.has("expect") {
        // The server says whether it wants the body, and only then does it come.
        let answer = Head::read(&mut upstream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        client.write_all(&answer.bytes)?;
    }
    sending.copy(&head.after, client, &mut upstream)?;
    if cuts_request {
        upstream.shutdown(Shutdown::Both)?;
        return client.shutdown(Shutdown::Both);
    }

    let answer = Head::read(&mut upstream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    client.write_all(&answer.closing())?;
    let length = if head.method() == "HEAD" {
        0
    } else {
        answer.body_bytes()
    };
    let returning = Altered {
        limit: if fault == Fault::CutBody {
            length / 2
        } else {
            u64::MAX
        },
        flip_at: (fault == Fault::FlipAnswer && length > 0).then_some(length / 2),
    };
    // Both ends said that they close, so an answer without a length ends with the connection.
    returning.copy(&answer.after, &mut upstream, client)?;
    client.shutdown(Shutdown::Both)
}

/// Copies a body with a limit, and with one bit turned over.
struct Altered {
    limit: u64,
    flip_at: Option<u64>,
}

impl Altered {
    /// Copies `first`, the bytes that came with the head, and then what `from` still brings.
    fn copy(&self, first: &[u8], from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
        let mut source = first.chain(from).take(self.limit);
        let mut buffer = [0; 16 * 1024];
        let mut at = 0_u64;
        loop {
            let count = source.read(&mut buffer)?;
            if count == 0 {
                return to.flush();
            }
            let piece = &mut buffer[..count];
            if let Some(index) = self.flip_at.and_then(|flip| flip.checked_sub(at))
                && let Some(byte) = usize::try_from(index)
                    .ok()
                    .and_then(|index| piece.get_mut(index))
            {
                *byte ^= 1;
            }
            to.write_all(piece)?;
            at += count as u64;
        }
    }
}

/// The head of a request or an answer, and the bytes of the body that came along.
#[derive(Debug)]
struct Head {
    bytes: Vec<u8>,
    after: Vec<u8>,
}

impl Head {
    /// Reads up to the empty line; `None` if the other side closed before it said anything.
    fn read(from: &mut TcpStream) -> io::Result<Option<Head>> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                return Ok(None);
            }
            bytes.extend_from_slice(&buffer[..count]);
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let after = bytes.split_off(end + 4);
                return Ok(Some(Head { bytes, after }));
            }
            if bytes.len() > HEAD_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn method(&self) -> String {
        self.text().split(' ').next().unwrap_or_default().to_owned()
    }

    fn path(&self) -> String {
        self.text().split(' ').nth(1).unwrap_or_default().to_owned()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.text().lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }

    fn has(&self, name: &str) -> bool {
        self.header(name).is_some()
    }

    fn body_bytes(&self) -> u64 {
        self.header("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0)
    }

    /// The head with `connection: close`, whatever it said before.
    fn closing(&self) -> Vec<u8> {
        let text = self.text();
        let kept = text.trim_end().lines().filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !name.eq_ignore_ascii_case("connection")
        });
        let mut head: String = kept.map(|line| format!("{line}\r\n")).collect();
        head.push_str("connection: close\r\n\r\n");
        head.into_bytes()
    }
}
