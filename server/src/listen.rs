//! The socket: who is let in, how long they may take, and who makes room for others.
//!
//! A head must come within some time, which also ends connections that ask for nothing; what is written
//! must be taken within some time. When too many connections are open, those
//! that did nothing for the longest are told to end after what they are doing; until there is room, new
//! ones are answered `503` with `Retry-After`.

mod crowd;
mod lane;
mod lookout;
#[cfg(test)]
mod tests;
mod watched;

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crowd::Crowd;
use lane::Lanes;

/// Connections over the limit that are let in while others make room.
const SLACK: usize = 32;
/// The highest limit there is: no machine takes more.
const MOST: usize = 1 << 20;
/// How long nothing is accepted when the system has no more to give.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// What those get for whom there is no room.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What is served, where.
pub(crate) struct Site {
    pub(crate) listener: TcpListener,
    pub(crate) router: Router,
    /// How many connections there may be, now and later.
    pub(crate) connections: watch::Receiver<usize>,
    /// How many threads answer.
    pub(crate) threads: NonZeroUsize,
}

/// Serves until `stop`, then lets what has begun end. Dropping the future cuts every connection.
pub(crate) async fn serve(site: Site, stop: impl Future<Output = ()>) -> io::Result<()> {
    let Site {
        listener,
        router,
        connections: mut limit,
        threads,
    } = site;
    let mut lanes = Lanes::start(&router, threads)?;
    let crowd = Arc::new(Crowd::default());
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
            Ok(()) = limit.changed() => {
                let most = (*limit.borrow_and_update()).min(MOST);
                crowd.make_room(lanes.connections().saturating_sub(most));
                continue;
            }
        };
        let limit = (*limit.borrow()).min(MOST);
        let stream = match accepted {
            Ok((stream, _)) => stream,
            // Of this one connection alone.
            Err(error) if is_of_one(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted now");
                crowd.make_room(1);
                tokio::time::sleep(EXHAUSTED).await;
                continue;
            }
        };
        let connections = lanes.connections();
        if connections >= limit {
            crowd.make_room(1);
        }
        if connections >= limit + SLACK {
            // Whoever cannot even take that learns it from the closed connection.
            let _ = stream.try_write(NO_ROOM);
            continue;
        }
        lanes.admit(stream, crowd.enter())?;
    }
    drop(listener);
    lanes.end().await;
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
