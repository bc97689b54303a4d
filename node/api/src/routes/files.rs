//! Routes for imports and exports, as streams: neither side buffers more than a few pieces.

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use cosmicsync_node::service::{Command, Export, Feed, Format, Import, Input, PIECE_BYTES_MAX, Reply};
use http_body::Body as _;
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};

use super::CollectionPath;
use crate::call::{Caller, expect_reply};
use crate::extract::{Out, Path, Query, media_type, next_piece};
use crate::model::ImportReport;
use crate::problem::Problem;
use crate::shape::File;
use crate::stream::answer;

/// The format of a file.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Format)]
enum FormatOf {
    Csv,
    Tsv,
    Ndjson,
    Json,
    Xml,
}

impl From<FormatOf> for Format {
    fn from(format: FormatOf) -> Self {
        match format {
            FormatOf::Csv => Self::Csv,
            FormatOf::Tsv => Self::Tsv,
            FormatOf::Ndjson => Self::Ndjson,
            FormatOf::Json => Self::Json,
            FormatOf::Xml => Self::Xml,
        }
    }
}

/// Options of an import.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ImportOptions {
    /// The format of the file; without it, the Content-Type or the first record decides.
    #[param(inline)]
    format: Option<FormatOf>,
    /// True to read the whole file and store nothing.
    #[serde(default, rename = "dryRun")]
    #[param(rename = "dryRun", default = false)]
    dry_run: bool,
    /// The column or member with the document's key; without it, documents have no keys.
    id: Option<String>,
    /// For JSON: the dotted path of the array with the rows. For XML: the path of the elements that are rows.
    rows: Option<String>,
    /// For tables: the separator between cells.
    #[param(min_length = 1, max_length = 1)]
    delimiter: Option<char>,
    /// Dotted paths of members that become collaborative text, separated by commas.
    text: Option<String>,
    /// For tables: columns whose cells become numbers, separated by commas; all other cells are texts.
    numbers: Option<String>,
}

/// Imports a file into a collection.
///
/// If a row is refused, the rows before it are stored.
#[utoipa::path(post, operation_id = "importFile", path = "/v1/spaces/{space}/collections/{collection}/import",
    tag = "files",
    params(CollectionPath, ImportOptions),
    request_body(content(
        (String = "text/csv"), (String = "text/tab-separated-values"), (String = "application/x-ndjson"),
        (Value = "application/json"), (String = "application/xml"), (String = "application/octet-stream"),
    )),
    responses((status = 200, body = ImportReport)))]
pub(super) async fn import(
    caller: Caller,
    Path(path): Path<CollectionPath>,
    Query(options): Query<ImportOptions>,
    headers: HeaderMap,
    request: Request,
) -> Result<Out<ImportReport>, Problem> {
    let (space, collection) = path.parts()?;
    let format = options.format.map(Format::from).or_else(|| format_of(&headers));
    let body = request.into_body();
    let command = Command::Import(Import {
        space,
        collection,
        path: "-".to_owned(),
        bytes: body.size_hint().exact(),
        format,
        delimiter: options.delimiter,
        id_column: options.id,
        rows: options.rows,
        text: options.text.iter().flat_map(|text| text.split(',')).map(str::to_owned).collect(),
        numbers: options.numbers.iter().flat_map(|names| names.split(',')).map(str::to_owned).collect(),
        dry_run: options.dry_run,
        ..Import::default()
    });
    let backend = caller.backend();
    let (feed, input) = Input::new();
    let (sender, _) = mpsc::channel(1);
    let reply = async { backend.call_reading(command, input, sender).await.map_err(Problem::from) };
    let feeding = fed(body, feed);
    tokio::pin!(reply, feeding);
    // The node may answer before the end of the file; the rest is then not read.
    let reply = tokio::select! {
        biased;
        reply = &mut reply => reply?,
        fed = &mut feeding => {
            fed?;
            reply.await?
        }
    };
    expect_reply!(reply, Reply::Imported(imported) => Out(imported.into()))
}

/// Sends a body to the command as fast as it is taken.
async fn fed(mut body: axum::body::Body, feed: Feed) -> Result<(), Problem> {
    while let Some(piece) = next_piece(&mut body).await? {
        for part in piece.chunks(PIECE_BYTES_MAX) {
            if !feed.send(part.to_vec()).await {
                // The command has ended; its answer gives the reason.
                return Ok(());
            }
        }
    }
    feed.end().await;
    Ok(())
}

/// Returns the format of a media type.
fn format_of(headers: &HeaderMap) -> Option<Format> {
    Some(match media_type(headers)?.as_str() {
        "text/csv" => Format::Csv,
        "text/tab-separated-values" => Format::Tsv,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Format::Ndjson,
        "application/json" | "application/geo+json" => Format::Json,
        "application/xml" | "text/xml" => Format::Xml,
        _ => return None,
    })
}

/// Options of an export.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportOptions {
    /// The format of the file; NDJSON by default.
    #[param(inline)]
    format: Option<FormatOf>,
    /// For CSV: the separator between cells; by default that of the imported file.
    #[param(min_length = 1, max_length = 1)]
    delimiter: Option<char>,
}

/// Exports a collection as a file.
///
/// An answer that is cut off lacks its last chunk; it is not the whole file.
#[utoipa::path(get, operation_id = "exportFile", path = "/v1/spaces/{space}/collections/{collection}/export",
    tag = "files",
    params(CollectionPath, ExportOptions),
    responses((status = 200, content(
        (String = "text/csv"), (String = "text/tab-separated-values"), (String = "application/x-ndjson"),
        (Vec<Value> = "application/json"), (String = "application/xml"),
    ))))]
pub(super) async fn export(
    caller: Caller,
    Path(path): Path<CollectionPath>,
    Query(options): Query<ExportOptions>,
) -> Result<Response, Problem> {
    let (space, collection) = path.parts()?;
    let format = options.format.map_or(Format::Ndjson, Format::from);
    let media_type = match format {
        Format::Csv => "text/csv; charset=utf-8",
        Format::Tsv => "text/tab-separated-values; charset=utf-8",
        Format::Ndjson => "application/x-ndjson",
        Format::Json => "application/json",
        Format::Xml => "application/xml",
    };
    let command = Command::Export(Export { space, collection, format, delimiter: options.delimiter });
    answer(&caller, command, File, media_type).await
}
