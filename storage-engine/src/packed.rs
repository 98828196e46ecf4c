//! Numbers in as few bytes as they need: ids, ends of edges, places in a list.
//!
//! What counts up by one takes nothing; what lies within 2^32 of its smallest takes four bytes a
//! number; only the rest takes eight.

use std::sync::Arc;

/// Numbers that do not change; a copy shares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// `first`, `first + 1`, ...
    Run {
        /// The first of them.
        first: u64,
        /// How many.
        len: usize,
    },
    /// Each is `base` and an offset.
    Narrow {
        /// At most the smallest of them.
        base: u64,
        /// In their order.
        offsets: Arc<[u32]>,
    },
    /// As they are.
    Wide(Arc<[u64]>),
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Run { first: 0, len: 0 }
    }
}

impl Numbers {
    /// These numbers.
    pub(crate) fn pack(values: &[u64]) -> Self {
        let (low, high) = bounds(values.iter().copied());
        let mut packer = Packer::new(low, high, values.len());
        for (index, value) in values.iter().enumerate() {
            packer.set(index, *value);
        }
        packer.finish()
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Run { len, .. } => *len,
            Self::Narrow { offsets, .. } => offsets.len(),
            Self::Wide(values) => values.len(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<u64> {
        match self {
            Self::Run { first, len } => (index < *len).then_some(first + index as u64),
            Self::Narrow { base, offsets } => {
                offsets.get(index).map(|offset| base + u64::from(*offset))
            }
            Self::Wide(values) => values.get(index).copied(),
        }
    }

    /// The place of a number, when they ascend.
    pub(crate) fn find(&self, value: u64) -> Option<usize> {
        match self {
            Self::Run { first, len } => {
                let index = usize::try_from(value.checked_sub(*first)?).ok()?;
                (index < *len).then_some(index)
            }
            Self::Narrow { base, offsets } => {
                let offset = u32::try_from(value.checked_sub(*base)?).ok()?;
                offsets.binary_search(&offset).ok()
            }
            Self::Wide(values) => values.binary_search(&value).ok(),
        }
    }

    /// The place of the first number that is not below `value`, when they ascend.
    pub(crate) fn lower_bound(&self, value: u64) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.get(middle).is_some_and(|found| found < value) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + Clone + '_ {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }

    /// Those that lie in a range, both ends included, when they ascend.
    pub(crate) fn between(&self, first: u64, last: u64) -> impl Iterator<Item = u64> + '_ {
        let end = match last.checked_add(1) {
            Some(end) => self.lower_bound(end),
            None => self.len(),
        };
        let places = self.lower_bound(first)..end;
        places.map(|index| self.get(index).unwrap_or_default())
    }

    /// Bytes of memory beside the value itself.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Run { .. } => 0,
            Self::Narrow { offsets, .. } => size_of_val(&**offsets),
            Self::Wide(values) => size_of_val(&**values),
        }
    }
}

/// The smallest and the largest; of none, 0 and 0.
pub(crate) fn bounds(values: impl Iterator<Item = u64>) -> (u64, u64) {
    let (low, high) = values.fold((u64::MAX, 0), |(low, high), value| {
        (value.min(low), value.max(high))
    });
    (low.min(high), high)
}

/// Numbers that come in any order of their places.
#[derive(Debug)]
pub(crate) enum Packer {
    /// As in [`Numbers::Narrow`].
    Narrow(u64, Vec<u32>),
    /// As in [`Numbers::Wide`].
    Wide(Vec<u64>),
}

impl Packer {
    /// Room for so many numbers from `low` to `high`.
    pub(crate) fn new(low: u64, high: u64, len: usize) -> Self {
        if u32::try_from(high - low).is_ok() {
            Self::Narrow(low, vec![0; len])
        } else {
            Self::Wide(vec![0; len])
        }
    }

    /// Sets one; `value` must be within the bounds.
    pub(crate) fn set(&mut self, index: usize, value: u64) {
        match self {
            Self::Narrow(base, offsets) => {
                if let Some(offset) = offsets.get_mut(index) {
                    *offset = u32::try_from(value - *base).unwrap_or(u32::MAX);
                }
            }
            Self::Wide(values) => {
                if let Some(place) = values.get_mut(index) {
                    *place = value;
                }
            }
        }
    }

    pub(crate) fn finish(self) -> Numbers {
        match self {
            Self::Narrow(base, offsets) => match offsets.first() {
                Some(first) if counts_up(*first, &offsets) => Numbers::Run {
                    first: base + u64::from(*first),
                    len: offsets.len(),
                },
                None => Numbers::default(),
                Some(_) => Numbers::Narrow {
                    base,
                    offsets: offsets.into(),
                },
            },
            Self::Wide(values) => Numbers::Wide(values.into()),
        }
    }
}

fn counts_up(first: u32, offsets: &[u32]) -> bool {
    let wanted = u64::from(first)..;
    wanted
        .zip(offsets)
        .all(|(wanted, it)| wanted == u64::from(*it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_they_were_and_take_what_they_need() {
        let far = u64::from(u32::MAX) + 7;
        let cases: [(&[u64], usize); 8] = [
            (&[], 0),
            (&[5], 0),
            (&[5, 6, 7], 0),
            (&[5, 7, 8], 12),
            (&[7, 5, 6], 12),
            (&[far, far + 2], 8),
            (&[7, far], 8),
            (&[6, far + 1, far + 9], 24),
        ];
        for (values, bytes) in cases {
            let packed = Numbers::pack(values);
            assert_eq!(packed.iter().collect::<Vec<_>>(), values);
            assert_eq!(packed.bytes(), bytes, "{values:?}");
            assert_eq!(packed.len(), values.len());
            assert_eq!(packed.get(values.len()), None);
            if values.is_sorted() {
                for value in [0, 6, 7, 8, far, far + 1, u64::MAX] {
                    let before = values.partition_point(|found| *found < value);
                    assert_eq!(packed.lower_bound(value), before);
                }
                for value in (0..20).chain([far - 1, far, far + 1, far + 2, u64::MAX]) {
                    assert_eq!(packed.find(value), values.binary_search(&value).ok());
                }
            }
        }
    }
}
