//! A file of records, in one commit or not at all.
//!
//! The body goes to a temporary file first, counted against the limit, so that a caller who goes
//! away half-way has loaded nothing. Then it is read against the schema, every type in it is
//! decided, and it is applied.

use std::io::{Seek, SeekFrom};
use std::pin::pin;
use std::sync::Arc;

use api_types::{LoadMode, LoadParameters, LoadResponse};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use language::schema::Schema;
use policy::{Action, Principal, TypeTouch};
use sha2::{Digest, Sha256};
use storage_engine::WriteRequest;
use storage_engine::load::{Batch, Format, Input, LineError, Mode, Source};
use tokio::io::{AsyncWriteExt, BufWriter};

use super::{Answered, App, Error, Origin, Target, UploadError, aside, outcome, statement};

/// Bytes that are collected before they go to the temporary file.
const WRITE_BUFFER: usize = 256 << 10;

/// What is wrong with lines of the file; found while reading it or while applying it.
#[derive(Debug, thiserror::Error)]
#[error("{} line(s) of the file are wrong", .0.len())]
pub(crate) struct LineErrors(pub(crate) Vec<LineError>);

/// A file of records on its way in.
pub(crate) struct Upload<S> {
    pub(crate) format: RecordFormat,
    pub(crate) chunks: S,
}

/// What a file of records may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordFormat {
    Ndjson,
    Csv,
    Parquet,
    Arrow,
}

impl RecordFormat {
    /// By media type.
    pub(crate) const ALL: [(&'static str, Self); 4] = [
        ("application/x-ndjson", Self::Ndjson),
        ("text/csv", Self::Csv),
        ("application/vnd.apache.parquet", Self::Parquet),
        ("application/vnd.apache.arrow.stream", Self::Arrow),
    ];
}

fn mode(mode: LoadMode) -> Mode {
    match mode {
        LoadMode::Append => Mode::Append,
        LoadMode::Merge => Mode::Merge,
        LoadMode::Overwrite => Mode::Overwrite,
    }
}

fn source(format: RecordFormat, parameters: &LoadParameters, mode: Mode) -> Result<Source, Error> {
    let format = match format {
        RecordFormat::Ndjson => Format::Ndjson,
        RecordFormat::Csv => Format::Csv,
        RecordFormat::Parquet => Format::Parquet,
        RecordFormat::Arrow => Format::Arrow,
    };
    match (format, &parameters.type_name) {
        (Format::Ndjson, None) => Ok(Source::lines(mode)),
        (Format::Ndjson, Some(_)) => Err(Error::InvalidRequest(
            "type: NDJSON names the type in each line".to_owned(),
        )),
        (_, Some(name)) => Ok(Source::columns(format, name, mode)),
        (_, None) => Err(Error::InvalidRequest(
            "type: which type the rows are of must be said for this format".to_owned(),
        )),
    }
}

/// `who`: who asks, by what the server knows now.
pub(crate) async fn run(
    app: &Arc<App>,
    origin: Origin,
    who: impl Fn(&App) -> Option<Arc<Principal>> + Send,
    graph_id: String,
    parameters: LoadParameters,
    upload: Upload<impl Stream<Item = Result<Bytes, UploadError>> + Send>,
) -> Result<Answered<LoadResponse>, Error> {
    let target = Target::branch(&graph_id, parameters.branch.as_deref());
    let _early = app.permit_graph(&origin.principal, Action::Load, target)?;
    target.check_branch()?;
    app.refuse_when_stopping()?;
    let mode = mode(parameters.mode);
    let source = source(upload.format, &parameters, mode)?;
    let mut digest = origin.key.as_ref().map(|_| Sha256::new());
    let limit = app.limits().load_body_bytes;
    let (file, bytes) = spool(upload.chunks, limit, digest.as_mut()).await?;
    // The upload may have taken hours, in which the token or the right may have been taken back.
    let principal = who(app).ok_or(Error::Unauthenticated)?;
    let permit = app.permit_graph(&principal, Action::Load, target)?;
    app.refuse_when_stopping()?;
    let body = digest.map(Sha256::finalize).unwrap_or_default();
    let key = origin.key.map(|key| key.of("load", &parameters, &body));
    let key = key.transpose()?;
    let write = WriteRequest {
        request: Some(origin.request_id),
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        ..WriteRequest::default()
    };
    let deadline = statement::deadline(&app.limits(), None);
    let slot = app.turn(&permit, deadline).await?;
    let (worker, permit) = (app.clone(), Arc::new(permit));
    let (writer, authorized) = aside(move || {
        let _slot = slot;
        let writer = worker.writer_in_turn(&permit)?;
        let schema = writer.schema();
        if let Some(name) = source
            .type_name
            .as_ref()
            .filter(|_| schema.open().is_none())
        {
            statement::require_type(name, &schema)?;
        }
        let batch = writer
            .parse(Input::File(file), &source)
            .map_err(LineErrors)?;
        let touches = touches(mode, &batch, &schema);
        let access = worker.access.load();
        let authorized = access
            .authorizer
            .authorize_types(&permit, batch, &touches)?;
        Ok((writer, authorized))
    })
    .await?;
    let written = writer
        .load(&authorized, write, key)
        .await
        .map_err(Error::of_load)?;
    Ok(Answered {
        repeated: written.repeated,
        body: LoadResponse {
            commit: outcome::commit(&written.commit),
            nodes: written.value.nodes,
            edges: written.value.edges,
        },
    })
}

/// What policy is asked about a load.
fn touches<'a>(mode: Mode, batch: &Batch, schema: &'a Schema) -> Vec<TypeTouch<'a>> {
    match mode {
        // What is not in the file is deleted.
        Mode::Overwrite => statement::all_types(schema, true),
        // An edge changes nothing in the nodes that it joins; they are looked up.
        Mode::Append | Mode::Merge => {
            let ends = batch.end_types().iter().copied();
            statement::types(batch.types().iter().copied(), schema, true)
                .chain(statement::types(ends, schema, false))
                .collect()
        }
    }
}

/// Writes the body to a file that has no name and is gone with its handle; says how long it is.
async fn spool(
    lines: impl Stream<Item = Result<Bytes, UploadError>>,
    limit: u64,
    mut digest: Option<&mut Sha256>,
) -> Result<(std::fs::File, u64), Error> {
    let file = tokio::task::spawn_blocking(tempfile::tempfile)
        .await
        .map_err(Error::Panicked)?;
    let mut file = BufWriter::with_capacity(
        WRITE_BUFFER,
        tokio::fs::File::from_std(file.map_err(Error::Spool)?),
    );
    let mut lines = pin!(lines);
    let mut bytes = 0_u64;
    while let Some(chunk) = lines.next().await {
        let chunk = chunk?;
        bytes += chunk.len() as u64;
        if bytes > limit {
            return Err(UploadError::TooLarge { limit }.into());
        }
        if let Some(digest) = &mut digest {
            digest.update(&chunk);
        }
        file.write_all(&chunk).await.map_err(Error::Spool)?;
    }
    file.flush().await.map_err(Error::Spool)?;
    let mut file = file.into_inner().into_std().await;
    file.seek(SeekFrom::Start(0)).map_err(Error::Spool)?;
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn body(chunks: &[&'static str]) -> impl Stream<Item = Result<Bytes, UploadError>> {
        let chunks: Vec<_> = chunks
            .iter()
            .map(|text| Ok(Bytes::from_static(text.as_bytes())))
            .collect();
        futures::stream::iter(chunks)
    }

    #[tokio::test]
    async fn a_body_is_kept_whole_and_counted() {
        let mut digest = Sha256::new();
        let spooled = spool(body(&["one\n", "two\n"]), 8, Some(&mut digest)).await;
        let (mut file, bytes) = spooled.expect("within the limit");
        assert_eq!(bytes, 8);
        assert_eq!(digest.finalize(), Sha256::digest("one\ntwo\n"));
        let mut text = String::new();
        file.read_to_string(&mut text).expect("readable");
        assert_eq!(text, "one\ntwo\n");
        let error = spool(body(&["one\n", "two\n", "x"]), 8, None)
            .await
            .expect_err("over the limit");
        assert!(
            matches!(error, Error::Upload(UploadError::TooLarge { limit: 8 })),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error() {
        let broken = futures::stream::iter([
            Ok(Bytes::from_static(b"one\n")),
            Err(UploadError::BrokenOff("reset".into())),
        ]);
        let error = spool(broken, 8, None).await.expect_err("broken off");
        assert!(
            matches!(error, Error::Upload(UploadError::BrokenOff(_))),
            "{error}"
        );
    }
}
