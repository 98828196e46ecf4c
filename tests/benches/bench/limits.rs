//! What this machine can do in this very run: figures are ratios to it.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::Failure;
use crate::http::Client;
use crate::statistics::Samples;
use crate::subject::wait_until;

/// What is appended and synced.
const BLOCK: [u8; 4096] = [b'x'; 4096];
/// Bytes that are copied in memory.
const COPY: usize = 256 << 20;
/// How often; the best counts.
const COPIES: usize = 5;

/// Blocks of a file that is written over, written once before.
const PREPARED: u64 = 256;

/// A file beside the data that is only appended to.
pub(crate) struct Disk(File);

/// Writes over blocks that are there already, and syncs: what a log whose segments are prepared
/// would cost. The file system has nothing to journal then.
pub(crate) fn overwrite(folder: &Path, count: usize) -> Result<Samples, Failure> {
    let file = File::create(folder.join("prepared.data"))?;
    for block in 0..PREPARED {
        file.write_all_at(&BLOCK, block * BLOCK.len() as u64)?;
    }
    file.sync_all()?;
    let mut samples = Samples::default();
    for turn in 0..count as u64 {
        let begun = Instant::now();
        file.write_all_at(&BLOCK, turn % PREPARED * BLOCK.len() as u64)?;
        file.sync_data()?;
        samples.add(u64::try_from(begun.elapsed().as_nanos())?);
    }
    Ok(samples)
}

impl Disk {
    pub(crate) fn beside(folder: &Path) -> Result<Self, Failure> {
        Ok(Self(File::create(folder.join("limit.data"))?))
    }

    /// Appends 4 KiB and syncs, so many times.
    pub(crate) fn sample(&mut self, count: usize, samples: &mut Samples) -> Result<(), Failure> {
        for _ in 0..count {
            let begun = Instant::now();
            self.0.write_all(&BLOCK)?;
            self.0.sync_data()?;
            samples.add(u64::try_from(begun.elapsed().as_nanos())?);
        }
        Ok(())
    }
}

/// Durable replacements of a file, each a new file written, synced and renamed, and its folder synced:
/// how long so many of them take.
#[expect(clippy::disallowed_methods, reason = "what it costs is measured")]
pub(crate) fn replacements(folder: &Path, count: usize) -> Result<u64, Failure> {
    let (new, old) = (folder.join("replacement.new"), folder.join("replacement"));
    let begun = Instant::now();
    for _ in 0..count {
        let mut file = File::create(&new)?;
        file.write_all(&BLOCK)?;
        file.sync_all()?;
        std::fs::rename(&new, &old)?;
        File::open(folder)?.sync_all()?;
    }
    Ok(u64::try_from(begun.elapsed().as_nanos())?)
}

/// Gigabytes a second that memory is copied at.
#[expect(clippy::cast_precision_loss, reason = "a few digits of it are shown")]
pub(crate) fn memory_copy() -> f64 {
    let from = vec![1_u8; COPY];
    let mut to = vec![2_u8; COPY];
    let copies = (0..COPIES).map(|_| {
        let begun = Instant::now();
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&to);
        COPY as f64 / begun.elapsed().as_secs_f64() / 1e9
    });
    copies.fold(0.0, f64::max)
}

/// A server that answers without looking: the least that any route costs.
pub(crate) struct Noop {
    child: Child,
    /// Which one it is.
    pub(crate) kind: &'static str,
    client: Client,
}

impl Noop {
    /// `noop.c` where a C compiler is, else a loop of our own.
    pub(crate) fn start(shared: &Path, work: &Path) -> Result<Self, Failure> {
        let program = work.join("noop");
        let compiled = Command::new("cc")
            .args(["-O2", "-o"])
            .arg(&program)
            .arg(shared.join("noop.c"))
            .arg("-lpthread")
            .stderr(Stdio::null())
            .status();
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (mut command, kind) = if compiled.is_ok_and(|status| status.success()) {
            let mut command = Command::new(program);
            command.args([&port.to_string(), "1"]);
            (command, "noop.c")
        } else {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["noop", &port.to_string()]);
            (command, "a thread of ours that reads and writes")
        };
        let child = command.stdin(Stdio::null()).spawn()?;
        let client = wait_until(|| Client::connect(&format!("127.0.0.1:{port}")).ok())
            .ok_or("the no-op server does not listen")?;
        Ok(Self {
            child,
            kind,
            client,
        })
    }

    /// Sends it this request so many times.
    pub(crate) fn sample(
        &mut self,
        request: &[u8],
        count: usize,
        samples: &mut Samples,
    ) -> Result<(), Failure> {
        for _ in 0..count {
            samples.add(self.client.timed(request)?.0);
        }
        Ok(())
    }
}

impl Drop for Noop {
    fn drop(&mut self) {
        // It has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The no-op server of our own: one connection after the other, no parsing.
pub(crate) fn serve_noop(port: &str) -> Result<(), Failure> {
    use std::io::Read;
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        let mut buffer = [0_u8; 16 << 10];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}")?;
        }
    }
    Ok(())
}
