//! Threads that answer: each has a runtime of its own, and a connection stays with the one it was given
//! to.
//!
//! On a runtime of several threads one that finds work wakes another to look for more, and whoever is
//! free next goes on with a connection: a request of microseconds is on a core two or three times then,
//! and each time may have to wake one that sleeps. Here its thread wakes once. The price is that nobody
//! else answers while a thread is busy: what takes longer than a moment goes to a blocking thread.

use std::future::pending;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::NO_ROOM;
use super::crowd::Seat;
use super::watched::Watched;

/// How long the head of a request may take to come, from when it is waited for.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// The most header lines of a request.
const MAX_HEADERS: usize = 100;
/// The most bytes of a request's head.
const MAX_HEAD: usize = 64 << 10;
/// Connections that wait until their thread takes them.
const ARRIVALS: usize = 256;

/// A connection on its way to its thread.
struct Arrival {
    stream: std::net::TcpStream,
    seat: Seat,
    _share: Share,
}

/// One of a lane's connections, until dropped: how many there are is how many know of it.
type Share = Arc<()>;

/// A thread, as it is seen from outside.
struct Lane {
    arrivals: mpsc::Sender<Arrival>,
    share: Share,
}

/// All threads. When this is dropped every connection is cut.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// Where the search for the least busy one begins.
    turn: usize,
    /// Says `true` when nobody comes any more and everybody is to leave.
    leaving: watch::Sender<bool>,
    /// Closed when the last connection has ended.
    working: mpsc::Receiver<()>,
}

impl Lanes {
    pub(super) fn start(router: &Router, threads: NonZeroUsize) -> io::Result<Self> {
        let (leaving, left) = watch::channel(false);
        let (works, working) = mpsc::channel(1);
        let lane = |number| start(number, router.clone(), left.clone(), works.clone());
        Ok(Self {
            lanes: (0..threads.get()).map(lane).collect::<io::Result<_>>()?,
            turn: 0,
            leaving,
            working,
        })
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.lanes.iter().map(Lane::connections).sum()
    }

    /// Gives a connection to the thread that has the fewest. An error when a thread has ended, which
    /// only a defect can bring about.
    pub(super) fn admit(&mut self, stream: TcpStream, seat: Seat) -> io::Result<()> {
        let count = self.lanes.len();
        let in_turn = self.lanes.iter().cycle().skip(self.turn).take(count);
        let Some(lane) = in_turn.min_by_key(|lane| lane.connections()) else {
            return Ok(());
        };
        self.turn = (self.turn + 1) % count;
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be served");
                return Ok(());
            }
        };
        let arrival = Arrival {
            stream,
            seat,
            _share: lane.share.clone(),
        };
        match lane.arrivals.try_send(arrival) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(arrival)) => {
                // Whoever cannot even take that learns it from the closed connection.
                let _ = (&arrival.stream).write(NO_ROOM);
                Ok(())
            }
            Err(TrySendError::Closed(_)) => Err(io::Error::other("a thread has ended")),
        }
    }

    /// Lets what has begun end.
    pub(super) async fn end(mut self) {
        self.lanes.clear();
        // Nobody hears it when there is no thread.
        let _ = self.leaving.send(true);
        let _: Option<()> = self.working.recv().await;
    }
}

impl Lane {
    fn connections(&self) -> usize {
        Arc::strong_count(&self.share) - 1
    }
}

/// Starts one thread.
fn start(
    number: usize,
    router: Router,
    left: watch::Receiver<bool>,
    works: mpsc::Sender<()>,
) -> io::Result<Lane> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name(format!("http-{number}-blocking"))
        .build()?;
    let (arrivals, arriving) = mpsc::channel(ARRIVALS);
    let thread = Thread {
        arriving,
        router,
        left,
    };
    std::thread::Builder::new()
        .name(format!("http-{number}"))
        .spawn(move || thread.run(runtime, works))?;
    Ok(Lane {
        arrivals,
        share: Share::default(),
    })
}

/// A thread, as it sees itself.
struct Thread {
    arriving: mpsc::Receiver<Arrival>,
    router: Router,
    left: watch::Receiver<bool>,
}

impl Thread {
    fn run(self, runtime: Runtime, works: mpsc::Sender<()>) {
        let mut left = self.left.clone();
        runtime.block_on(async {
            tokio::select! {
                () = self.serve(works) => {}
                // There is nobody any more who would wait for the end.
                () = async { while left.changed().await.is_ok() {} } => {}
            }
        });
        // What still runs on its blocking threads is waited for by whoever closes the graphs.
        runtime.shutdown_background();
    }

    /// Serves until nobody comes any more and everybody has left; never ends, for blocking threads
    /// of this runtime may still carry out writes of other connections.
    async fn serve(mut self, works: mpsc::Sender<()>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                arrival = self.arriving.recv() => match arrival {
                    Some(arrival) => {
                        connections.spawn(connection(arrival, self.router.clone(), self.left.clone()));
                    }
                    None => break,
                },
            }
        }
        while connections.join_next().await.is_some() {}
        drop(works);
        pending().await
    }
}

async fn connection(arrival: Arrival, router: Router, mut left: watch::Receiver<bool>) {
    let Arrival {
        stream,
        seat,
        _share,
    } = arrival;
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "a connection cannot be served"),
    };
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
            _ = left.wait_for(|left| *left), if !leaving => {}
        }
        leaving = true;
        connection.as_mut().graceful_shutdown();
    }
}
