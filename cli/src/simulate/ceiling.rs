//! A bare broker that acks at once and keeps nothing: the most that any broker could reach here.

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::wire::Frame;

/// The largest packet this broker takes.
const PACKET_BYTES_MAX: usize = 1024 * 1024;

/// Starts the bare broker on a free port of this machine; it ends with `stop`.
pub(super) async fn start(stop: CancellationToken) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => drop(sessions.spawn(serve(stream))),
                    Err(error) => tracing::warn!(%error, "accept a connection"),
                },
                Some(_) = sessions.join_next() => {}
                () = stop.cancelled() => return,
            }
        }
    });
    Ok(address)
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut inbox = BytesMut::with_capacity(64 * 1024);
    let mut out = Vec::new();
    let mut is_v5 = false;
    loop {
        inbox.reserve(16 * 1024);
        if stream.read_buf(&mut inbox).await? == 0 {
            return Ok(());
        }
        while let Some(frame) = Frame::peek(&inbox, PACKET_BYTES_MAX).map_err(io::Error::other)? {
            let body = &inbox[frame.header_len..frame.total_len()];
            answer(frame.control, body, &mut is_v5, &mut out);
            inbox.advance(frame.total_len());
        }
        stream.write_all(&out).await?;
        out.clear();
    }
}

/// Appends the answer to one packet. What is no packet of a publisher gets none.
fn answer(control: u8, body: &[u8], is_v5: &mut bool, out: &mut Vec<u8>) {
    match (control >> 4, control & 0x06) {
        (1, _) => {
            *is_v5 = body.get(6) == Some(&5);
            match *is_v5 {
                true => out.extend_from_slice(&[0x20, 3, 0, 0, 0]),
                false => out.extend_from_slice(&[0x20, 2, 0, 0]),
            }
        }
        (3, 0x02) => reply(0x40, publish_pid(body), out),
        (3, 0x04) => reply(0x50, publish_pid(body), out),
        (6, _) => reply(0x70, body.first_chunk().copied(), out),
        (12, _) => out.extend_from_slice(&[0xD0, 0]),
        _ => {}
    }
}

fn reply(control: u8, pid: Option<[u8; 2]>, out: &mut Vec<u8>) {
    if let Some([high, low]) = pid {
        out.extend_from_slice(&[control, 2, high, low]);
    }
}

/// The packet id of a PUBLISH stands behind its topic.
fn publish_pid(body: &[u8]) -> Option<[u8; 2]> {
    let topic_len = usize::from(u16::from_be_bytes(*body.first_chunk()?));
    body.get(2 + topic_len..)?.first_chunk().copied()
}
