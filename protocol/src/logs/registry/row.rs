//! The row of a log (`spec/storage.md`, section 2).

use super::{Branch, Log, Owner, RANGES_MAX, Standing};
use crate::codec::{CodecError, Reader, Write};
use crate::ids::{DeviceId, LogNo, PartNo, SpaceNo};
use crate::log::card::LogCard;
use crate::log::head::Head;
use crate::logs::progress::{EDGES_MAX, Edge, Progress};
use crate::storage::rows::{log_key, number, put};
use crate::storage::{Op, Table};
use crate::sync::ranges::Ranges;
use bytes::Bytes;
use std::collections::BTreeMap;

/// First byte of a log's row.
const ROW_VERSION: u8 = 1;

/// Bits of the row's flag byte.
mod flags {
    pub(super) const CONTROL: u8 = 1;
    pub(super) const CLOSED: u8 = 1 << 1;
    pub(super) const NAMED: u8 = 1 << 2;
    pub(super) const BRANCH: u8 = 1 << 3;
    pub(super) const EDGES: u8 = 1 << 4;
    pub(super) const TORN: u8 = 1 << 5;
}

impl Log {
    /// Returns the row that makes the staged progress durable.
    pub(crate) fn row(&self) -> Op {
        let staged = self.staged();
        let mut out = vec![ROW_VERSION];
        out.prefixed(&self.card_bytes);
        out.varint(u64::from(self.space.0));
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let branch = self.branch();
        out.byte(
            flag(self.control, flags::CONTROL)
                | flag(self.closed, flags::CLOSED)
                | flag(self.named, flags::NAMED)
                | flag(branch.is_some(), flags::BRANCH)
                | flag(!staged.edges.is_empty(), flags::EDGES)
                | flag(self.is_torn(), flags::TORN),
        );
        match self.standing {
            Standing::Unknown => out.byte(0),
            Standing::Owned(owner) => {
                out.byte(1);
                out.raw(owner.device.as_ref());
                out.varint(u64::from(owner.partition.0));
                out.varint(self.next.map_or(0, |next| u64::from(next.0) + 1));
            }
            Standing::Refused => out.byte(2),
        }
        match &staged.tip {
            Some(tip) => {
                out.byte(1);
                out.varint(tip.seq);
                out.raw(&tip.h);
                out.raw(&tip.signature);
            }
            None => out.byte(0),
        }
        staged.held.encode(&mut out);
        staged.indexed.encode(&mut out);
        out.varint(staged.position);
        out.varint(staged.segment.0);
        out.varint(staged.segment.1);
        if let Some(Branch { main, parent, base }) = branch {
            out.varint(u64::from(main.0));
            out.varint(u64::from(parent.0));
            out.varint(base);
        }
        if !staged.edges.is_empty() {
            out.varint(staged.edges.len() as u64);
        }
        for (seq, Edge { h, signature }) in &staged.edges {
            out.varint(*seq);
            out.raw(h);
            out.byte(u8::from(signature.is_some()));
            signature.iter().for_each(|signature| out.raw(signature));
        }
        put(Table::Log, log_key(self.no), out)
    }

    /// Reads a row back. Its content is durable.
    pub(crate) fn from_row(row_key: &[u8], value: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(row_key);
        let no = LogNo(u32::from_be_bytes(reader.array()?));
        reader.finish()?;
        let mut reader = Reader::new(value);
        if reader.u8()? != ROW_VERSION {
            return Err(CodecError::OutOfRange("log row version"));
        }
        let card_bytes = Bytes::copy_from_slice(reader.bytes(LogCard::LEN_MAX, "card")?);
        let card = LogCard::decode(&mut Reader::new(&card_bytes))?;
        let space = SpaceNo(number(&mut reader)?);
        let set = reader.u8()?;
        let mut log = Self::new(no, card.log_id(), &card, card_bytes, space, set & flags::CONTROL != 0);
        (log.closed, log.named) = (set & flags::CLOSED != 0, set & flags::NAMED != 0);
        log.standing = match reader.u8()? {
            0 => Standing::Unknown,
            1 => {
                let owner = Owner { device: DeviceId(reader.array()?), partition: PartNo(number(&mut reader)?) };
                log.next = number(&mut reader)?.checked_sub(1).map(LogNo);
                Standing::Owned(owner)
            }
            _ => Standing::Refused,
        };
        let tip = match reader.u8()? {
            0 => None,
            _ => Some(Head { seq: reader.varint()?, h: reader.array()?, signature: reader.array()? }),
        };
        let held = Ranges::decode(&mut reader, RANGES_MAX)?;
        let indexed = Ranges::decode(&mut reader, RANGES_MAX)?;
        let position = reader.varint()?;
        let segment = (reader.varint()?, reader.varint()?);
        if set & flags::BRANCH != 0 {
            let (main, parent) = (LogNo(number(&mut reader)?), LogNo(number(&mut reader)?));
            log.fork_mut().branch = Some(Branch { main, parent, base: reader.varint()? });
        }
        if set & flags::TORN != 0 {
            log.fork_mut().torn = true;
        }
        let mut edges = BTreeMap::new();
        let count = if set & flags::EDGES == 0 { 0 } else { reader.count(EDGES_MAX, "edges of a log")? };
        for _ in 0..count {
            let (seq, h) = (reader.varint()?, reader.array()?);
            let signature = if reader.u8()? == 0 { None } else { Some(reader.array()?) };
            edges.insert(seq, Edge { h, signature });
        }
        reader.finish()?;
        log.durable = Progress { tip, held, indexed, position, segment, edges };
        Ok(log)
    }
}
