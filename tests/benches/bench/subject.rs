//! Whatever is measured, as a child process: the engine and the peers, which obey the same commands
//! line by line, and the server.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::Failure;
use crate::http::{self, Answer, Client};

/// How long a process may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// The credential of the load generator, an administrator of the example policy.
pub(crate) const TOKEN: &str = "token-of-the-benchmark";
/// Credentials of writers of two tenants, which are called like them.
pub(crate) const ACME: &str = "acme";
pub(crate) const RIVAL: &str = "rival";

/// Looks until there is something, or patience ends.
#[expect(
    clippy::disallowed_methods,
    reason = "waits for another process, which sends no event"
)]
pub(crate) fn wait_until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(PAUSE);
    }
    None
}

/// Memory of a process in MiB, as the kernel counts what is resident.
#[expect(clippy::cast_precision_loss, reason = "a few digits of it are shown")]
fn resident(pid: u32) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().next())
        .ok_or("no VmRSS")?
        .parse()?;
    Ok(kib as f64 / 1024.0)
}

/// What the kernel has counted for the threads of a process: unlike times, this hardly depends on
/// the neighbours.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    running_nanos: u64,
    /// Ready to run while others did.
    waiting_nanos: u64,
    switches: u64,
}

impl Usage {
    fn of(pid: u32) -> Result<Self, Failure> {
        let mut usage = Self::default();
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            // A thread may end between two looks.
            let statistics = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
            let mut numbers = statistics.split_whitespace().map(str::parse::<u64>);
            usage.running_nanos += numbers.next().unwrap_or(Ok(0))?;
            usage.waiting_nanos += numbers.next().unwrap_or(Ok(0))?;
            usage.switches += numbers.next().unwrap_or(Ok(0))?;
        }
        Ok(usage)
    }

    /// Adds what came between two looks.
    pub(crate) fn add(&mut self, before: Self, after: Self) {
        self.running_nanos += after.running_nanos.saturating_sub(before.running_nanos);
        self.waiting_nanos += after.waiting_nanos.saturating_sub(before.waiting_nanos);
        self.switches += after.switches.saturating_sub(before.switches);
    }

    /// For each of so many requests.
    #[expect(clippy::cast_precision_loss, reason = "a few digits of it are shown")]
    pub(crate) fn each(self, requests: usize) -> Json {
        let each = |sum: u64| sum as f64 / requests as f64;
        json!({"running_us": each(self.running_nanos) / 1e3, "waiting_for_a_core_us": each(self.waiting_nanos) / 1e3, "times_on_a_core": each(self.switches)})
    }
}

/// A process that obeys.
pub(crate) struct Subject {
    pub(crate) name: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Subject {
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self, Failure> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("its input was piped")?;
        let output = child.stdout.take().ok_or("its output was piped")?;
        Ok(Self {
            name: name.to_owned(),
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// Sends a command and reads the answer.
    pub(crate) fn ask(&mut self, command: &Json) -> Result<Json, Failure> {
        writeln!(self.input, "{command}")?;
        self.input.flush()?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if line.is_empty() {
            return Err(format!("{} ended", self.name).into());
        }
        let answer: Json = serde_json::from_str(&line)?;
        match answer["error"].as_str() {
            Some(error) => Err(format!("{}: {error}", self.name).into()),
            None => Ok(answer),
        }
    }

    pub(crate) fn resident(&self) -> Result<f64, Failure> {
        resident(self.child.id())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Everything in it is deleted with the folder of the run.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Times in an answer.
pub(crate) fn times(answer: &Json) -> Result<Vec<u64>, Failure> {
    let times = answer["times"]
        .as_array()
        .ok_or("an answer without times")?;
    let times = times.iter().map(Json::as_u64).collect::<Option<Vec<_>>>();
    Ok(times.ok_or("a time is a number")?)
}

/// `trellis serve` with the example policy, a token, and an empty list of graphs.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    folder: PathBuf,
}

impl Server {
    /// Makes a config in `folder` and starts.
    pub(crate) fn start(folder: &Path) -> Result<Self, Failure> {
        Self::start_with(folder, "")
    }

    /// The same with these lines at the end of the config.
    pub(crate) fn start_with(folder: &Path, lines: &str) -> Result<Self, Failure> {
        let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/server.cedar");
        std::fs::create_dir_all(folder.join("data"))?;
        write(
            &folder.join("server.cedar"),
            &std::fs::read_to_string(policy)?,
        )?;
        let digest = |token: &str| hex::encode(Sha256::digest(token.as_bytes()));
        let mut tokens = format!(
            "bench:\n  sha256: \"{}\"\n  groups: [admins]\n",
            digest(TOKEN)
        );
        for tenant in [ACME, RIVAL] {
            tokens += &format!(
                "{tenant}:\n  sha256: \"{}\"\n  groups: [writers]\n  tenant: {tenant}\n",
                digest(tenant)
            );
        }
        write(&folder.join("tokens.yaml"), &tokens)?;
        let config = format!(
            "version: 1\nserver:\n  bind: 127.0.0.1:0\n  storage: data\n  policy: {{ file: server.cedar }}\n  limits: {{ query_timeout_ms: 600000 }}\nauth:\n  tokens_file: tokens.yaml\n{lines}"
        );
        write(&folder.join("trellis.yaml"), &config)?;
        Self::again(folder)
    }

    /// Starts on what is there.
    pub(crate) fn again(folder: &Path) -> Result<Self, Failure> {
        let mut child = Command::new(program("TRELLIS_BIN", "trellis")?)
            .args(["serve", "--bind", "127.0.0.1:0", "--config"])
            .arg(folder.join("trellis.yaml"))
            .env_remove("TRELLIS_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("server.log"))?)
            .spawn()?;
        let output = child.stdout.take().ok_or("its output was piped")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on http://");
        let Some(address) = address.map(str::to_owned) else {
            let log = std::fs::read_to_string(folder.join("server.log"))?;
            return Err(format!("the server does not start: {log}").into());
        };
        Ok(Self {
            child,
            address,
            folder: folder.to_owned(),
        })
    }

    /// Ends it as a power cut would, as far as a process can tell, and starts it again.
    pub(crate) fn restart(&mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        *self = Self::again(&self.folder)?;
        Ok(())
    }

    /// Its config and its data.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Client::connect(&self.address)
    }

    pub(crate) fn resident(&self) -> Result<f64, Failure> {
        resident(self.child.id())
    }

    pub(crate) fn usage(&self) -> Result<Usage, Failure> {
        Usage::of(self.child.id())
    }

    pub(crate) fn create_graph(&self, graph: &str, schema: &str) -> Result<(), Failure> {
        self.create_graph_of(graph, schema, None)
    }

    /// The same as a tenant's.
    pub(crate) fn create_graph_of(
        &self,
        graph: &str,
        schema: &str,
        tenant: Option<&str>,
    ) -> Result<(), Failure> {
        let body = json!({"graph_id": graph, "schema": {"source": schema}, "tenant": tenant});
        let request = http::post("/graphs", TOKEN, &body);
        self.client()?.exchange(&request)?.success().map(drop)
    }

    /// Loads files of records.
    pub(crate) fn load(
        &self,
        graph: &str,
        files: &[PathBuf],
        media: &str,
    ) -> Result<Answer, Failure> {
        let mut length = 0;
        for file in files {
            length += std::fs::metadata(file)?.len();
        }
        let mut client = self.client()?;
        client.send(&http::head(
            &format!("/graphs/{graph}/load?mode=append"),
            TOKEN,
            media,
            length,
        ))?;
        let mut chunk = vec![0_u8; 1 << 20];
        for file in files {
            let mut file = std::fs::File::open(file)?;
            loop {
                let read = std::io::Read::read(&mut file, &mut chunk)?;
                // A refusal may come, and the connection end, before the body is all sent.
                if read == 0 || client.send(&chunk[..read]).is_err() {
                    break;
                }
            }
        }
        client.answer()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Everything in it is deleted with the folder of the run.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that this one needs: named by a variable, or beside it.
pub(crate) fn program(variable: &str, name: &str) -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).ok_or("no folder")?;
    let path = folder.join(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(format!("{variable} is not set: run ./dev bench").into()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "files of a folder that is deleted with the run"
)]
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    Ok(std::fs::write(path, text)?)
}
