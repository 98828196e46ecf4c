//! Batches of columns as bytes: an Arrow IPC stream or a Parquet file, handed over while it is made.

use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

/// Rows of a batch.
pub(crate) const ROWS: usize = 8 << 10;
/// Bytes of values in a batch, about.
pub(crate) const BYTES: usize = 1 << 20;
/// Bytes that a group of rows of a Parquet file has in memory while it is made, about.
const GROUP_BYTES: usize = 8 << 20;

/// Why batches cannot be written. Memory takes every byte, so it is a defect.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// In making columns, or in the stream.
    #[error("columns cannot be made")]
    Arrow(#[from] ArrowError),
    /// In the file.
    #[error("a Parquet file cannot be made")]
    Parquet(#[from] ParquetError),
}

/// Writes batches of one schema into memory, from where they are taken.
pub(crate) enum BatchWriter {
    Arrow(StreamWriter<Vec<u8>>),
    Parquet(Box<ArrowWriter<Vec<u8>>>),
}

impl BatchWriter {
    pub(crate) fn arrow(schema: &SchemaRef) -> Result<Self, BatchError> {
        Ok(Self::Arrow(StreamWriter::try_new(Vec::new(), schema)?))
    }

    pub(crate) fn parquet(schema: &SchemaRef) -> Result<Self, BatchError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
        Ok(Self::Parquet(Box::new(writer)))
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), BatchError> {
        match self {
            Self::Arrow(writer) => writer.write(batch)?,
            Self::Parquet(writer) => {
                writer.write(batch)?;
                if writer.memory_size() >= GROUP_BYTES {
                    writer.flush()?;
                }
            }
        }
        Ok(())
    }

    /// Bytes that are made and were not taken yet.
    pub(crate) fn made(&self) -> usize {
        match self {
            Self::Arrow(writer) => writer.get_ref().len(),
            Self::Parquet(writer) => writer.inner().len(),
        }
    }

    /// What is made and was not taken yet.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Arrow(writer) => writer.get_mut(),
            // It counts what went through, not what is there.
            Self::Parquet(writer) => writer.inner_mut(),
        })
    }

    /// The rest. Nothing can be written after it.
    pub(crate) fn finish(self) -> Result<Vec<u8>, BatchError> {
        Ok(match self {
            Self::Arrow(writer) => writer.into_inner()?,
            Self::Parquet(writer) => writer.into_inner()?,
        })
    }
}

impl std::fmt::Debug for BatchWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Arrow(_) => "Arrow",
            Self::Parquet(_) => "Parquet",
        })
    }
}
