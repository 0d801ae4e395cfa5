use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::child::Managed;
use crate::process::Finished;

/// How long a subscription may take until it is granted.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(10);
/// What the lines of messages begin with, to tell them from what the client says of itself.
const MARK: &str = "message:";
/// Packet ids run from 1 to this and then begin again.
const PACKET_IDS: usize = 65_535;

/// The version of MQTT to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.
    V5,
}

/// How mosquitto's clients connect.
#[derive(Debug, Clone)]
pub struct Mosquitto {
    port: u16,
    version: Version,
    login: Option<(String, String)>,
    id: Option<String>,
    keeps_session: bool,
}

/// A message that a subscriber got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: String,
    /// The quality of service at which it was delivered.
    pub qos: u8,
    /// Whether it is the retained one of the topic.
    pub retained: bool,
}

impl Mosquitto {
    /// Clients of MQTT 3.1.1 for the broker at this port of the loopback.
    #[must_use]
    pub fn new(port: u16) -> Mosquitto {
        Mosquitto {
            port,
            version: Version::V311,
            login: None,
            id: None,
            keeps_session: false,
        }
    }

    /// Speaks this version instead.
    #[must_use]
    pub fn version(mut self, version: Version) -> Mosquitto {
        self.version = version;
        self
    }

    /// Logs in with a name and a password.
    #[must_use]
    pub fn login(mut self, user: &str, password: &str) -> Mosquitto {
        self.login = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Has this client id and keeps its session between connections.
    #[must_use]
    pub fn session(mut self, id: &str) -> Mosquitto {
        self.id = Some(id.to_owned());
        self.keeps_session = true;
        self
    }

    /// Publishes one message and waits for its acks; the exit code is not 0 if the broker refuses.
    #[must_use]
    pub fn try_publish(&self, topic: &str, payload: &str, qos: u8, retained: bool) -> Finished {
        let mut command = self.command("mosquitto_pub", qos);
        command.args(["-t", topic, "-m", payload]);
        if retained {
            command.arg("-r");
        }
        Finished::of(&mut command)
    }

    /// Publishes one message; the scenario has failed if the broker refuses.
    pub fn publish(&self, topic: &str, payload: &str, qos: u8) {
        let _ = self.try_publish(topic, payload, qos, false).succeeded();
    }

    /// Publishes one retained message.
    pub fn publish_retained(&self, topic: &str, payload: &str, qos: u8) {
        let _ = self.try_publish(topic, payload, qos, true).succeeded();
    }

    /// Publishes the same retained message at QoS 1 to many topics, one connection for each.
    pub fn publish_retained_many(&self, topics: &[&str], payload: &str) {
        let threads = 8;
        std::thread::scope(|scope| {
            for part in topics.chunks(topics.len().div_ceil(threads)) {
                scope.spawn(move || {
                    part.iter()
                        .for_each(|topic| self.publish_retained(topic, payload, 1));
                });
            }
        });
    }

    /// Publishes one retained message that is too long for an argument.
    pub fn publish_retained_from_stdin(&self, topic: &str, payload: &str) {
        let mut command = self.command("mosquitto_pub", 1);
        command
            .args(["-t", topic, "-r", "-s"])
            .stdin(Stdio::piped());
        let mut child = command.spawn().expect("start mosquitto_pub");
        let mut input = child.stdin.take().expect("standard input is piped");
        input.write_all(payload.as_bytes()).expect("it reads");
        drop(input);
        assert!(child.wait().expect("it ends").success());
    }

    /// Publishes a message for each payload over one connection (`mosquitto_pub -l`), in the background.
    ///
    /// Only payloads without a line break, and fewer than there are packet ids, so that an ack tells
    /// which line it is for.
    #[must_use]
    pub fn publish_lines(&self, topic: &str, payloads: Vec<String>, qos: u8, log: &Path) -> Lines {
        assert!(
            payloads.len() <= PACKET_IDS,
            "too many payloads for one connection"
        );
        let mut command = self.command("mosquitto_pub", qos);
        command
            .args(["-l", "-d", "-t", topic])
            .stdin(Stdio::piped());
        let mut child = Managed::start("mosquitto_pub", &mut command, log);
        let mut input = child
            .child_mut()
            .stdin
            .take()
            .expect("standard input is piped");
        let text = payloads.join("\n") + "\n";
        // A pipe holds little, so a thread fills it. If the client ends early, its exit code tells.
        std::thread::spawn(move || {
            let _ = input.write_all(text.as_bytes());
        });
        Lines {
            child,
            topic: topic.to_owned(),
            payloads,
        }
    }

    /// Subscribes in the background and returns once the broker has granted it.
    #[must_use]
    pub fn subscribe(&self, filter: &str, qos: u8, log: &Path) -> Subscription {
        let mut command = self.command("mosquitto_sub", qos);
        let format = format!("{MARK}%q\t%r\t%t\t%p");
        command
            .args(["-d", "-t", filter, "-F", &format])
            .stdout(Stdio::piped());
        let mut child = Managed::start_piped("mosquitto_sub", &mut command, log);
        let output = child
            .child_mut()
            .stdout
            .take()
            .expect("standard output is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut subscription = Subscription {
            child,
            lines,
            received: Vec::new(),
        };
        subscription.wait_granted();
        subscription
    }

    /// Whether the broker grants this subscription.
    #[must_use]
    pub fn may_subscribe(&self, filter: &str) -> bool {
        // -E ends the client once all subscriptions are answered.
        let mut command = self.command("mosquitto_sub", 1);
        let finished = Finished::of(command.args(["-E", "-d", "-t", filter]));
        let answer = finished
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("Subscribed (mid: 1): "))
            .and_then(|code| code.trim().parse::<u8>().ok());
        answer.unwrap_or_else(|| panic!("no SUBACK: {finished}")) < 128
    }

    fn command(&self, program: &str, qos: u8) -> Command {
        let version = if self.version == Version::V5 {
            "5"
        } else {
            "311"
        };
        // Into a pipe the clients write in blocks, and would tell of a subscription only with the first
        // message. stdbuf becomes the client, so that the process id is the client's.
        let mut command = Command::new("stdbuf");
        command
            .args(["-oL", program])
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["-V", version, "-q", &qos.to_string()])
            .stdin(Stdio::null());
        if let Some((user, password)) = &self.login {
            command.args(["-u", user, "-P", password]);
        }
        if let Some(id) = &self.id {
            command.args(["-i", id]);
        }
        if self.keeps_session {
            command.arg("-c");
            if self.version == Version::V5 {
                command.args(["-x", "3600"]);
            }
        }
        command
    }
}

/// A `mosquitto_pub` that publishes many lines.
#[derive(Debug)]
pub struct Lines {
    child: Managed,
    topic: String,
    payloads: Vec<String>,
}

impl Lines {
    /// Waits until all lines are acknowledged, and gives its exit code.
    pub fn wait(&mut self, limit: Duration) -> i32 {
        let status = self.child.wait(limit);
        status.code().unwrap_or(-1)
    }

    /// Writes `topic<TAB>payload` for each line whose last ack (PUBACK or PUBCOMP) it has told of.
    pub fn write_acked(&self, path: &Path) {
        let mut acked = vec![false; self.payloads.len()];
        for line in self.child.output().lines() {
            // Packet ids go up by one with each line, from 1.
            if let Some(index) = acked_packet(line).and_then(|id| id.checked_sub(1))
                && let Some(flag) = acked.get_mut(index)
            {
                *flag = true;
            }
        }
        let lines = self
            .payloads
            .iter()
            .zip(&acked)
            .filter(|(_, acked)| **acked);
        let text: String = lines
            .map(|(payload, _)| format!("{}\t{payload}\n", self.topic))
            .collect();
        std::fs::write(path, text)
            .unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    }
}

/// The packet id of a line such as `Client x received PUBACK (Mid: 7, RC:0)`, if the broker said yes.
fn acked_packet(line: &str) -> Option<usize> {
    let (_, rest) = line
        .split_once("received PUBACK (Mid: ")
        .or_else(|| line.split_once("received PUBCOMP (Mid: "))?;
    let (id, reason) = rest.split_once(", RC:")?;
    // Reasons from 128 on are refusals; 16 is `no matching subscribers`, which is a yes.
    let reason: u8 = reason.trim_end_matches(')').parse().ok()?;
    if reason < 128 { id.parse().ok() } else { None }
}

/// A `mosquitto_sub` that runs until it is dropped.
#[derive(Debug)]
pub struct Subscription {
    child: Managed,
    lines: Receiver<String>,
    received: Vec<Received>,
}

impl Subscription {
    /// Waits until it has `count` messages since it began, and gives them all.
    pub fn wait_for(&mut self, count: usize, limit: Duration) -> &[Received] {
        let deadline = Instant::now() + limit;
        while self.received.len() < count {
            let got = self.received.len();
            let line = self.next_line(deadline, &format!("{got} of {count} messages had come"));
            self.received.extend(parse_message(&line));
        }
        &self.received
    }

    /// The id of its process, to pause it as a slow client.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    fn wait_granted(&mut self) {
        let deadline = Instant::now() + SUBSCRIBE_LIMIT;
        loop {
            let line = self.next_line(deadline, "the subscription was not granted");
            // Retained messages may come before the client says that it is subscribed.
            self.received.extend(parse_message(&line));
            if line.starts_with("Subscribed (mid:") {
                // 128 and above is a refusal.
                let granted = line
                    .rsplit(' ')
                    .next()
                    .and_then(|code| code.parse::<u8>().ok());
                assert!(
                    granted.is_some_and(|code| code < 128),
                    "the broker refused: {line}"
                );
                return;
            }
        }
    }

    fn next_line(&mut self, deadline: Instant, what: &str) -> String {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                panic!("mosquitto_sub: {what} when the time was over")
            }
            Err(RecvTimeoutError::Disconnected) => {
                panic!("mosquitto_sub ended, {what}\n{}", self.child.tail())
            }
        }
    }
}

fn parse_message(line: &str) -> Option<Received> {
    let mut fields = line.strip_prefix(MARK)?.splitn(4, '\t');
    Some(Received {
        qos: fields.next()?.parse().ok()?,
        retained: fields.next()? == "1",
        topic: fields.next()?.to_owned(),
        payload: fields.next()?.to_owned(),
    })
}
