use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// First port that is handed out.
const LOWEST: u32 = 10_000;
/// Where the kernel's own range begins by default.
const DEFAULT_HIGHEST: u32 = 32_767;

/// A free port of the loopback, outside the range from which the kernel serves outgoing connections.
///
/// Services that start once ask for port 0 instead. This is for those that must come back on the same
/// port after a kill: a port of the kernel's range could meanwhile go to any client's connection, and
/// a client that dials a dead port of that range can even end up connected to itself.
#[must_use]
pub fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let highest = ephemeral_start()
        .unwrap_or(DEFAULT_HIGHEST)
        .clamp(LOWEST + 1000, 65_535);
    let span = highest - LOWEST;
    // Test binaries that run at the same time begin at different places.
    let start = std::process::id().wrapping_mul(97);
    for _ in 0..span {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let Ok(port) = u16::try_from(LOWEST + start.wrapping_add(step) % span) else {
            continue;
        };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {LOWEST} and {highest}");
}

fn ephemeral_start() -> Option<u32> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    range.split_whitespace().next()?.parse().ok()
}
