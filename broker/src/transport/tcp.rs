//! Plain TCP, and what it says about bytes that the peer has not taken yet.

use tokio::net::TcpStream;

use super::Transport;

impl Transport for TcpStream {
    fn outstanding_bytes(&self) -> Option<u64> {
        send_queue(self)
    }
}

/// Asks the kernel by `SIOCOUTQ`. rustix has no safe call for it, so this is the one place with
/// unsafe code.
#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "arm",
        target_arch = "riscv64"
    )
))]
#[allow(unsafe_code)]
fn send_queue(socket: &TcpStream) -> Option<u64> {
    /// The request number, which differs on other architectures.
    const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;
    // SAFETY: the request writes one C int to the address it is given and touches nothing else,
    // which is what `Getter` of that type gives it.
    let answer = unsafe {
        let request = rustix::ioctl::Getter::<SIOCOUTQ, std::ffi::c_int>::new();
        rustix::ioctl::ioctl(socket, request)
    };
    answer.ok().and_then(|bytes| u64::try_from(bytes).ok())
}

/// Never known, so that nothing is ever confirmed: redeliveries are then told apart later.
#[cfg(not(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "arm",
        target_arch = "riscv64"
    )
)))]
fn send_queue(_: &TcpStream) -> Option<u64> {
    None
}
