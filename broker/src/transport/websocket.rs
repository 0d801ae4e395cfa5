//! MQTT in the binary messages of a WebSocket.
//!
//! Any path is served, and pages of any origin: a home's dashboards come from many, and the login
//! of MQTT decides who may do what.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        self, Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};

use super::Transport;
use crate::limits::Limits;

/// Bytes of one message that we send at most.
const MESSAGE_BYTES: usize = 64 * 1024;
/// What is set aside to read into.
const READ_BYTES: usize = 4 * 1024;
/// Names of MQTT as a subprotocol: the standard's, and that of clients of MQTT 3.1.
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// The bytes of a WebSocket's messages as one stream.
pub(super) struct WebSocket<S> {
    messages: WebSocketStream<S>,
    /// What is left of the last message.
    input: Bytes,
    /// Something may wait inside.
    unflushed: bool,
}

/// Answer the request to upgrade.
pub(super) async fn accept<S>(stream: S, limits: &Limits) -> io::Result<WebSocket<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let message_max = limits.packet_bytes_max.max(limits.connect_bytes_max);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MESSAGE_BYTES)
        .max_message_size(Some(message_max))
        .max_frame_size(Some(message_max));
    let accepted = accept_hdr_async_with_config(stream, choose_protocol, Some(config)).await;
    Ok(WebSocket {
        messages: accepted.map_err(to_io)?,
        input: Bytes::new(),
        unflushed: false,
    })
}

/// The client has to offer MQTT, and is told under which of its names.
#[allow(
    clippy::result_large_err,
    reason = "the library gives the type of the answer"
)]
fn choose_protocol(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offered = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let mut offered = offered
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    let chosen = offered.find_map(|name| PROTOCOLS.into_iter().find(|&known| known == name));
    match chosen {
        Some(name) => {
            let headers = response.headers_mut();
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
            Ok(response)
        }
        None => {
            let mut refusal = ErrorResponse::new(Some("offer the subprotocol mqtt\n".to_owned()));
            *refusal.status_mut() = StatusCode::BAD_REQUEST;
            Err(refusal)
        }
    }
}

fn to_io(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.input.is_empty() {
            match ready!(Pin::new(&mut self.messages).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.input = bytes,
                Some(Ok(Message::Text(_))) => {
                    let what = "a text message, where MQTT only has binary ones";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)));
                }
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                // Pings are answered by the library.
                Some(Ok(_)) => self.unflushed = true,
                Some(Err(
                    tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed,
                )) => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(to_io(error))),
            }
        }
        let count = self.input.len().min(out.remaining());
        out.put_slice(&self.input[..count]);
        self.input.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.messages).poll_ready(cx)).map_err(to_io)?;
        let count = bytes.len().min(MESSAGE_BYTES);
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..count]));
        self.unflushed = true;
        Pin::new(&mut self.messages)
            .start_send(message)
            .map_err(to_io)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.messages).poll_flush(cx)).map_err(to_io)?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = ready!(Pin::new(&mut self.messages).poll_close(cx));
        Poll::Ready(match closed {
            Err(tungstenite::Error::ConnectionClosed) => Ok(()),
            other => other.map_err(to_io),
        })
    }
}

impl<S: Transport> Transport for WebSocket<S> {
    fn outstanding_bytes(&self) -> Option<u64> {
        if self.unflushed {
            return None;
        }
        self.messages.get_ref().outstanding_bytes()
    }
}
