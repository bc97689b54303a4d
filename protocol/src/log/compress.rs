//! Compression before sealing: raw deflate, with or without a dictionary that sections of an entry share.
//!
//! A record states its plain length first, so the reader decides whether to continue before any work, and allocates
//! that length and no more. Output may differ between versions of the compressor: content sealed by others is never
//! compressed again (`spec/log.md`, section 6; ADR 0002, ADR 0018).

mod batch;

use crate::codec::{CodecError, Reader, Write};
use batch::{Batch, START_BYTES_MAX};
use core::fmt;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

/// Most bytes of a dictionary that have an effect: the window of deflate.
pub const DICTIONARY_BYTES_MAX: usize = 32 * 1024;

/// Stored: the shorter form of content that does not compress.
const STORED: u8 = 0;
/// Raw deflate (RFC 1951).
const DEFLATE: u8 = 1;
/// Raw deflate that may refer to the window of a dictionary.
const DEFLATE_DICTIONARY: u8 = 2;
/// The same, without the beginning, which is in the dictionary.
const DEFLATE_STARTED: u8 = 3;

const LEVEL: i32 = 6;
/// For short texts, for which every byte matters and time does not.
const LEVEL_BATCH: i32 = 9;
const WINDOW_BITS: u8 = 15;
/// Number of texts from which on codes of their own are worthwhile.
const BATCH_MIN: usize = 8;
/// Below this many bytes deflate without a dictionary has never gained anything.
const PLAIN_MIN: usize = 24;

/// Content that sections of an entry share, so that each compresses well and opens without the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dictionary<'a> {
    /// The beginning of the streams of algorithm 3; may be empty.
    start: &'a [u8],
    /// The text that streams may refer back to.
    window: &'a [u8],
}

impl<'a> Dictionary<'a> {
    /// Makes a dictionary that only has a window.
    pub const fn of_window(window: &'a [u8]) -> Self {
        Self { start: &[], window }
    }

    /// Returns the plaintext of its section: `length varint of the start | start | window`.
    pub fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.start.len() + self.window.len() + 2);
        out.prefixed(self.start);
        out.raw(self.window);
        out
    }

    /// Reads the plaintext of a dictionary's section.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let start = reader.bytes(START_BYTES_MAX, "length of the start")?;
        Ok(Self { start, window: reader.take_rest() })
    }
}

/// Reason why bytes could not be decompressed. The author's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// The frame around the compressed bytes is malformed, or names an unknown algorithm.
    #[error(transparent)]
    Frame(#[from] CodecError),
    /// The bytes were compressed against a dictionary and none was given.
    #[error("the compressed bytes need a dictionary")]
    DictionaryMissing,
    /// The compressed bytes are malformed, or are not of the stated length.
    #[error("the compressed bytes are damaged")]
    Damaged,
}

/// Compresses and decompresses. Keeps its working memory (about 300 KiB, on first use) from one call to the next.
#[derive(Default)]
pub struct Codec {
    deflate: Option<Deflate>,
    deflate_fixed: Option<Deflate>,
    inflate: Option<Inflate>,
}

impl Codec {
    /// Makes a codec that has not allocated yet.
    pub const fn new() -> Self {
        Self { deflate: None, deflate_fixed: None, inflate: None }
    }

    /// Compresses `plain`, or stores it if that is not longer. See [`Self::compress_into`].
    pub fn compress(&mut self, plain: &[u8], window: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        self.compress_into(&mut out, plain, window);
        out
    }

    /// Appends the compressed form of `plain` to `out`: `algorithm u8 | plain length varint | data`.
    ///
    /// Only the last [`DICTIONARY_BYTES_MAX`] bytes of a window have an effect. Each call reads the window again,
    /// at about 1 us per KiB; 4 KiB of similar records give most of the gain.
    pub fn compress_into(&mut self, out: &mut Vec<u8>, plain: &[u8], window: Option<&[u8]>) {
        let window = window.filter(|window| !window.is_empty());
        if plain.len() >= PLAIN_MIN || (window.is_some() && !plain.is_empty()) {
            let start = out.len();
            out.byte(if window.is_some() { DEFLATE_DICTIONARY } else { DEFLATE });
            out.varint(plain.len() as u64);
            let data = out.len();
            out.resize(data + deflated_max(plain.len()), 0);
            if let Some(len) = deflate(&mut self.deflate, dynamic, &mut out[data..], plain, window)
                && len < plain.len()
            {
                out.truncate(data + len);
                return;
            }
            out.truncate(start);
        }
        store(out, plain);
    }

    /// Compresses texts that must each open alone, by their common content: the window, which they may refer to,
    /// and codes that suit all of them. Returns the dictionary's plaintext, and each text's compressed form.
    pub fn compress_batch(&mut self, texts: &[&[u8]], window: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let started = if texts.len() < BATCH_MIN { None } else { self.deflate_batch(texts, window) };
        let Some((start, streams)) = started else {
            let each = texts.iter().map(|text| self.compress(text, Some(window))).collect();
            return (Dictionary::of_window(window).encode(), each);
        };
        let frame = |(text, stream): (&&[u8], Vec<u8>)| {
            let mut out = Vec::with_capacity(stream.len() + 4);
            if stream.len() < text.len() {
                out.byte(DEFLATE_STARTED);
                out.varint(text.len() as u64);
                out.raw(&stream);
            } else {
                store(&mut out, text);
            }
            out
        };
        let each = texts.iter().zip(streams).map(frame).collect();
        (Dictionary { start: &start, window }.encode(), each)
    }

    /// Deflates a batch of texts. `None` only if the library fails.
    fn deflate_batch(&mut self, texts: &[&[u8]], window: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
        let window = Some(window).filter(|window| !window.is_empty());
        let mut batch = Batch::default();
        let mut room = Vec::new();
        for text in texts {
            room.resize(deflated_max(text.len()), 0);
            let len = deflate(&mut self.deflate_fixed, fixed, &mut room, text, window)?;
            batch.push(&room[..len])?;
        }
        Some(batch.finish())
    }

    /// Decompresses a form made by [`Self::compress`] or [`Self::compress_batch`], if it is at most `plain_max`
    /// bytes.
    pub fn decompress(
        &mut self,
        bytes: &[u8],
        dictionary: Option<Dictionary<'_>>,
        plain_max: usize,
    ) -> Result<Vec<u8>, DecompressError> {
        let mut reader = Reader::new(bytes);
        let algorithm = reader.u8()?;
        let len = reader.count(plain_max, "plain length")?;
        let data = reader.take_rest();
        let given = || dictionary.ok_or(DecompressError::DictionaryMissing);
        let plain = match algorithm {
            STORED if data.len() == len => return Ok(data.to_vec()),
            STORED => return Err(DecompressError::Damaged),
            DEFLATE => self.inflate(data, len, None),
            DEFLATE_DICTIONARY => self.inflate(data, len, Some(given()?.window)),
            DEFLATE_STARTED => {
                let Dictionary { start, window } = given()?;
                self.inflate(&[start, data].concat(), len, Some(window))
            }
            _ => return Err(CodecError::OutOfRange("compression algorithm").into()),
        };
        plain.ok_or(DecompressError::Damaged)
    }

    /// Inflates exactly `len` bytes from exactly all of `data`.
    fn inflate(&mut self, data: &[u8], len: usize, window: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut inflate = self.inflate.take().unwrap_or_else(|| Inflate::new(false, WINDOW_BITS));
        inflate.reset(false);
        if let Some(window) = window {
            inflate.set_dictionary(tail(window)).ok()?;
        }
        let mut plain = vec![0; len];
        let ended = matches!(inflate.decompress(data, &mut plain, InflateFlush::Finish), Ok(Status::StreamEnd));
        if !ended || inflate.total_out() != len as u64 || inflate.total_in() != data.len() as u64 {
            return None;
        }
        self.inflate = Some(inflate);
        Some(plain)
    }
}

/// Deflates into `out`, which has room for any outcome. `None` only if the library fails.
fn deflate(
    kept: &mut Option<Deflate>,
    new: fn() -> Deflate,
    out: &mut [u8],
    plain: &[u8],
    window: Option<&[u8]>,
) -> Option<usize> {
    // The state is kept only after a finished stream: a reset does not undo an unfinished one (ADR 0002).
    let mut deflate = kept.take().unwrap_or_else(new);
    deflate.reset();
    if let Some(window) = window {
        deflate.set_dictionary(tail(window)).ok()?;
    }
    if !matches!(deflate.compress(plain, out, DeflateFlush::Finish), Ok(Status::StreamEnd)) {
        return None;
    }
    let len = usize::try_from(deflate.total_out()).ok()?;
    *kept = Some(deflate);
    Some(len)
}

/// Makes a compressor with codes for each stream.
fn dynamic() -> Deflate {
    Deflate::new(LEVEL, false, WINDOW_BITS)
}

/// Makes a compressor that keeps to the fixed codes.
fn fixed() -> Deflate {
    Deflate::new_with_config(DeflateConfig {
        level: LEVEL_BATCH,
        window_bits: -i32::from(WINDOW_BITS),
        strategy: zlib_rs::Strategy::Fixed,
        ..DeflateConfig::default()
    })
}

/// Appends the stored form.
fn store(out: &mut Vec<u8>, plain: &[u8]) {
    out.byte(STORED);
    out.prefixed(plain);
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codec")
    }
}

/// Returns an upper bound of the deflated length of `len` bytes: stored blocks of at least 1 KiB, each with 5 bytes
/// before it.
const fn deflated_max(len: usize) -> usize {
    len + len / 128 + 64
}

/// Returns the part of a dictionary that deflate can refer to.
fn tail(dictionary: &[u8]) -> &[u8] {
    &dictionary[dictionary.len().saturating_sub(DICTIONARY_BYTES_MAX)..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 256 * 1024;

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(b"abcd\"{}:,".to_vec()), 0..2000)
    }

    fn of(window: Option<&[u8]>) -> Option<Dictionary<'_>> {
        window.map(Dictionary::of_window)
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(plain in text(), dictionary in prop::option::of(text()), noise: Vec<u8>) {
            let mut codec = Codec::new();
            for plain in [plain, noise] {
                let bytes = codec.compress(&plain, dictionary.as_deref());
                prop_assert!(bytes.len() <= plain.len() + 4);
                prop_assert_eq!(codec.decompress(&bytes, of(dictionary.as_deref()), plain.len()), Ok(plain.clone()));
                if !plain.is_empty() {
                    prop_assert!(codec.decompress(&bytes, of(dictionary.as_deref()), plain.len() - 1).is_err());
                }
            }
        }

        #[test]
        fn texts_of_a_batch_come_back_each_alone(
            texts in prop::collection::vec(text(), 0..30),
            window in text(),
            noise: Vec<u8>,
            at: prop::sample::Index,
            bit in 0u8..8,
        ) {
            let mut codec = Codec::new();
            let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).chain([&noise[..]]).collect();
            let (dictionary, each) = codec.compress_batch(&texts, &window);
            prop_assert_eq!(each.len(), texts.len());
            let shared = Dictionary::decode(&dictionary).unwrap();
            prop_assert_eq!(shared.window, &window);
            prop_assert_eq!(shared.start.is_empty(), texts.len() < BATCH_MIN);
            prop_assert_eq!(shared.encode(), dictionary.clone());
            for (bytes, text) in each.iter().zip(&texts) {
                prop_assert!(bytes.len() <= text.len() + 4);
                prop_assert_eq!(codec.decompress(bytes, Some(shared), text.len()), Ok(text.to_vec()));
            }
            // With any dictionary, the output has the stated length or is refused.
            let mut changed = dictionary.clone();
            let at = at.index(changed.len());
            changed[at] ^= 1 << bit;
            for (bytes, text) in each.iter().zip(&texts) {
                let opened = Dictionary::decode(&changed).map(|changed| codec.decompress(bytes, Some(changed), MAX));
                if let Ok(Ok(plain)) = opened {
                    prop_assert_eq!(plain.len(), text.len());
                }
            }
        }

        #[test]
        fn garbage_is_refused_within_the_limit(algorithm in 0u8..5, len in 0u64..5000, data: Vec<u8>, dictionary in text()) {
            let mut bytes = vec![algorithm];
            bytes.varint(len);
            bytes.raw(&data);
            for dictionary in [None, Some(&dictionary[..]), Some(&[][..])] {
                if let Ok(plain) = Codec::new().decompress(&bytes, of(dictionary), 4000) {
                    prop_assert!(plain.len() as u64 == len && len <= 4000);
                }
            }
        }

        #[test]
        fn damaged_bytes_never_panic(plain in text(), dictionary in text(), at: prop::sample::Index, bit in 0u8..8, cut: prop::sample::Index) {
            let mut codec = Codec::new();
            let mut bytes = codec.compress(&plain, Some(&dictionary));
            let end = cut.index(bytes.len());
            prop_assert!(codec.decompress(&bytes[..end], of(Some(&dictionary)), MAX).is_err());
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            for _ in 0..2 {
                // A codec that has seen other bytes must judge like a new one: replicas must agree.
                let fresh = Codec::new().decompress(&bytes, of(Some(&dictionary)), MAX);
                prop_assert!(fresh.as_ref().map_or(0, Vec::len) <= MAX);
                prop_assert_eq!(codec.decompress(&bytes, of(Some(&dictionary)), MAX), fresh);
                bytes.push(0);
            }
        }
    }

    #[test]
    fn earlier_calls_leave_no_trace() {
        let mut used = Codec::new();
        let dictionary = b"{\"name\":\"\",\"count\":0}".repeat(3000);
        for at in 0..50u32 {
            let plain = format!("{{\"name\":\"row {at}\",\"count\":{at}}}").into_bytes();
            for dictionary in [None, Some(&dictionary[..])] {
                let bytes = used.compress(&plain, dictionary);
                assert_eq!(bytes, Codec::new().compress(&plain, dictionary));
                assert_eq!(used.decompress(&bytes, of(dictionary), MAX), Ok(plain.clone()));
            }
            assert!(used.decompress(&[DEFLATE, 9, 0xff, 0xff], None, MAX).is_err());
        }
    }

    #[test]
    fn no_dictionary_and_no_earlier_text_leaks_into_the_next_call() {
        let mut codec = Codec::new();
        let dictionary = b"{\"name\":\"a secret\"}".repeat(100);
        let mut bytes = codec.compress(&dictionary[..1000], Some(&dictionary));
        assert_eq!(bytes[0], DEFLATE_DICTIONARY);
        assert!(codec.decompress(&bytes, of(Some(&dictionary)), MAX).is_ok());
        assert_eq!(codec.decompress(&bytes, of(Some(b"")), MAX), Err(DecompressError::Damaged));
        assert!(codec.decompress(&bytes, of(Some(&dictionary)), MAX).is_ok());
        bytes[0] = DEFLATE;
        assert_eq!(codec.decompress(&bytes, None, MAX), Err(DecompressError::Damaged));
    }

    #[test]
    fn noise_is_stored_however_often_it_comes() {
        let mut codec = Codec::new();
        let mut noise = vec![0; 70_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        for (at, len) in (0..4000usize).map(|at| (at, 24 + at % 300)).chain([(0, 70_000), (0, 65_536), (1, 16_384)]) {
            let plain = &noise[at..at + len];
            let bytes = codec.compress(plain, Some(&noise[60_000..60_100]).filter(|_| at % 2 == 0));
            assert_eq!(bytes[0], STORED);
            assert_eq!(codec.decompress(&bytes, None, len), Ok(plain.to_vec()));
            assert!(codec.deflate.is_some(), "the stream of {len} bytes at {at} ended");
        }
    }

    #[test]
    fn a_record_shrinks_against_a_dictionary_of_its_field_names() {
        let mut codec = Codec::new();
        let dictionary = br#"{"zip":"","latitude":"","longitude":"","city":"","state":"","county":""}"#;
        let plain = br#"{"zip":"501","latitude":"40.9","longitude":"-72.6","city":"Holtsville","state":"NY","county":"Suffolk"}"#;
        let alone = codec.compress(plain, None);
        let against = codec.compress(plain, Some(dictionary));
        assert!(against.len() * 2 < plain.len() && against.len() < alone.len(), "{} {}", against.len(), alone.len());
        assert_eq!(codec.decompress(&against, None, MAX), Err(DecompressError::DictionaryMissing));
        assert!(codec.decompress(&against, of(Some(b"another")), MAX).is_err());
    }

    #[test]
    fn short_records_share_codes_and_the_longest_text_fits() {
        let mut codec = Codec::new();
        let record = |at: u64| format!("{{\"id\":\"{:016x}\",\"count\":{at}}}", at.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let records: Vec<String> = (1..500).map(record).collect();
        let texts: Vec<&[u8]> = records.iter().map(String::as_bytes).collect();
        let window = record(0);
        let (dictionary, each) = codec.compress_batch(&texts, window.as_bytes());
        let shared = dictionary.len() + each.iter().map(Vec::len).sum::<usize>();
        let alone: usize = texts.iter().map(|text| codec.compress(text, Some(window.as_bytes())).len()).sum();
        assert!(shared * 4 < alone * 3, "{shared} of {alone}");
        let mut long = vec![0; MAX];
        blake3::Hasher::new().finalize_xof().fill(&mut long);
        long[1000..200_000].fill(7);
        let texts = [&long[..]; BATCH_MIN];
        let (dictionary, each) = codec.compress_batch(&texts, b"");
        let shared = Dictionary::decode(&dictionary).unwrap();
        assert!(shared.start.len() <= START_BYTES_MAX && each[0][0] == DEFLATE_STARTED);
        assert_eq!(codec.decompress(&each[0], Some(shared), MAX), Ok(long));
        assert_eq!(codec.decompress(&each[0], None, MAX), Err(DecompressError::DictionaryMissing));
        let other = Dictionary::of_window(b"");
        assert_eq!(codec.decompress(&each[0], Some(other), MAX), Err(DecompressError::Damaged));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_inflated() {
        let mut codec = Codec::new();
        let bomb = codec.compress(&vec![0; 10 * MAX], None);
        assert!(bomb.len() < 4 * 1024);
        assert_eq!(
            codec.decompress(&bomb, None, MAX),
            Err(DecompressError::Frame(CodecError::OutOfRange("plain length")))
        );
        let mut lying = vec![DEFLATE, 100];
        lying.raw(&bomb[4..]);
        assert_eq!(codec.decompress(&lying, None, MAX), Err(DecompressError::Damaged));
    }

    #[test]
    fn a_codec_moves_between_threads() {
        const fn is_send<T: Send>() {}
        is_send::<Codec>();
    }
}
