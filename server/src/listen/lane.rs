//! Runtimes that answer, of one thread each: a connection stays with the one it was given to.
//!
//! On a runtime of several threads one that finds work wakes another to look for more, and whoever is
//! free next goes on with a connection: a request of microseconds is on a core two or three times then,
//! and each time may have to wake one that sleeps. Here one thread wakes, once. The price is that nobody
//! else answers while it is busy: what takes longer than a moment goes to a blocking thread, or is done
//! in place after another thread has taken over ([`tokio::task::block_in_place`]).

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::crowd::Seat;
use super::lookout::Lookout;
use super::watched::Watched;
use super::{MOST, NO_ROOM, SLACK};
use crate::rounds::Rounds;

/// How long the head of a request may take to come, from when it is waited for.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// The most header lines of a request.
const MAX_HEADERS: usize = 100;
/// The most bytes of a request's head.
const MAX_HEAD: usize = 64 << 10;
/// Connections that wait until their runtime takes them.
const ARRIVALS: usize = 256;
/// Blocking threads for work that no connection waits for, such as the rest of a group of commits.
const BACKGROUND: usize = 64;

/// A connection on its way to its runtime.
struct Arrival {
    stream: std::net::TcpStream,
    seat: Seat,
    _share: Share,
}

/// One of a lane's connections, until dropped: how many there are is how many know of it.
type Share = Arc<()>;

/// A runtime and its connections.
struct Lane {
    arrivals: mpsc::Sender<Arrival>,
    share: Share,
    serving: JoinHandle<()>,
    runtime: Running,
}

/// A runtime that ends without waiting. What still runs on its blocking threads is waited for by
/// whoever closes the graphs.
struct Running(Option<Runtime>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// All of them. When this is dropped every connection is cut.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// Where the search for the least busy one begins.
    turn: usize,
    /// Says `true` when nobody comes any more and everybody is to leave.
    leaving: watch::Sender<bool>,
}

impl Lanes {
    /// So many runtimes.
    pub(super) fn start(router: &Router, threads: NonZeroUsize) -> io::Result<Self> {
        let (leaving, left) = watch::channel(false);
        let lane = |number| Lane::start(number, router.clone(), left.clone());
        Ok(Self {
            lanes: (0..threads.get()).map(lane).collect::<io::Result<_>>()?,
            turn: 0,
            leaving,
        })
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.lanes.iter().map(Lane::connections).sum()
    }

    /// Gives a connection to the runtime that has the fewest. An error when one has ended, which only
    /// a defect can bring about.
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
            Err(TrySendError::Closed(_)) => Err(io::Error::other("a runtime has ended")),
        }
    }

    /// Lets what has begun end.
    pub(super) async fn end(self) {
        // Nobody hears it when nobody is connected.
        let _ = self.leaving.send(true);
        let (mut ends, mut runtimes) = (Vec::new(), Vec::new());
        for lane in self.lanes {
            ends.push(lane.serving);
            // Until all have ended: one may be carrying out the write of another's connection.
            runtimes.push(lane.runtime);
        }
        for end in ends {
            if let Err(error) = end.await {
                tracing::error!(%error, "connections were cut by a defect");
            }
        }
    }
}

impl Lane {
    fn start(number: usize, router: Router, left: watch::Receiver<bool>) -> io::Result<Self> {
        let rounds = Rounds::new();
        let (parking, keeping) = (rounds.clone(), rounds.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            // Each connection keeps one at most: who takes over from a thread that blocks never waits.
            .max_blocking_threads(MOST + SLACK + BACKGROUND)
            .thread_name(format!("http-{number}"))
            .on_thread_park(move || parking.over())
            .enable_all()
            .build()?;
        let router = router.layer(Extension(rounds.clone()));
        let lookout = Lookout::new(rounds);
        let looking = lookout.clone();
        runtime.spawn(async move { keeping.keep().await });
        runtime.spawn(async move { looking.keep().await });
        let (arrivals, arriving) = mpsc::channel(ARRIVALS);
        Ok(Self {
            arrivals,
            share: Share::default(),
            serving: runtime.spawn(serve(arriving, router, left, lookout)),
            runtime: Running(Some(runtime)),
        })
    }

    fn connections(&self) -> usize {
        Arc::strong_count(&self.share) - 1
    }
}

/// Serves until nobody comes any more and everybody has left.
async fn serve(
    mut arriving: mpsc::Receiver<Arrival>,
    router: Router,
    left: watch::Receiver<bool>,
    lookout: Arc<Lookout>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            arrival = arriving.recv() => match arrival {
                Some(arrival) => {
                    let lookout = lookout.clone();
                    connections.spawn(connection(arrival, router.clone(), left.clone(), lookout));
                }
                None => break,
            },
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(
    arrival: Arrival,
    router: Router,
    mut left: watch::Receiver<bool>,
    lookout: Arc<Lookout>,
) {
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
    let number = seat.number;
    let io = Watched::new(TokioIo::new(stream), presence.clone(), (number, lookout));
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
