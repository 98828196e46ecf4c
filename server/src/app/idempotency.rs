//! Requests that may be sent again: a key of the caller's, and what is asked, as one digest.

use serde::Serialize;
use sha2::{Digest, Sha256};
use storage_engine::IdempotencyKey;

use super::Error;

/// The longest key, in bytes.
const MAX_KEY: usize = 255;

/// What the caller calls a request, so that it is carried out once however often it is sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key(String);

/// An answer that may be that of an earlier request.
#[derive(Debug)]
pub(crate) struct Answered<T> {
    pub(crate) body: T,
    /// The request had been carried out before; nothing was done now.
    pub(crate) repeated: bool,
}

impl Key {
    /// 1 to 255 visible ASCII characters.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        if (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::InvalidRequest(format!(
            "Idempotency-Key takes 1 to {MAX_KEY} visible ASCII characters, without spaces"
        )))
    }

    /// The key of this very request: `operation` with these parameters and this body.
    pub(crate) fn of(
        self,
        operation: &str,
        parameters: &impl Serialize,
        body: &[u8],
    ) -> Result<IdempotencyKey, Error> {
        let parameters = serde_json::to_vec(parameters).map_err(Error::Unreadable)?;
        let mut digest = Sha256::new();
        for part in [operation.as_bytes(), &parameters, body] {
            // Where one part ends and the next begins is part of what is asked.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Ok(IdempotencyKey {
            key: self.0,
            digest: digest.finalize().into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii() {
        let longest = "k".repeat(255);
        for good in ["a", "3f6d-!~", &longest] {
            assert!(Key::parse(good).is_ok(), "{good:?}");
        }
        let long = "k".repeat(256);
        for bad in ["", " ", "a b", "é", "a\n", "\u{7f}", &long] {
            assert!(Key::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn each_part_of_a_request_counts() {
        let of = |operation: &str, parameters: &str, body: &str| {
            let key = Key::parse("k").expect("a key");
            let key = key.of(operation, &parameters, body.as_bytes());
            key.expect("serializes").digest
        };
        let first = of("mutate", "ab", "cd");
        assert_eq!(first, of("mutate", "ab", "cd"));
        for other in [
            of("load", "ab", "cd"),
            of("mutate", "abc", "d"),
            of("mutate", "ab", "ce"),
        ] {
            assert_ne!(first, other);
        }
    }
}
