//! Other engines, through their Python bindings, one process each (`peers.py`), and the data that
//! all of them load.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::subject::Subject;

/// The Python that has the peers' packages, if there is one, and where data is kept between runs.
pub(crate) struct Peers {
    python: Option<PathBuf>,
    cache: PathBuf,
}

impl Peers {
    pub(crate) fn new(cache: &Path) -> Self {
        Self {
            python: std::env::var_os("TRELLIS_BENCH_PYTHON").map(PathBuf::from),
            cache: cache.to_owned(),
        }
    }

    fn python(&self) -> Result<Command, Failure> {
        let python = self.python.as_ref();
        let python =
            python.ok_or("there is no Python with the peers' packages (see ./dev bench)")?;
        Ok(Command::new(python))
    }

    /// Starts a peer with a folder of its own.
    pub(crate) fn start(&self, name: &str, folder: &Path) -> Result<Subject, Failure> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/bench/peers.py");
        std::fs::create_dir_all(folder)?;
        let mut command = self.python()?;
        let mut peer = Subject::start(name, command.arg(script).arg(name).arg(folder))?;
        // It fails here when its package is missing.
        peer.ask(&serde_json::json!({"do": "begin"}))?;
        Ok(peer)
    }

    /// The social network of so many people, with questions and their answers; made once.
    pub(crate) fn data(&self, shared: &Path, persons: usize) -> Result<PathBuf, Failure> {
        let folder = self.cache.join(format!("data-{persons}"));
        // The last that is written.
        if !folder.join("manifest.json").is_file() {
            self.generate(shared, &folder, persons)?;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/bench/answers.py");
        let written = |path: &Path| path.metadata().and_then(|it| it.modified()).ok();
        // Not there, or of a script that had other questions.
        if written(&folder.join("answers.json")) < written(&script) {
            succeed(self.python()?.arg(script).arg(&folder))?;
        }
        Ok(folder)
    }

    fn generate(&self, shared: &Path, folder: &Path, persons: usize) -> Result<(), Failure> {
        let generator = shared.join("gen.py");
        if !generator.is_file() {
            return Err(format!("there is no {}", generator.display()).into());
        }
        let mut command = self.python()?;
        command.arg(generator).arg("--out").arg(folder);
        succeed(command.args(["--persons", &persons.to_string()]))
    }
}

fn succeed(command: &mut Command) -> Result<(), Failure> {
    let status = command.status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{command:?} ended with {status}").into()),
    }
}
