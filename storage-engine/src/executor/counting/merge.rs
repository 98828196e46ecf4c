//! Relationships of one clause differ: what is found with some of them being the same is taken away.
//!
//! Where relationships could be the same, all ways to find the pattern are counted first, whether they are
//! or not; then those with some of them the same, which is a smaller pattern, and so on: inclusion and
//! exclusion over the partitions of the relationships (G.-C. Rota, On the foundations of combinatorial
//! theory I, 1964). A relationship without a direction that is the same as another can be so either way
//! round, and one from a node to itself is both at once.
//!
//! Example: of `(a)-->(b)-->(c)-->(d)` the first and the third are the same where `a` is `c` and `b` is `d`:
//! the walks of length three, less the pairs of nodes that lead to each other and the like.

use std::collections::{BTreeMap, BTreeSet};

use language::plan::{Direction, Slot};

use super::shape::{Corner, Line, Shape};

/// Patterns with more ways to coincide than these are enumerated.
const MOST_TERMS: usize = 96;

/// A pattern, and how often what it counts for is taken.
pub(super) struct Term<'a> {
    pub(super) times: i64,
    pub(super) shape: Shape<'a>,
}

/// Relationships, by place, that are taken to be the same.
type Block = Vec<usize>;

/// What makes relationships the same: ends that become one, and by what it is multiplied.
struct Way {
    times: i64,
    /// Ends that are the same node.
    ends: Vec<(Slot, Slot)>,
}

/// The patterns that make up what is asked for, itself first. `coincide` says which relationships could
/// be the same, `loops` which could lead from a node to itself. `None` when they are too many, or cannot
/// be put together.
pub(super) fn terms<'a>(
    shape: &Shape<'a>,
    coincide: &dyn Fn(usize, usize) -> bool,
    loops: &dyn Fn(&Line<'a>) -> bool,
) -> Option<Vec<Term<'a>>> {
    let mut found = Vec::new();
    for blocks in partitions(shape.lines.len(), coincide)? {
        let mut terms = vec![(1, shape.clone())];
        let mut gone = BTreeSet::new();
        for block in blocks.iter().filter(|block| block.len() > 1) {
            let (base, ways) = ways(shape, block, loops);
            gone.extend(block.iter().copied().filter(|at| *at != base));
            let mut next = Vec::new();
            for (times, shape) in &terms {
                for way in &ways {
                    if let Some(shape) = joined(shape, block, base, &way.ends)? {
                        next.push((times * way.times * sign(block), shape));
                    }
                }
                if next.len() > MOST_TERMS {
                    return None;
                }
            }
            terms = next;
        }
        for (times, mut shape) in terms {
            let mut at = 0;
            shape.lines.retain(|_| {
                at += 1;
                !gone.contains(&(at - 1))
            });
            let possible = |line: &Line<'a>| line.left != line.right || loops(line);
            if shape.lines.iter().all(possible) {
                found.push(Term { times, shape });
            }
        }
        if found.len() > MOST_TERMS {
            return None;
        }
    }
    Some(found)
}

/// All partitions into blocks in which each could be the same as each, the one of single ones first.
fn partitions(count: usize, coincide: &dyn Fn(usize, usize) -> bool) -> Option<Vec<Vec<Block>>> {
    let mut all: Vec<Vec<Block>> = vec![Vec::new()];
    for at in 0..count {
        let mut next = Vec::new();
        for blocks in &all {
            let mut alone = blocks.clone();
            alone.push(vec![at]);
            next.push(alone);
            for (place, block) in blocks.iter().enumerate() {
                if block.iter().all(|other| coincide(*other, at)) {
                    let mut with = blocks.clone();
                    with[place].push(at);
                    next.push(with);
                }
            }
        }
        if next.len() > MOST_TERMS {
            return None;
        }
        all = next;
    }
    Some(all)
}

/// `(-1)^(n-1) (n-1)!` for a block of `n`.
fn sign(block: &Block) -> i64 {
    let mut times = 1;
    for factor in 1..block.len() {
        times *= -i64::try_from(factor).unwrap_or(i64::MAX);
    }
    times
}

/// The one that stands for a block, and the ways in which the others are the same as it.
fn ways<'a>(
    shape: &Shape<'a>,
    block: &Block,
    loops: &dyn Fn(&Line<'a>) -> bool,
) -> (usize, Vec<Way>) {
    let directed = |at: &&usize| shape.lines[**at].direction != Direction::Either;
    let base = *block.iter().find(directed).unwrap_or(&block[0]);
    let (from, to) = ends(&shape.lines[base]);
    let mut ways = vec![Way {
        times: 1,
        ends: Vec::new(),
    }];
    for at in block.iter().filter(|at| **at != base) {
        let line = &shape.lines[*at];
        let (source, target) = ends(line);
        let straight = [(from, source), (to, target)];
        let crossed = [(from, target), (to, source)];
        let choices = match line.direction {
            Direction::Either => vec![straight, crossed],
            _ => vec![straight],
        };
        ways = ways
            .iter()
            .flat_map(|way| {
                choices.iter().map(move |choice| Way {
                    times: 1,
                    ends: way.ends.iter().chain(choice).copied().collect(),
                })
            })
            .collect();
    }
    // A relationship from a node to itself was found each way.
    if ways.len() > 1 && loops(&shape.lines[base]) {
        let all = block.iter().map(|at| ends(&shape.lines[*at]));
        ways.push(Way {
            times: 1 - i64::try_from(ways.len()).unwrap_or(i64::MAX),
            ends: all
                .flat_map(|(source, target)| [(from, source), (from, target)])
                .collect(),
        });
    }
    (base, ways)
}

/// Where a relationship begins and where it ends; left and right of one without a direction.
fn ends(line: &Line<'_>) -> (Slot, Slot) {
    match line.direction {
        Direction::Incoming => (line.right, line.left),
        Direction::Outgoing | Direction::Either => (line.left, line.right),
    }
}

/// The shape with the relationships of a block as the one at `base`, and ends that are one node. Nothing
/// when that cannot be found anywhere; `None` when it cannot be told.
fn joined<'a>(
    shape: &Shape<'a>,
    block: &Block,
    base: usize,
    ends: &[(Slot, Slot)],
) -> Option<Option<Shape<'a>>> {
    let mut shape = shape.clone();
    // Blocks before this one may have joined ends already.
    let mut names: BTreeMap<Slot, Slot> = BTreeMap::new();
    for (node, corner) in &shape.nodes {
        names.extend(corner.slots.iter().map(|slot| (*slot, *node)));
    }
    for (one, other) in ends {
        let (one, other) = (*names.get(one)?, *names.get(other)?);
        if one == other {
            continue;
        }
        let gone = shape.nodes.remove(&other)?;
        let kept = shape.nodes.get_mut(&one)?;
        kept.types.retain(|id| gone.types.contains(id));
        if kept.types.is_empty() {
            return Some(None);
        }
        kept.slots.extend(gone.slots);
        for name in names.values_mut().filter(|name| **name == other) {
            *name = one;
        }
    }
    for line in &mut shape.lines {
        line.left = *names.get(&line.left)?;
        line.right = *names.get(&line.right)?;
    }
    let mut same = shape.lines.get(base)?.clone();
    for at in block.iter().filter(|at| **at != base) {
        let line = shape.lines.get(*at)?;
        same.types.retain(|id| line.types.contains(id));
        same.edges.extend(line.edges.iter().copied());
        same.names = match (same.names, line.names) {
            ([], names) | (names, []) => names,
            (one, other) if one == other => one,
            (one, other) if one.iter().all(|name| !other.contains(name)) => {
                return Some(None);
            }
            _ => return None,
        };
    }
    if same.types.is_empty() {
        return Some(None);
    }
    *shape.lines.get_mut(base)? = same;
    Some(Some(shape))
}

impl Corner {
    /// Of one slot.
    pub(super) fn new(slot: Slot, types: &BTreeSet<language::schema::TypeId>) -> Self {
        Self {
            slots: vec![slot],
            types: types.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_as_many_as_bell_counted() {
        let count = |all| partitions(all, &|_, _| true).map(|found| found.len());
        assert_eq!([1, 2, 3, 4, 5].map(count), [1, 2, 5, 15, 52].map(Some));
        assert_eq!(count(6), None, "203 are too many");
        let apart = partitions(4, &|one, other| one + other == 3).expect("few");
        assert_eq!(apart.len(), 4);
    }

    #[test]
    fn signs_add_up_to_nothing_unless_all_differ() {
        // Of three relationships that are all the same, no way is left.
        let all = partitions(3, &|_, _| true).expect("few");
        let sum: i64 = all
            .iter()
            .map(|blocks| blocks.iter().map(sign).product::<i64>())
            .sum();
        assert_eq!(sum, 0);
    }
}
