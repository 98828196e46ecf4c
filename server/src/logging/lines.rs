//! Lines on their way to standard error, which a thread of its own writes: whoever answers requests must
//! not wait for somebody to read the log.
//!
//! What does not fit is dropped and counted. The thread wakes for the first line, and then collects for a
//! moment: waking it for each would cost a request more than writing does.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait to be written.
const WAITING: usize = 1 << 20;
/// As many of them as may be of lines that are no errors: requests do not displace what went wrong.
const ORDINARY: usize = WAITING / 4 * 3;
/// How long lines are collected before they are written.
const COLLECT: Duration = Duration::from_millis(10);
/// What an empty buffer keeps of its memory.
const KEPT: usize = 64 << 10;

/// The lines that wait, known to those who write some and to the thread.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// The thread waits here: for a line, or for a reason not to collect any longer.
    come: Condvar,
    /// Whoever waits until all is written.
    written: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Bytes that the thread is writing now.
    in_hand: usize,
    /// The thread waits for a first line.
    idle: bool,
    /// The thread is not to collect any longer.
    urgent: bool,
    /// Lines that did not fit, since the server started.
    dropped: u64,
}

/// Where one line goes.
pub(super) struct Line<'a> {
    lines: &'a Lines,
    urgent: bool,
}

impl Lines {
    /// Starts the thread that writes them to `out`.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = Self(Arc::new(Shared {
            state: Mutex::default(),
            come: Condvar::new(),
            written: Condvar::new(),
        }));
        let writing = lines.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writing.write_on(out))?;
        Ok(lines)
    }

    /// Lines that were dropped until now.
    pub(super) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Waits until all is written that waits, for `patience` at most.
    pub(super) fn flush(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let mut state = self.state();
        while !state.waiting.is_empty() || state.in_hand > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state.urgent = true;
            self.0.come.notify_one();
            let waited = self.0.written.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn push(&self, line: &[u8], urgent: bool) {
        let mut state = self.state();
        let most = if urgent { WAITING } else { ORDINARY };
        if state.waiting.len() + state.in_hand + line.len() > most {
            state.dropped += 1;
            return;
        }
        state.waiting.extend_from_slice(line);
        let soon = urgent || state.waiting.len() > WAITING / 2;
        let wake = state.idle || soon && !state.urgent;
        state.urgent |= soon;
        state.idle = false;
        drop(state);
        if wake {
            self.0.come.notify_one();
        }
    }

    /// The thread's work, until the process ends.
    fn write_on(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        let mut told = 0;
        loop {
            let dropped = self.take(&mut lines);
            if out.write_all(&lines).and_then(|()| out.flush()).is_err() {
                // Whoever read it has gone, or the disk is full: a line that says so would be the next one.
                let lost = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
                told += lost;
                self.state().dropped += lost;
            }
            lines.clear();
            lines.shrink_to(KEPT);
            self.state().in_hand = 0;
            if dropped > told {
                tracing::warn!(lines = dropped - told, "lines of the log were dropped");
                told = dropped;
            }
            self.0.written.notify_all();
        }
    }

    /// Waits for lines, takes them in exchange for an empty buffer, and says how many were dropped so far.
    fn take(&self, lines: &mut Vec<u8>) -> u64 {
        let mut state = self.state();
        state.idle = state.waiting.is_empty();
        while state.waiting.is_empty() {
            let waited = self.0.come.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let end = Instant::now() + COLLECT;
        while !state.urgent {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.0.come.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.idle = false;
        state.urgent = false;
        std::mem::swap(&mut state.waiting, lines);
        state.in_hand = lines.len();
        state.dropped
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A line is in it whole or not at all.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            lines: self,
            urgent: false,
        }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line {
            lines: self,
            urgent: *meta.level() == Level::ERROR,
        }
    }
}

impl Write for Line<'_> {
    /// Takes all of it: the subscriber gives a whole line at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.push(line, self.urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes what is written only when somebody lets it.
    struct Gate {
        open: mpsc::Receiver<()>,
        taken: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let gone = |_| io::ErrorKind::BrokenPipe;
            self.open.recv().map_err(gone)?;
            self.taken
                .send(bytes.to_vec())
                .map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Lines, mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>) {
        let (opener, open) = mpsc::channel();
        let (taken, takes) = mpsc::channel();
        let lines = Lines::start(Gate { open, taken }).expect("a thread");
        (lines, opener, takes)
    }

    #[test]
    fn nobody_waits_for_a_reader_and_what_does_not_fit_is_counted() {
        let (lines, opener, takes) = gated();
        let line = [b'x'; 1 << 10];
        let begun = Instant::now();
        for _ in 0..1_100 {
            lines.make_writer().write_all(&line).expect("taken");
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(lines.dropped(), 1_100 - 768);
        // There is still room for an error.
        let urgent = Line {
            lines: &lines,
            urgent: true,
        };
        { urgent }.write_all(&line).expect("taken");
        assert_eq!(lines.dropped(), 1_100 - 768);
        let begun = Instant::now();
        lines.flush(Duration::from_millis(50));
        assert!(begun.elapsed() < Duration::from_secs(5), "it gives up");
        // Once somebody reads again, all that was kept comes, and there is room for more.
        for _ in 0..10 {
            opener.send(()).expect("the thread is there");
        }
        lines.flush(Duration::from_secs(30));
        let read: usize = takes.try_iter().map(|bytes| bytes.len()).sum();
        assert_eq!(read, ORDINARY + line.len());
        lines.make_writer().write_all(b"more\n").expect("taken");
        lines.flush(Duration::from_secs(30));
        assert_eq!(takes.try_iter().collect::<Vec<_>>(), [b"more\n"]);
        assert_eq!(lines.dropped(), 1_100 - 768);
        // What cannot be written is lost, and the thread goes on.
        drop(takes);
        opener.send(()).expect("the thread is there");
        lines.make_writer().write_all(b"a\n").expect("taken");
        lines.flush(Duration::from_secs(30));
        assert_eq!(lines.dropped(), 1_101 - 768);
    }

    #[test]
    fn an_error_is_not_collected() {
        let (lines, opener, takes) = gated();
        opener.send(()).expect("the thread is there");
        let urgent = Line {
            lines: &lines,
            urgent: true,
        };
        { urgent }.write_all(b"bad\n").expect("taken");
        let taken = takes.recv_timeout(Duration::from_secs(30));
        assert_eq!(taken.expect("written without being asked for"), b"bad\n");
    }
}
