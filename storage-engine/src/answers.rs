//! What keyed requests were answered, so that a request that is sent again gets the first answer.
//!
//! A client that lost an answer repeats the request under the same `Idempotency-Key`. The commit of
//! the first holds the key and the answer, so that they are durable together; here they are found. It
//! is a persistent map like the rest of a snapshot: it belongs to a commit, is published with it, and
//! is in the checkpoints.
//!
//! Keys are per principal and are kept for [`KEPT`] at least, unless so many newer ones come that a
//! limit is reached: then the oldest go first, those of one principal at half of the limit, so that
//! nobody pushes out everybody else's.

use std::sync::Arc;

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};
use serde::{Deserialize, Serialize};

use crate::record::{ChangeCounts, CommitInfo, Header, Idempotency};

/// How long a key is kept, in microseconds: a day.
const KEPT: i64 = 24 * 60 * 60 * 1_000_000;

/// How many keys a graph keeps.
const MAX_KEYS: usize = 65_536;

/// How many bytes of keys and answers a graph keeps.
const MAX_BYTES: usize = 32 << 20;

/// The largest answer that is kept, in bytes. It stands in the commit's record.
pub(crate) const MAX_ANSWER: usize = 64 << 10;

/// What an entry takes besides its texts, roughly.
const ENTRY_BYTES: usize = 400;

/// One request that was carried out, and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) key: String,
    /// SHA-256 of what was asked.
    #[serde(with = "hexadecimal")]
    pub(crate) digest: [u8; 32],
    pub(crate) lsn: u64,
    pub(crate) commit: CommitInfo,
    pub(crate) counts: ChangeCounts,
    pub(crate) answer: String,
}

/// How much there may be.
#[derive(Clone, Copy, Debug)]
struct Limit {
    keys: usize,
    bytes: usize,
}

const LIMIT: Limit = Limit {
    keys: MAX_KEYS,
    bytes: MAX_BYTES,
};

impl Limit {
    const fn half(self) -> Self {
        Self {
            keys: self.keys / 2,
            bytes: self.bytes / 2,
        }
    }

    const fn is_passed(self, keys: usize, bytes: usize) -> bool {
        keys > self.keys || bytes > self.bytes
    }
}

/// The answers that are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    principals: HashTrieMapSync<String, Own>,
    /// By their position in the log, so oldest first.
    order: RedBlackTreeMapSync<u64, Arc<Kept>>,
    bytes: usize,
}

/// Those of one principal.
#[derive(Clone, Debug, Default)]
struct Own {
    by_key: HashTrieMapSync<String, Arc<Kept>>,
    /// As that of all.
    order: RedBlackTreeMapSync<u64, Arc<Kept>>,
    bytes: usize,
}

impl Kept {
    fn bytes(&self) -> usize {
        let texts = self.key.len() + self.answer.len() + self.commit.principal.len();
        texts + self.commit.message.as_ref().map_or(0, String::len) + ENTRY_BYTES
    }

    fn is_old(&self, now: i64) -> bool {
        self.commit.time_micros < now.saturating_sub(KEPT)
    }
}

impl Answers {
    /// About how many bytes of memory they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Those of a checkpoint.
    pub(crate) fn of(kept: &[Kept]) -> Self {
        let mut answers = Self::default();
        for kept in kept {
            answers.insert(Arc::new(kept.clone()), LIMIT);
        }
        answers
    }

    /// The answer to a request of this principal under this key.
    pub(crate) fn get(&self, principal: &str, key: &str) -> Option<&Kept> {
        let own = self.principals.get(principal)?;
        own.by_key.get(key).map(AsRef::as_ref)
    }

    /// Keeps what a commit's request was answered.
    pub(crate) fn put(&mut self, header: &Header, idempotency: &Idempotency) {
        let kept = Kept {
            key: idempotency.key.clone(),
            digest: idempotency.digest,
            lsn: header.lsn,
            commit: header.info(),
            counts: header.counts,
            answer: idempotency.answer.clone(),
        };
        self.insert(Arc::new(kept), LIMIT);
    }

    /// All that are not too old at `now`, in microseconds since 1970, oldest first.
    pub(crate) fn kept(&self, now: i64) -> Vec<Kept> {
        let young = self.order.values().filter(|kept| !kept.is_old(now));
        young.map(|kept| kept.as_ref().clone()).collect()
    }

    fn insert(&mut self, kept: Arc<Kept>, limit: Limit) {
        let (principal, now) = (kept.commit.principal.clone(), kept.commit.time_micros);
        let own = self.principals.get(&principal);
        if let Some(old) = own.and_then(|own| own.by_key.get(&kept.key)).cloned() {
            self.remove(&old);
        }
        let mut own = self.principals.get(&principal).cloned().unwrap_or_default();
        self.bytes += kept.bytes();
        own.bytes += kept.bytes();
        own.by_key.insert_mut(kept.key.clone(), kept.clone());
        own.order.insert_mut(kept.lsn, kept.clone());
        self.order.insert_mut(kept.lsn, kept);
        self.principals.insert_mut(principal.clone(), own);
        while let Some(own) = self.principals.get(&principal)
            && let Some((_, first)) = own.order.first()
            && (first.is_old(now) || limit.half().is_passed(own.order.size(), own.bytes))
        {
            let first = first.clone();
            self.remove(&first);
        }
        while limit.is_passed(self.order.size(), self.bytes)
            && let Some((_, first)) = self.order.first()
        {
            let first = first.clone();
            self.remove(&first);
        }
    }

    fn remove(&mut self, kept: &Kept) {
        let principal = &kept.commit.principal;
        let Some(mut own) = self.principals.get(principal).cloned() else {
            return;
        };
        own.by_key.remove_mut(&kept.key);
        own.order.remove_mut(&kept.lsn);
        own.bytes -= kept.bytes();
        self.order.remove_mut(&kept.lsn);
        self.bytes -= kept.bytes();
        if own.order.is_empty() {
            self.principals.remove_mut(principal);
        } else {
            self.principals.insert_mut(principal.clone(), own);
        }
    }
}

/// A digest as text, as checkpoints write all digests.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        digest: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(digest))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut digest = [0; 32];
        hex::decode_to_slice(&text, &mut digest).map_err(serde::de::Error::custom)?;
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::record::{CommitId, MAIN};

    fn kept(principal: &str, key: &str, lsn: u64, day: i64) -> Arc<Kept> {
        Arc::new(Kept {
            key: key.to_owned(),
            digest: [7; 32],
            lsn,
            commit: CommitInfo {
                id: CommitId(Uuid::from_u128(u128::from(lsn))),
                branch: MAIN.to_owned(),
                sequence: lsn,
                parents: Vec::new(),
                time_micros: day * KEPT + lsn.cast_signed(),
                principal: principal.to_owned(),
                run: Uuid::nil(),
                message: None,
            },
            counts: ChangeCounts::default(),
            answer: "{}".to_owned(),
        })
    }

    fn found(answers: &Answers) -> Vec<(String, String)> {
        let kept = answers.kept(0).into_iter();
        kept.map(|kept| (kept.commit.principal, kept.key)).collect()
    }

    /// What is counted is what is there.
    fn check(answers: &Answers) {
        let all = answers.kept(i64::MIN / 2);
        assert_eq!(answers.order.size(), all.len());
        let own = answers.principals.values().map(|own| own.order.size());
        assert_eq!(own.sum::<usize>(), all.len());
        assert_eq!(answers.bytes, all.iter().map(Kept::bytes).sum::<usize>());
        for kept in &all {
            assert_eq!(
                answers.get(&kept.commit.principal, &kept.key),
                Some(kept),
                "found by its key"
            );
        }
    }

    #[test]
    fn keys_are_of_one_principal_and_come_back_from_a_checkpoint() {
        let mut answers = Answers::default();
        answers.insert(kept("ann", "k", 2, 0), LIMIT);
        answers.insert(kept("bob", "k", 3, 0), LIMIT);
        assert_eq!(answers.get("ann", "k").map(|kept| kept.lsn), Some(2));
        assert_eq!(answers.get("bob", "k").map(|kept| kept.lsn), Some(3));
        assert_eq!(answers.get("eve", "k"), None);
        check(&answers);
        let json = serde_json::to_string(&answers.kept(0)).expect("json");
        let again: Vec<Kept> = serde_json::from_str(&json).expect("read");
        assert_eq!(Answers::of(&again).kept(0), answers.kept(0));
    }

    #[test]
    fn one_principal_pushes_out_its_own() {
        let limit = Limit {
            keys: 8,
            bytes: usize::MAX,
        };
        let mut answers = Answers::default();
        answers.insert(kept("ann", "first", 1, 0), limit);
        for lsn in 2..50 {
            answers.insert(kept("eve", &format!("{lsn}"), lsn, 0), limit);
            check(&answers);
        }
        let eve = |key: &str| ("eve".to_owned(), key.to_owned());
        let ann = ("ann".to_owned(), "first".to_owned());
        let expected = vec![ann, eve("46"), eve("47"), eve("48"), eve("49")];
        assert_eq!(found(&answers), expected);
    }

    #[test]
    fn above_the_limit_the_oldest_of_all_goes() {
        let limit = Limit {
            keys: usize::MAX,
            bytes: 6 * (ENTRY_BYTES + 10),
        };
        let mut answers = Answers::default();
        for lsn in 1..=20 {
            answers.insert(kept(&format!("{lsn}"), "k", lsn, 0), limit);
            check(&answers);
            assert!(answers.bytes <= limit.bytes);
        }
        assert_eq!(answers.get("1", "k"), None);
        assert!(answers.get("20", "k").is_some());
        assert_eq!(answers.order.size(), 6);
    }

    #[test]
    fn a_day_is_enough() {
        let mut answers = Answers::default();
        answers.insert(kept("ann", "old", 1, 0), LIMIT);
        answers.insert(kept("ann", "new", 2, 1), LIMIT);
        // A day and a microsecond.
        assert_eq!(answers.get("ann", "old"), None);
        assert!(answers.get("ann", "new").is_some());
        answers.insert(kept("bob", "old", 3, 1), LIMIT);
        assert_eq!(answers.kept(3 * KEPT), Vec::new(), "not in a checkpoint");
        answers.insert(kept("ann", "new", 4, 1), LIMIT);
        assert_eq!(answers.get("ann", "new").map(|kept| kept.lsn), Some(4));
        check(&answers);
    }
}
