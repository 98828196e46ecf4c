//! A disk that refuses, for tests: in a debug build, an operation of this thread can be made to fail, and
//! those after it too. A release build has none of it.

use std::io;

/// What an operation does.
#[cfg_attr(
    not(debug_assertions),
    expect(unreachable_pub, reason = "tests name it, in a debug build")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It needs room, or changes something: a full disk refuses it.
    Write,
    /// It gives room back: a full disk lets it pass.
    Remove,
    /// It takes a lock.
    Lock,
}

#[cfg(debug_assertions)]
mod arranged {
    use std::cell::RefCell;

    use super::{Kind, io};

    /// What is to fail.
    #[derive(Debug, Clone)]
    pub struct Fault {
        /// Operations of these kinds.
        pub kinds: Vec<Kind>,
        /// So many of them pass before.
        pub passing: u64,
        /// How many fail then; the others pass again.
        pub failing: u64,
        /// The system's number for the reason.
        pub errno: i32,
    }

    thread_local! {
        static ARRANGED: RefCell<Option<(Fault, bool)>> = const { RefCell::new(None) };
    }

    impl Fault {
        /// From now on, on this thread.
        pub fn arrange(self) {
            ARRANGED.with_borrow_mut(|arranged| *arranged = Some((self, false)));
        }

        /// The disk is well again. Says whether anything failed.
        #[must_use]
        pub fn lift() -> bool {
            ARRANGED.take().is_some_and(|(_, has_failed)| has_failed)
        }
    }

    pub(crate) fn check(kind: Kind) -> io::Result<()> {
        ARRANGED.with_borrow_mut(|arranged| {
            let Some((fault, has_failed)) = arranged else {
                return Ok(());
            };
            if !fault.kinds.contains(&kind) {
                return Ok(());
            }
            if fault.passing > 0 {
                fault.passing -= 1;
                return Ok(());
            }
            if fault.failing == 0 {
                return Ok(());
            }
            fault.failing -= 1;
            *has_failed = true;
            Err(io::Error::from_raw_os_error(fault.errno))
        })
    }
}

#[cfg(debug_assertions)]
pub use arranged::Fault;
#[cfg(debug_assertions)]
pub(crate) use arranged::check;

#[cfg(not(debug_assertions))]
pub(crate) fn check(_: Kind) -> io::Result<()> {
    Ok(())
}
