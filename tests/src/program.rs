//! The real program, for tests that need a process: crashes, signals, command lines.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the binary `trellis` is: beside this test's folder, in the target directory.
///
/// Cargo tells the path of a binary only to tests of the same package. It builds the binary all the
/// same whenever tests of the whole workspace are built, because `cli/tests` needs it.
pub(crate) fn path() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("<target>/<profile>/deps/<test>");
    let binary = folder.join("trellis");
    assert!(
        binary.is_file(),
        "{} is missing; build with `cargo nextest run --workspace`, as ./dev test does",
        binary.display()
    );
    binary
}

/// A command that runs it, with nothing of this process's own settings.
pub(crate) fn command() -> Command {
    without_settings(Command::new(path()))
}

fn without_settings(mut command: Command) -> Command {
    command.stdin(Stdio::null());
    for name in [
        "TRELLIS_SERVER",
        "TRELLIS_TOKEN",
        "TRELLIS_TOKENS_JSON",
        "TRELLIS_LOG",
    ] {
        command.env_remove(name);
    }
    command
}

/// A server process. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts `trellis serve` on a free port and waits until it listens.
    pub(crate) fn start(config: &Path, more: &[&str]) -> Self {
        Self::start_with(config, more, &[])
    }

    /// The same with variables of the environment.
    pub(crate) fn start_with(config: &Path, more: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::try_start(config, more, variables)
            .unwrap_or_else(|status| panic!("the server ended before it listened: {status}"))
    }

    /// The same; how it ended when it has ended before it listened.
    pub(crate) fn try_start(
        config: &Path,
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Self, ExitStatus> {
        let mut command = command();
        command
            .envs(variables.iter().copied())
            .args(["serve", "--bind", "127.0.0.1:0", "--config"])
            .arg(config)
            .args(more);
        Self::listening(command)
    }

    /// The same, open to everybody, its log going where the caller says.
    pub(crate) fn start_logging(config: &Path, log: impl Into<Stdio>) -> Self {
        let mut command = command();
        command
            .args(["serve", "--unauthenticated", "--bind", "127.0.0.1:0"])
            .arg("--config")
            .arg(config)
            .stderr(log);
        Self::listening(command)
            .unwrap_or_else(|status| panic!("the server ended before it listened: {status}"))
    }

    /// The same, open to everybody, run by another program: its arguments are followed by the folder of
    /// the config's folder and the command to run.
    pub(crate) fn start_in(runner: &[&str], folder: &Path) -> Self {
        let (program, arguments) = runner.split_first().expect("a program");
        let mut command = without_settings(Command::new(program));
        command
            .args(arguments)
            .arg(folder)
            .arg(path())
            .args([
                "serve",
                "--unauthenticated",
                "--bind",
                "127.0.0.1:0",
                "--config",
            ])
            .arg(folder.join("config/trellis.yaml"));
        Self::listening(command)
            .unwrap_or_else(|status| panic!("the server ended before it listened: {status}"))
    }

    fn listening(mut command: Command) -> Result<Self, ExitStatus> {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let output = child.stdout.take().expect("its output was piped");
        let line = BufReader::new(output).lines().next();
        let address = match line {
            Some(Ok(line)) => line.strip_prefix("listening on ").map(str::to_owned),
            _ => None,
        };
        match address {
            Some(address) => Ok(Self { child, address }),
            None => Err(child.wait().expect("an exit status")),
        }
    }

    /// `http://127.0.0.1:<port>`
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The process, to be sent signals.
    pub(crate) fn child(&self) -> &Child {
        &self.child
    }

    /// SIGKILL: it has no time for anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// It dies of SIGKILL by itself.
    pub(crate) fn wait_killed(mut self) {
        use std::os::unix::process::ExitStatusExt;
        let killed = rustix::process::Signal::KILL.as_raw();
        assert_eq!(ended(&mut self.child).signal(), Some(killed));
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        signal(&self.child, rustix::process::Signal::TERM);
        ended(&mut self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already when it was killed or terminated.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a child that has not been waited for.
pub(crate) fn signal(child: &Child, signal: rustix::process::Signal) {
    let id = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(id, signal).expect("the process is ours");
}

/// Asks until the answer is yes; panics when that takes too long.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How a child ended; panics when it takes too long.
pub(crate) fn ended(child: &mut Child) -> ExitStatus {
    let mut status = None;
    wait_until("the process ends", || {
        status = child.try_wait().expect("a child of ours");
        status.is_some()
    });
    status.expect("it has ended")
}
