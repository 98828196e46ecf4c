//! Connections and their threads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

/// Time for what takes none, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
}

async fn two_threads(router: Router) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let site = Site {
        listener,
        router,
        connections: tokio::sync::watch::channel(100).1,
        threads: NonZeroUsize::new(2).expect("two"),
    };
    let serving = tokio::spawn(serve(site, async {
        let _ = stopped.await;
    }));
    Served {
        address,
        stop,
        serving,
    }
}

struct Client(TcpStream);

impl Client {
    async fn connect(served: &Served) -> Self {
        Self(TcpStream::connect(served.address).await.expect("connects"))
    }

    async fn send(&mut self, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.expect("sent");
    }

    /// The body of an answer; empty when the connection ended instead.
    async fn answer(&mut self) -> String {
        let mut text = Vec::new();
        let read = async {
            loop {
                let mut chunk = [0; 1024];
                let count = self.0.read(&mut chunk).await.unwrap_or(0);
                text.extend_from_slice(&chunk[..count]);
                let said = String::from_utf8_lossy(&text);
                if let Some((head, body)) = said.split_once("\r\n\r\n")
                    && head.contains(&format!("content-length: {}", body.len()))
                {
                    return body.to_owned();
                }
                if count == 0 {
                    return String::new();
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("in time")
    }

    async fn ask(&mut self, path: &str) -> String {
        self.send(path).await;
        self.answer().await
    }
}

async fn thread() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_shared_out_and_stay_where_they_are() {
    let served = two_threads(Router::new().route("/", get(thread))).await;
    let mut clients = Vec::new();
    let mut counts = BTreeMap::new();
    for _ in 0..6 {
        let mut client = Client::connect(&served).await;
        let name = client.ask("/").await;
        *counts.entry(name.clone()).or_insert(0) += 1;
        clients.push((client, name));
    }
    let three_each = [("http-0".to_owned(), 3), ("http-1".to_owned(), 3)];
    assert_eq!(counts, BTreeMap::from(three_each));
    for _ in 0..3 {
        for (client, name) in &mut clients {
            assert_eq!(client.ask("/").await, *name);
        }
    }
    // Those who go make room on their thread.
    clients.retain(|(_, name)| name != "http-1");
    for _ in 0..3 {
        let begun = std::time::Instant::now();
        loop {
            let mut client = Client::connect(&served).await;
            let name = client.ask("/").await;
            if name == "http-1" {
                clients.push((client, name));
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{name} has more already");
        }
    }
    drop(clients);
    served.stop.send(()).expect("serves");
    served.serving.await.expect("ends").expect("ends well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_is_stuck_keeps_only_its_own_connections() {
    let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
    let released = Arc::new(Mutex::new(released));
    let stuck = move || {
        let released = released.clone();
        async move {
            // As a defect would: nothing may block here.
            let _ = released.lock().map(|released| released.recv());
            "free"
        }
    };
    let router = Router::new()
        .route("/", get(thread))
        .route("/stuck", get(stuck));
    let served = two_threads(router).await;
    let mut first = Client::connect(&served).await;
    let mut second = Client::connect(&served).await;
    assert_ne!(first.ask("/").await, second.ask("/").await);
    first.send("/stuck").await;
    for _ in 0..100 {
        assert!(second.ask("/").await.starts_with("http-"));
    }
    // It is let end what it has begun.
    served.stop.send(()).expect("serves");
    assert_eq!(second.answer().await, "", "who waits for nothing is let go");
    assert!(!served.serving.is_finished());
    release.send(()).expect("stuck");
    assert_eq!(first.answer().await, "free");
    served.serving.await.expect("ends").expect("ends well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_when_serving_is_given_up() {
    let known = Arc::new(());
    let held = known.clone();
    let never = move || {
        let held = held.clone();
        async move {
            std::future::pending::<()>().await;
            drop(held);
        }
    };
    let served = two_threads(Router::new().route("/", get(never))).await;
    let mut client = Client::connect(&served).await;
    client.send("/").await;
    let mut idle = Client::connect(&served).await;
    let begun = std::time::Instant::now();
    while Arc::strong_count(&known) < 3 && begun.elapsed() < PATIENCE {
        tokio::task::yield_now().await;
    }
    served.serving.abort();
    assert_eq!(client.answer().await, "");
    assert_eq!(idle.answer().await, "");
    while Arc::strong_count(&known) > 1 && begun.elapsed() < PATIENCE {
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&known), 1, "a thread goes on");
}

/// How long the threads that answer were on a core.
fn on_cores() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let read = |task: &std::path::Path, name| std::fs::read_to_string(task.join(name));
    let nanos = tasks.map(|task| {
        let task = task.expect("a thread").path();
        // A thread may end between two looks.
        let name = read(&task, "comm").unwrap_or_default();
        let usage = read(&task, "schedstat").unwrap_or_default();
        let nanos = usage.split(' ').next().and_then(|nanos| nanos.parse().ok());
        nanos.filter(|_| name.starts_with("http-")).unwrap_or(0)
    });
    Duration::from_nanos(nanos.sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_connected_and_asks_nothing_costs_nothing() {
    let served = two_threads(Router::new().route("/", get(thread))).await;
    let mut clients = Vec::new();
    for _ in 0..90 {
        let mut client = Client::connect(&served).await;
        // One after the other at once: it would be looked out for more.
        client.ask("/").await;
        client.ask("/").await;
        clients.push(client);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = on_cores();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = on_cores() - before;
    assert!(used < Duration::from_millis(10), "{used:?}");
    drop(clients);
    served.stop.send(()).expect("serves");
    served.serving.await.expect("ends").expect("ends well");
}
