//! New rows of one type in a file of the graph's `files/`.
//!
//! An Arrow IPC stream. Ids are not in it: they follow on the first, which the log's record names.
//! Ends of edges are `_src` and `_dst`, in 32 bits where all of them fit; then `_identity` and
//! `p<property id>`, each only when some row has a value. A batch is a chunk of rows.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array, UInt64Array, new_null_array};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use sha2::{Digest as _, Sha256};

use crate::chunk::{Chunk, Parts};
use crate::columns::{self, IDENTITY, Layout, SOURCE, TARGET};
use crate::files::{FileError, failed};
use crate::packed::Numbers;
use crate::record::{ColumnFile, Encoding, SideFile};
use crate::store::{Staged, Store};

/// What a file is called in messages until it has its name; it says the folder, too.
const UNNAMED: &str = "files/unnamed.columns";

/// Bytes that are read or written at once.
const BUFFER: usize = 1 << 20;

/// A file that is whole and synced, but not yet named as records name files. It goes away when it
/// is dropped.
#[derive(Debug)]
pub(crate) struct Unnamed {
    staged: Staged,
    bytes: u64,
    digest: [u8; 32],
    rows: u64,
}

/// A file that cannot be read, or is not what the record says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ColumnsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the side file {0} is damaged")]
    Damaged(String),
    #[error("the side file {0} is of other columns than its type has")]
    OtherLayout(String),
    #[error("the side file cannot be read")]
    Arrow(#[from] ArrowError),
}

/// What tells the columns of a type from others.
pub(crate) fn layout_digest(layout: &Layout) -> [u8; 32] {
    let mut hash = Sha256::new();
    for field in layout.resident.fields() {
        hash.update(field.name().as_bytes());
        hash.update([0]);
        hash.update(field.data_type().to_string().as_bytes());
        hash.update([0]);
    }
    hash.finalize().into()
}

/// Writes rows to a file beside the log and syncs it.
pub(crate) fn write(
    store: &Store,
    layout: &Layout,
    chunks: &[Arc<Chunk>],
) -> Result<Unnamed, FileError> {
    let mut staged = store.stage(UNNAMED)?;
    let path = store.place(UNNAMED);
    let schema = schema(layout, chunks);
    let write = |output: &mut Counted<BufWriter<&mut Staged>>| -> Result<(), ArrowError> {
        let mut stream = StreamWriter::try_new(output, &schema)?;
        for chunk in chunks {
            stream.write(&batch(chunk, layout, &schema)?)?;
        }
        stream.finish()
    };
    let mut output = Counted {
        inner: BufWriter::with_capacity(BUFFER, &mut staged),
        bytes: 0,
        hash: Sha256::new(),
    };
    write(&mut output)
        .and_then(|()| output.flush().map_err(ArrowError::from))
        .map_err(|error| failed("write", &path)(io_error(error)))?;
    let (bytes, digest) = (output.bytes, output.hash.finalize_reset().into());
    drop(output);
    staged.sync()?;
    Ok(Unnamed {
        staged,
        bytes,
        digest,
        rows: chunks.iter().map(|chunk| chunk.len() as u64).sum(),
    })
}

impl Unnamed {
    /// Gives it its name, durably.
    pub(crate) fn name(self, lsn: u64) -> Result<SideFile, FileError> {
        let file = SideFile {
            name: SideFile::name(lsn, Encoding::Columns),
            bytes: self.bytes,
            digest: self.digest,
            encoding: Encoding::Columns,
            rows: self.rows,
        };
        self.staged.finish_as(&file.name)?;
        Ok(file)
    }
}

/// The rows of a file, its digest checked before anything in it is believed.
pub(crate) fn read(
    store: &Store,
    layout: &Layout,
    table: &ColumnFile,
) -> Result<Vec<Arc<Chunk>>, ColumnsError> {
    let named = &table.file;
    let damaged = || ColumnsError::Damaged(named.name.clone());
    verify(store, named)?;
    if table.layout != layout_digest(layout) {
        return Err(ColumnsError::OtherLayout(named.name.clone()));
    }
    let file = store.file(&named.place())?;
    let stream = StreamReader::try_new(BufReader::with_capacity(BUFFER, file), None)?;
    let mut chunks = Vec::new();
    let mut next = table.first_id;
    for batch in stream {
        let batch = batch?;
        let chunk = chunk(layout, &batch, next)?;
        next += batch.num_rows() as u64;
        chunks.push(Arc::new(chunk));
    }
    if next - table.first_id == named.rows {
        Ok(chunks)
    } else {
        Err(damaged())
    }
}

/// Holds a file against the length and the digest that a record names.
pub(crate) fn verify(store: &Store, named: &SideFile) -> Result<(), ColumnsError> {
    let path = &store.place(&named.place());
    let mut file = store.file(&named.place())?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = file.read(&mut buffer).map_err(failed("read", path))?;
        let Some(some) = buffer.get(..read).filter(|some| !some.is_empty()) else {
            break;
        };
        hash.update(some);
        bytes += some.len() as u64;
    }
    if bytes == named.bytes && hash.finalize().as_slice() == named.digest {
        Ok(())
    } else {
        Err(ColumnsError::Damaged(named.name.clone()))
    }
}

/// The columns that have something in them.
fn schema(layout: &Layout, chunks: &[Arc<Chunk>]) -> SchemaRef {
    let mut fields = Vec::new();
    if layout.ends.is_some() {
        let ends = chunks.iter().filter_map(|chunk| chunk.end_columns());
        let narrow = ends
            .flat_map(|(sources, targets)| [sources, targets])
            .all(|numbers| numbers.iter().all(|id| u32::try_from(id).is_ok()));
        let data_type = if narrow {
            DataType::UInt32
        } else {
            DataType::UInt64
        };
        fields.push(Field::new(SOURCE, data_type.clone(), false));
        fields.push(Field::new(TARGET, data_type, false));
    }
    if chunks.iter().any(|chunk| chunk.identities().is_some()) {
        fields.push(Field::new(IDENTITY, DataType::LargeUtf8, true));
    }
    for (position, property) in layout.properties.iter().enumerate() {
        if chunks
            .iter()
            .any(|chunk| chunk.resident(position).is_some())
        {
            let name = columns::property_column(property.id);
            fields.push(Field::new(
                name,
                columns::data_type(&property.value_type),
                true,
            ));
        }
    }
    Arc::new(Schema::new(fields))
}

fn batch(chunk: &Chunk, layout: &Layout, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let ends = |source: bool, data_type: &DataType| -> ArrayRef {
        let ends = chunk.end_columns();
        let ends = ends.map(|(sources, targets)| if source { sources } else { targets });
        let ids = ends.into_iter().flat_map(Numbers::iter);
        match data_type {
            DataType::UInt32 => Arc::new(UInt32Array::from_iter_values(
                ids.map(|id| u32::try_from(id).unwrap_or(u32::MAX)),
            )),
            _ => Arc::new(UInt64Array::from_iter_values(ids)),
        }
    };
    let position = |name: &str| {
        let mut properties = layout.properties.iter();
        properties.position(|property| columns::property_column(property.id) == name)
    };
    let columns = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            SOURCE => ends(true, field.data_type()),
            TARGET => ends(false, field.data_type()),
            name => {
                let column = match name {
                    IDENTITY => chunk.identities(),
                    name => position(name).and_then(|position| chunk.resident(position)),
                };
                column
                    .cloned()
                    .unwrap_or_else(|| new_null_array(field.data_type(), chunk.len()))
            }
        });
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(chunk.len()));
    RecordBatch::try_new_with_options(schema.clone(), columns.collect(), &options)
}

fn chunk(layout: &Layout, batch: &RecordBatch, first: u64) -> Result<Chunk, ArrowError> {
    let missing = |name: &str| ArrowError::SchemaError(format!("no column {name}"));
    let ends = |name: &str| {
        let column = batch.column_by_name(name).ok_or_else(|| missing(name))?;
        if let Some(narrow) = column.as_primitive_opt::<UInt32Type>() {
            let ids: Vec<u64> = narrow.values().iter().map(|id| u64::from(*id)).collect();
            return Ok(Numbers::pack(&ids));
        }
        let wide = column.as_primitive_opt::<UInt64Type>();
        wide.map(|wide| Numbers::pack(wide.values()))
            .ok_or_else(|| missing(name))
    };
    let column = |name: &str, data_type: &DataType| match batch.column_by_name(name) {
        Some(column) if column.data_type() != data_type => Err(missing(name)),
        column => Ok(column.cloned()),
    };
    let properties = layout.properties.iter().map(|property| {
        let name = columns::property_column(property.id);
        column(&name, &columns::data_type(&property.value_type))
    });
    Ok(Chunk::new(Parts {
        ids: Numbers::Run {
            first,
            len: batch.num_rows(),
        },
        ends: match layout.ends {
            Some(_) => Some((ends(SOURCE)?, ends(TARGET)?)),
            None => None,
        },
        identities: column(IDENTITY, &DataType::LargeUtf8)?,
        properties: properties.collect::<Result<Vec<_>, _>>()?,
    }))
}

/// A writer that counts and hashes what goes through it.
struct Counted<W> {
    inner: W,
    bytes: u64,
    hash: Sha256,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn io_error(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}
