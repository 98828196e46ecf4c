//! Memory that requests hold while nothing runs for them: long bodies, as they are read and as the values
//! that they are, and long pieces of answers that wait to be taken. What runs has limits of its own.
//!
//! Somebody may hold as much as is left free beside it: alone half of all, and nobody ever has all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::Error;

/// Bytes that are not counted: there are no more of them than connections.
pub(crate) const LITTLE: usize = 256 << 10;
/// How much all requests may hold, in the memory of one statement.
const STATEMENTS: u64 = 4;

/// Who holds how much.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    all: u64,
    principals: HashMap<String, u64>,
}

/// What one request holds, given back when dropped.
#[derive(Debug)]
pub(crate) struct Holding {
    memory: Arc<Memory>,
    principal: String,
    bytes: u64,
}

/// Whose memory, and how much there is: what [`Holding`] is made of.
#[derive(Debug)]
pub(crate) struct Purse {
    memory: Arc<Memory>,
    principal: String,
    /// What one statement may hold.
    statement: u64,
}

impl Purse {
    /// Holds so many bytes; nothing when that is more than is left now for this principal.
    pub(crate) fn hold(&self, bytes: usize) -> Option<Holding> {
        let mut holding = self.memory.holding(&self.principal);
        holding.grow(bytes, self.statement).ok()?;
        Some(holding)
    }
}

/// Bytes that are held, and what holds them.
struct Counted {
    bytes: Vec<u8>,
    _holding: Holding,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Memory {
    /// Of a principal; `statement` is what one statement may hold.
    pub(crate) fn purse(self: &Arc<Self>, principal: &str, statement: u64) -> Purse {
        Purse {
            memory: self.clone(),
            principal: principal.to_owned(),
            statement,
        }
    }

    /// Of a principal, and nothing yet.
    pub(crate) fn holding(self: &Arc<Self>, principal: &str) -> Holding {
        Holding {
            memory: self.clone(),
            principal: principal.to_owned(),
            bytes: 0,
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Sums cannot be half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holding {
    /// Holds so many bytes from now on, if it held less; `statement` is what one statement may hold.
    /// Refused when that is more than is left for this principal.
    pub(crate) fn grow(&mut self, bytes: usize, statement: u64) -> Result<(), Error> {
        let bytes = bytes as u64;
        if bytes <= self.bytes || bytes <= LITTLE as u64 {
            return Ok(());
        }
        let more = bytes - self.bytes;
        let mut held = self.memory.held();
        let mine = held.of(&self.principal).saturating_add(more);
        let all = held.all.saturating_add(more);
        if mine > statement.saturating_mul(STATEMENTS).saturating_sub(all) {
            return Err(Error::TooMuchHeld);
        }
        held.set(&self.principal, mine, all);
        self.bytes = bytes;
        Ok(())
    }

    /// Goes with the bytes that it is for, until they are gone.
    pub(crate) fn with(self, bytes: Vec<u8>) -> Bytes {
        if self.bytes == 0 {
            return bytes.into();
        }
        Bytes::from_owner(Counted {
            bytes,
            _holding: self,
        })
    }
}

impl Held {
    fn of(&self, principal: &str) -> u64 {
        self.principals.get(principal).copied().unwrap_or(0)
    }

    fn set(&mut self, principal: &str, mine: u64, all: u64) {
        self.all = all;
        self.principals.insert(principal.to_owned(), mine);
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut held = self.memory.held();
        held.all = held.all.saturating_sub(self.bytes);
        if let Some(mine) = held.principals.get_mut(&self.principal) {
            *mine = mine.saturating_sub(self.bytes);
            if *mine == 0 {
                held.principals.remove(&self.principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_others_whatever_one_holds() {
        const MIB: usize = 1 << 20;
        // 400 MiB in all.
        let statement = 100 * MIB as u64;
        let memory = Arc::<Memory>::default();
        let mut first = memory.holding("a");
        let mut second = memory.holding("a");
        first.grow(100 * MIB, statement).expect("free");
        second.grow(100 * MIB, statement).expect("half of all");
        second.grow(50 * MIB, statement).expect("held already");
        assert!(second.grow(101 * MIB, statement).is_err());
        let mut other = memory.holding("b");
        other.grow(100 * MIB, statement).expect("half of the rest");
        assert!(other.grow(101 * MIB, statement).is_err());
        memory.holding("c").grow(LITTLE, 0).expect("not counted");
        // An answer counts until its bytes are gone, if it is not short.
        let purse = memory.purse("d", statement);
        let hold = |bytes| purse.hold(bytes).map(|held| held.with(vec![0; bytes]));
        let short = hold(LITTLE).expect("not counted");
        let long = hold(50 * MIB).expect("half of the rest");
        assert!(hold(MIB).is_none() && hold(LITTLE).is_some());
        let last = memory.purse("e", statement);
        last.hold(MIB).expect("room for whoever holds nothing");
        assert!(other.grow(120 * MIB, statement).is_err());
        drop(long);
        hold(MIB).expect("they are gone");
        drop(short);
        drop(second);
        other.grow(150 * MIB, statement).expect("free again");
        drop((first, other));
        let held = memory.held();
        assert!(held.all == 0 && held.principals.is_empty(), "{held:?}");
    }
}
