//! Newline-delimited JSON, in blocks of whole lines.

use std::io::Read;
use std::sync::RwLock;

use super::context::Context;
use super::gather::{Block, Gathered, Gatherer, Nodes};
use super::index::NodeIndexes;
use super::line::Line;
use super::part::PartBuilder;
use super::{MAX_ERRORS, MAX_LINE, pipeline, record};

/// About so many bytes make a block.
const BLOCK: usize = 2 << 20;

/// Lines of the input.
struct Piece {
    bytes: Vec<u8>,
    /// What befell the input after them.
    error: Option<String>,
}

/// Reads all lines.
pub(super) fn gather(input: impl Read + Send, context: &Context) -> Gathered {
    let nodes = RwLock::new(NodeIndexes::new(context));
    let mut gatherer = Gatherer::new(context, &nodes);
    let pieces = Pieces {
        input,
        rest: Vec::new(),
        ended: false,
    };
    pipeline::run(
        pieces,
        |piece| (read(&piece.bytes, context, &nodes), piece.error),
        |(block, error)| {
            let more = gatherer.take(block);
            match error {
                Some(error) => {
                    gatherer.fail(error);
                    false
                }
                None => more,
            }
        },
    );
    gatherer.finish()
}

fn read(bytes: &[u8], context: &Context, nodes: &Nodes) -> Block {
    let mut block = Block::default();
    let mut builders: Vec<Option<PartBuilder>> = context.shapes.iter().map(|_| None).collect();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        block.lines += 1;
        if block.errors.len() >= MAX_ERRORS {
            // These are all that is told; the lines are counted all the same.
            continue;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        if let Err(message) = read_line(line, block.lines, context, &mut builders) {
            block.errors.push((block.lines, message));
        }
    }
    block.finish(context, nodes, builders.into_iter().flatten());
    block
}

fn read_line(
    bytes: &[u8],
    line: u64,
    context: &Context,
    builders: &mut [Option<PartBuilder>],
) -> Result<(), String> {
    if bytes.len() as u64 > MAX_LINE {
        return Err(too_long());
    }
    // In an open graph `type` is a label.
    if context.schema().open().is_none()
        && let Some(read) = Line::read(bytes, context)
    {
        if let Some(builder) = builder(builders, context, read.slot()) {
            read.give(line, |given| builder.push(context, given));
        }
        return Ok(());
    }
    let record = record::read(bytes, line, context.schema())?;
    let slot = context.slot(record.type_id());
    if let Some(builder) = slot.and_then(|slot| builder(builders, context, slot)) {
        builder.push_record(context, &record);
    }
    Ok(())
}

/// The rows of a type; begun when there are none.
fn builder<'a>(
    builders: &'a mut [Option<PartBuilder>],
    context: &Context,
    slot: usize,
) -> Option<&'a mut PartBuilder> {
    let place = builders.get_mut(slot)?;
    Some(place.get_or_insert_with(|| PartBuilder::new(context, slot)))
}

pub(super) fn too_long() -> String {
    format!("the line is longer than {MAX_LINE} bytes")
}

/// The input in pieces of whole lines.
struct Pieces<R> {
    input: R,
    /// What was read of a line that goes on.
    rest: Vec<u8>,
    ended: bool,
}

impl<R: Read> Iterator for Pieces<R> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.ended {
            return None;
        }
        let mut bytes = Vec::with_capacity(BLOCK + self.rest.len());
        bytes.append(&mut self.rest);
        loop {
            let before = bytes.len();
            let error = match self
                .input
                .by_ref()
                .take(BLOCK as u64)
                .read_to_end(&mut bytes)
            {
                Ok(0) => {
                    self.ended = true;
                    return (!bytes.is_empty()).then_some(Piece { bytes, error: None });
                }
                Ok(_) => None,
                Err(error) => Some(format!("the rest cannot be read: {error}")),
            };
            let new = bytes.get(before..).unwrap_or_default();
            let end = new.iter().rposition(|byte| *byte == b'\n');
            let error = error.or_else(|| {
                let endless = end.is_none() && bytes.len() as u64 > MAX_LINE;
                endless.then(too_long)
            });
            self.ended = error.is_some();
            match end {
                Some(end) => {
                    self.rest = bytes.split_off(before + end + 1);
                    return Some(Piece { bytes, error });
                }
                None if error.is_some() => {
                    // Of a line that is not whole nothing else is told.
                    let whole = bytes.iter().rposition(|byte| *byte == b'\n');
                    bytes.truncate(whole.map_or(0, |end| end + 1));
                    return Some(Piece { bytes, error });
                }
                None => {}
            }
        }
    }
}
