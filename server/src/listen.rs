//! The socket: who is let in, how long they may take, and who makes room for others.
//!
//! A head must come within [`HEAD_TIME`], which also ends connections that ask for nothing; what is
//! written must be taken within [`WRITE_TIME`]. When too many connections are open, those that did
//! nothing for the longest are told to end after what they are doing; until there is room, new ones are
//! answered `503` with `Retry-After`.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Sleep;

/// How long the head of a request may take to come, from when it is waited for.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long a caller may take nothing of what is written to it.
const WRITE_TIME: Duration = Duration::from_secs(60);
/// The most header lines of a request.
const MAX_HEADERS: usize = 100;
/// The most bytes of a request's head.
const MAX_HEAD: usize = 64 << 10;
/// A connection that did something within this time is not asked to make room.
const FRESH: Duration = Duration::from_secs(1);
/// Connections over the limit that are let in while others make room.
const SLACK: usize = 32;
/// How long nothing is accepted when the system has no more to give.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// What those get for whom there is no room.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Serves until `stop`, then lets what has begun end. Dropping the future cuts every connection.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limit: usize,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let (stopping, stopped) = watch::channel(false);
    let crowd = Arc::new(Crowd::default());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            // Of this one connection alone.
            Err(error) if is_of_one(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted now");
                crowd.make_room();
                tokio::time::sleep(EXHAUSTED).await;
                continue;
            }
        };
        if connections.len() >= limit {
            crowd.make_room();
        }
        if connections.len() >= limit + SLACK {
            // Whoever cannot even take that learns it from the closed connection.
            let _ = stream.try_write(NO_ROOM);
            continue;
        }
        connections.spawn(connection(
            stream,
            router.clone(),
            crowd.enter(),
            stopped.clone(),
        ));
    }
    drop(listener);
    // Nobody listens any more when there is no connection.
    let _ = stopping.send(true);
    while connections.join_next().await.is_some() {}
    Ok(())
}

fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

async fn connection(
    stream: TcpStream,
    router: Router,
    seat: Seat,
    mut stopped: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection without TCP_NODELAY");
    }
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD);
    let presence = seat.presence.clone();
    let io = Watched::new(TokioIo::new(stream), presence.clone());
    let mut connection = pin!(builder.serve_connection(io, TowerToHyperService::new(router)));
    let mut leaving = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke off");
                }
                break;
            }
            () = presence.leave.notified(), if !leaving => {}
            _ = stopped.wait_for(|stopped| *stopped), if !leaving => {}
        }
        leaving = true;
        connection.as_mut().graceful_shutdown();
    }
    drop(seat);
}

/// Everybody who is connected.
#[derive(Default)]
struct Crowd {
    next: AtomicU64,
    present: Mutex<HashMap<u64, Arc<Presence>>>,
}

/// One connection, as the others see it.
struct Presence {
    begun: Instant,
    /// When something was last read or written, in milliseconds since then.
    last: AtomicU64,
    leave: Notify,
}

/// A place in the crowd, given up when dropped.
struct Seat {
    crowd: Arc<Crowd>,
    number: u64,
    presence: Arc<Presence>,
}

impl Crowd {
    fn enter(self: &Arc<Self>) -> Seat {
        let presence = Arc::new(Presence {
            begun: Instant::now(),
            last: AtomicU64::new(0),
            leave: Notify::new(),
        });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.present().insert(number, presence.clone());
        Seat {
            crowd: self.clone(),
            number,
            presence,
        }
    }

    /// Asks the one to end that did nothing for the longest time, if that is long enough.
    fn make_room(&self) {
        let mut present = self.present();
        let idle = present
            .iter()
            .map(|(number, presence)| (presence.idle(), *number))
            .max();
        if let Some((idle, number)) = idle
            && idle >= FRESH
            && let Some(presence) = present.remove(&number)
        {
            presence.leave.notify_one();
        }
    }

    fn present(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Presence>>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    fn touch(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn idle(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(last)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.present().remove(&self.number);
    }
}

/// A stream that knows when it was last used, and fails when nobody takes what it writes.
struct Watched {
    stream: TokioIo<TcpStream>,
    presence: Arc<Presence>,
    /// Set while a write waits.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    fn new(stream: TokioIo<TcpStream>, presence: Arc<Presence>) -> Self {
        Self {
            stream,
            presence,
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
        self.written(context, outcome)
    }
}
