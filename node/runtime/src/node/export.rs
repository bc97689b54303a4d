//! Exports a collection: pages of documents become chunks of a file.

use super::Acting;
use super::docs::partition;
use super::files::{delimiter, format_of};
use super::handle::unexpected;
use crate::service::{ErrorCode, Export, Exported, Format, Item, Reply, ServiceError};
use cosmicsync_data::collection::CollectionMeta;
use cosmicsync_data::database::request::{Answer, Found, Place, Request};
use cosmicsync_data::export::{Writer, add_columns};
use cosmicsync_data::import;
use cosmicsync_protocol::ids::PartNo;
use tokio::sync::mpsc;

/// Largest size of a chunk, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// Number of documents per read.
const PAGE_DOCS: usize = 1024;

impl Acting<'_> {
    pub(super) async fn export(&self, export: Export, items: &mpsc::Sender<Item>) -> Result<Reply, ServiceError> {
        let separator = delimiter(Some(export.format), export.delimiter)?;
        let Export { space, collection, format, .. } = export;
        let handle = self.handle()?;
        let partition = handle.with(move |core| partition(core, &space)).await??;
        let Answer::Collections(metas) = handle.ask(move |_| Ok(Request::Collections { partition })).await? else {
            return Err(unexpected());
        };
        let described = metas.into_iter().find(|meta| meta.name == collection);
        let known = described.is_some();
        let mut meta = described.unwrap_or_else(|| CollectionMeta::new(&collection));
        if matches!(format, Format::Csv | Format::Tsv) {
            meta.delimiter = separator.unwrap_or(meta.delimiter);
            if meta.format == Some(import::Format::Xml) {
                // Names of XML elements are not columns.
                meta.columns.clear();
            }
            // The header comes before the rows, so every row is looked at twice.
            let mut columns = core::mem::take(&mut meta.columns);
            let mut pages = Pages::new(partition, &collection);
            while let Some(docs) = pages.next(self).await? {
                for value in docs.iter().filter_map(|found| found.value.as_ref()) {
                    add_columns(&mut columns, value);
                }
            }
            meta.columns = columns;
        }
        let mut writer = Writer::new(format_of(format), &meta);
        let (mut out, mut documents, mut bytes) = (Vec::new(), 0, 0);
        let mut pages = Pages::new(partition, &collection);
        while let Some(docs) = pages.next(self).await? {
            for value in docs.iter().filter_map(|found| found.value.as_ref()) {
                writer
                    .write_record(value, &mut out)
                    .map_err(|error| ServiceError::new(ErrorCode::Refused, error.to_string()))?;
                documents += 1;
                bytes += send(&mut out, CHUNK_BYTES, items).await?;
            }
        }
        if documents == 0 && !known {
            let error = ServiceError::new(ErrorCode::NotFound, format!("there is no collection '{collection}'"));
            return Err(error.next("cosmicsync space digest"));
        }
        writer.finish(&mut out);
        bytes += send(&mut out, 1, items).await?;
        Ok(Reply::Exported(Exported { collection, documents, bytes }))
    }
}

/// The documents of a collection, page by page.
struct Pages<'a> {
    partition: PartNo,
    collection: &'a str,
    after: Option<Place>,
    ended: bool,
}

impl<'a> Pages<'a> {
    const fn new(partition: PartNo, collection: &'a str) -> Self {
        Self { partition, collection, after: None, ended: false }
    }

    async fn next(&mut self, node: &Acting<'_>) -> Result<Option<Vec<Found>>, ServiceError> {
        if self.ended {
            return Ok(None);
        }
        let request = Request::Page {
            partition: self.partition,
            collection: Some(self.collection.to_owned()),
            after: self.after.take(),
            limit: PAGE_DOCS,
            values: true,
        };
        let Answer::Page { docs, next } = node.handle()?.ask(move |_| Ok(request)).await? else {
            return Err(unexpected());
        };
        self.ended = next.is_none();
        self.after = next;
        Ok(Some(docs))
    }
}

/// Sends the buffer in chunks, unless it is smaller than `bytes_min`. Returns the number of bytes sent.
async fn send(out: &mut Vec<u8>, bytes_min: usize, items: &mpsc::Sender<Item>) -> Result<u64, ServiceError> {
    if out.len() < bytes_min {
        return Ok(0);
    }
    let text = String::from_utf8(core::mem::take(out))
        .map_err(|_| ServiceError::new(ErrorCode::Internal, "an exported record is not UTF-8"))?;
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (chunk, later) = rest.split_at(rest.floor_char_boundary(CHUNK_BYTES));
        rest = later;
        // The reply includes this chunk even if its receiver is gone.
        drop(items.send(Item::Chunk(chunk.to_owned())).await);
    }
    Ok(text.len() as u64)
}
