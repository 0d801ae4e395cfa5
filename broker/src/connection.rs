//! A socket with its read and write buffers.

use std::{
    future::{self, Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Duration, timeout},
};

use crate::{buffers::Share, transport::Transport};

/// The most that is read at once, and the most that a claimed length makes us set aside.
const READ_BYTES_MAX: usize = 64 * 1024;
/// What is set aside to read into at least.
const READ_BYTES_MIN: usize = 4 * 1024;
/// What is read and thrown away of a client that is being disconnected.
const DISCARDED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A stream, what was read from it and what is to be written to it.
pub(crate) struct Connection<S> {
    stream: S,
    /// Received and not yet understood.
    pub(crate) input: BytesMut,
    /// To be sent.
    pub(crate) output: BytesMut,
    read_bytes: usize,
    sent_bytes: u64,
    /// Written bytes may still be inside of the stream.
    unflushed: bool,
    /// What `input` has of the memory for all connections.
    share: Share,
}

/// What one turn of [`Connection::drive`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) read: usize,
    pub(crate) written: usize,
    /// The peer sends no more.
    pub(crate) closed: bool,
    /// There is no memory for what it sends.
    pub(crate) full: bool,
}

impl<S: Transport> Connection<S> {
    pub(crate) fn new(stream: S, share: Share) -> Self {
        Connection {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            sent_bytes: 0,
            unflushed: false,
            share,
        }
    }

    /// Write what can be written and, if `read`, read what has come. Waits until at least one of
    /// them got on. Cancel safe.
    pub(crate) async fn drive(&mut self, read: bool) -> io::Result<Progress> {
        poll_fn(|cx| {
            if read {
                self.make_room();
            }
            let written = self.poll_write(cx);
            let mut progress = Progress::default();
            if read
                && let Poll::Ready(got) = pin!(self.stream.read_buf(&mut self.input)).poll(cx)?
            {
                progress.read = got;
                progress.closed = got == 0;
                self.learn(got);
                progress.full = !self.share.hold(self.input.capacity());
            }
            // Who takes nothing any more may have sent something before; the error comes again.
            progress.written = match written {
                Err(_) if progress.read > 0 => 0,
                written => written?,
            };
            if progress == Progress::default() {
                self.release();
                Poll::Pending
            } else {
                Poll::Ready(Ok(progress))
            }
        })
        .await
    }

    /// Read what has come by now, which may be nothing.
    pub(crate) async fn take(&mut self) -> io::Result<Progress> {
        tokio::select! {
            biased;
            progress = self.drive(true) => progress,
            () = future::ready(()) => Ok(Progress::default()),
        }
    }

    /// Bytes that the socket has taken so far.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Bytes of them that the peer's kernel has acknowledged; 0 where that cannot be told.
    pub(crate) fn arrived_bytes(&self) -> u64 {
        let outstanding = self.stream.outstanding_bytes();
        outstanding.map_or(0, |bytes| self.sent_bytes.saturating_sub(bytes))
    }

    /// Send what is left and close, within `limit`.
    pub(crate) async fn close(mut self, limit: Duration) {
        let _ = timeout(limit, async {
            while !self.output.is_empty() {
                self.drive(false).await?;
            }
            self.stream.shutdown().await?;
            // Closing a socket with input unread resets the connection, and the reset can overtake
            // the reason that we have just sent.
            let mut discarded = 0;
            while discarded < DISCARDED_BYTES_MAX {
                self.input.clear();
                let progress = self.drive(true).await?;
                if progress.closed {
                    break;
                }
                discarded += progress.read;
            }
            io::Result::Ok(())
        })
        .await;
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        let mut written = 0;
        while !self.output.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.output)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => {
                    self.output.advance(count);
                    self.sent_bytes += count as u64;
                    written += count;
                }
                Poll::Pending => break,
            }
        }
        // Plain TCP keeps nothing to itself, TLS and WebSocket do.
        if (written > 0 || self.unflushed)
            && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(cx)
        {
            flushed?;
            self.unflushed = false;
        } else {
            self.unflushed |= written > 0;
        }
        Ok(written)
    }

    /// Give empty buffers back while nothing comes or goes: most clients are silent most of the time.
    fn release(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
            self.share.hold(0);
        }
        if self.output.is_empty() {
            self.output = BytesMut::new();
        }
    }

    /// What fills its buffer gets a larger one, what does not a smaller one.
    fn learn(&mut self, read: usize) {
        if self.input.len() == self.input.capacity() {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        } else if read < self.read_bytes / 4 {
            self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
        }
    }

    fn make_room(&mut self) {
        let free = self.input.capacity() - self.input.len();
        if free < READ_BYTES_MIN / 2 {
            self.input.reserve(self.read_bytes);
        }
    }
}
