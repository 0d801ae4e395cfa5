use std::collections::HashSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use tarn_tests::child::Managed;
use tarn_tests::mosquitto::Mosquitto;
use tarn_tests::process::Launch;
use tarn_tests::{tools, wait};

const LIMIT: Duration = Duration::from_secs(20);
const PUBLISHES: usize = 200;

/// Law 1 as the kernel sees it: between the write of a publish to the journal and the write of its
/// PUBACK or PUBREC to the socket the journal is synced, each time.
#[test]
fn no_ack_leaves_before_the_sync_that_covers_it() {
    let folder = tools::folder("sync-order");
    let edge = Launch::edge(folder.path(), "sync-order").serve();
    let trace = folder.path().join("trace");
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-yy", "-xx", "-s", "65536"])
        .args([
            "-e",
            "trace=pwrite64,fdatasync,fsync,sendto,write,writev,sendmsg",
        ])
        .arg("-o")
        .arg(&trace)
        .args(["-p", &edge.pid().to_string()])
        .stdin(Stdio::null());
    let log = folder.path().join("strace.log");
    let mut strace = Managed::start("strace", &mut strace, &log);
    wait::until_true(LIMIT, "strace should be attached", || {
        strace.output().contains("attached")
    });
    let client = Mosquitto::new(edge.mqtt_port());
    for qos in [1, 2] {
        for number in 0..PUBLISHES / 4 {
            // One after the other, so that each ack has a sync of its own.
            if number % 25 == 0 {
                client.publish(
                    &format!("home/{qos}"),
                    &format!("marker-{qos}-{number}"),
                    qos,
                );
            }
        }
        let payloads = (0..PUBLISHES)
            .map(|n| format!("marker-{qos}-many-{n}"))
            .collect();
        let log = folder.path().join(format!("pub-{qos}.log"));
        let mut lines = client.publish_lines(&format!("home/{qos}"), payloads, qos, &log);
        assert_eq!(lines.wait(LIMIT), 0);
    }
    strace.signal(rustix::process::Signal::INT);
    strace.wait(LIMIT);
    let text = std::fs::read_to_string(&trace).expect("strace wrote it");
    let seen = Order::of(&text);
    println!("{seen:?}");
    assert!(
        seen.acks >= 2 * PUBLISHES,
        "too few acks were seen: {seen:?}"
    );
    assert!(
        seen.syncs > 0 && seen.publishes >= 2 * PUBLISHES,
        "{seen:?}"
    );
    assert_eq!(seen.early, Vec::<String>::new());
}

/// What the trace says.
#[derive(Debug, Default)]
struct Order {
    publishes: usize,
    syncs: usize,
    acks: usize,
    /// Acks that more had been written of than synced publishes.
    early: Vec<String>,
}

impl Order {
    /// Read the trace line by line. A call is taken where it begins, a sync where it ends: what was
    /// written before a sync began is covered once it has ended.
    fn of(trace: &str) -> Order {
        let mut order = Order::default();
        let (mut written, mut synced, mut acked) = (0, 0, 0);
        // What each thread's sync will cover once it is done.
        // strace writes the names of files as it writes strings.
        let journal: String = ".journal".bytes().map(|b| format!("\\x{b:02x}")).collect();
        let mut syncing: Vec<(String, usize)> = Vec::new();
        let mut seen = HashSet::new();
        for line in trace.lines() {
            let (thread, call) = line.split_once(' ').unwrap_or((line, ""));
            let call = call.trim_start();
            if call.starts_with("pwrite64(") && call.contains(&journal) {
                written += markers(call, &mut seen);
            } else if call.starts_with("fdatasync(") && call.contains(&journal) {
                order.syncs += 1;
                if call.contains("unfinished") {
                    syncing.push((thread.to_owned(), written));
                } else {
                    synced = written;
                }
            } else if call.starts_with("<... fdatasync resumed") {
                if let Some(at) = syncing.iter().position(|(who, _)| who == thread) {
                    synced = synced.max(syncing.remove(at).1);
                }
            } else if call.contains("TCP:[") {
                let acks = acks(call);
                acked += acks;
                order.acks += acks;
                if acked > synced {
                    order.early.push(line.to_owned());
                }
            }
        }
        order.publishes = written;
        order
    }
}

/// Publishes in a write to the journal, each payload once: a duplicate would be written again.
fn markers(call: &str, seen: &mut HashSet<String>) -> usize {
    let bytes = bytes(call);
    let text = String::from_utf8_lossy(&bytes);
    let mut count = 0;
    for part in text.split("marker-").skip(1) {
        let name: String = part
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
            .collect();
        count += usize::from(seen.insert(name));
    }
    count
}

/// PUBACKs and PUBRECs in a write to a socket.
fn acks(call: &str) -> usize {
    let bytes = bytes(call);
    let mut count = 0;
    let mut at = 0;
    while at + 1 < bytes.len() {
        // All packets to these clients are short.
        let length = usize::from(bytes[at + 1]);
        count += usize::from(matches!(bytes[at], 0x40 | 0x50) && length == 2);
        at += 2 + length;
    }
    count
}

/// The bytes of all strings of a call, which strace writes as `\xNN`. Paths come first, in `<>`.
fn bytes(call: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in call.split('"').skip(1).step_by(2) {
        for hex in part.split("\\x").skip(1) {
            if let Ok(byte) = u8::from_str_radix(hex.get(..2).unwrap_or_default(), 16) {
                bytes.push(byte);
            }
        }
    }
    bytes
}
