//! A connection's bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::crowd::Presence;
use super::lookout::Lookout;

/// How long a caller may take nothing of what is written to it.
const WRITE_TIME: Duration = Duration::from_secs(60);

/// A stream that knows when it was last used, and fails when nobody takes what it writes.
pub(super) struct Watched {
    stream: TokioIo<TcpStream>,
    presence: Arc<Presence>,
    /// Of its thread, and what it is called there.
    lookout: (u64, Arc<Lookout>),
    /// Set while a write waits.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(super) fn new(
        stream: TokioIo<TcpStream>,
        presence: Arc<Presence>,
        lookout: (u64, Arc<Lookout>),
    ) -> Self {
        Self {
            stream,
            presence,
            lookout,
            patience: None,
        }
    }

    /// What became of a write.
    fn written<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.presence.touch();
            self.patience = None;
            return outcome;
        }
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIME)));
        ready!(patience.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "nothing of the answer was taken for too long",
        )))
    }
}

impl Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        self.presence.touch();
        self.lookout.1.asked(self.lookout.0);
        Poll::Ready(read)
    }
}

impl Write for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        if outcome.is_ready() {
            self.lookout.1.answered();
        }
        self.written(context, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.written(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.written(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        if outcome.is_ready() {
            self.lookout.1.answered();
        }
        self.written(context, outcome)
    }
}
