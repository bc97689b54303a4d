//! Deflate streams that share their beginning.
//!
//! A short record costs much in deflate, mainly because it is too short for Huffman codes of its own. Therefore the
//! records of a batch get codes made for all of them. Each record is one block of a stream of its own, and all
//! streams begin with the same bytes, which are kept once. A reader joins the two parts and inflates as usual.
//!
//! The library finds the matches, with the fixed codes; this module only writes them with better codes.

/// Length of the longest accepted beginning, in bytes; a writer's are about a hundred.
pub(super) const START_BYTES_MAX: usize = 1024;

/// The symbol that ends a block.
const END: u16 = 256;
/// Number of symbols in each of the two alphabets of deflate.
const LITERALS: usize = 286;
const DISTANCES: usize = 30;
/// The order in which a block's head lists the lengths of the codes for code lengths.
const HEAD_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// One step of a deflate stream: a literal, or a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Literal(u8),
    /// The symbols of length and distance, each with its extra bits.
    Match {
        length: u16,
        length_extra: u16,
        distance: u16,
        distance_extra: u16,
    },
}

/// Records on their way through [`Batch::finish`].
#[derive(Debug, Default)]
pub(super) struct Batch {
    tokens: Vec<Token>,
    ends: Vec<usize>,
}

impl Batch {
    /// Adds a record that the library deflated with fixed codes. `None`, with nothing added, for any other stream.
    pub(super) fn push(&mut self, fixed: &[u8]) -> Option<()> {
        let start = self.tokens.len();
        let read = read_stream(&mut BitReader { bytes: fixed, at: 0 }, &mut self.tokens);
        if read.is_none() {
            self.tokens.truncate(start);
            return None;
        }
        self.ends.push(self.tokens.len());
        Some(())
    }

    /// Returns the beginning of all streams, and the rest of each.
    pub(super) fn finish(&self) -> (Vec<u8>, Vec<Vec<u8>>) {
        let (literals, distances) = self.codes();
        let mut head = BitWriter::default();
        write_head(&literals, &distances, &mut head);
        // A stream continues after the head's last whole byte: the bits behind it are repeated in each.
        let (start, rest) = head.split_whole();
        let mut from = 0;
        let streams = self.ends.iter().map(|end| {
            let tokens = &self.tokens[core::mem::replace(&mut from, *end)..*end];
            let mut out = rest.clone();
            tokens.iter().for_each(|token| token.write(&literals, &distances, &mut out));
            literals.write(END, &mut out);
            out.bytes
        });
        let streams = streams.collect();
        (start, streams)
    }

    /// Returns the codes that write all records in the fewest bits.
    fn codes(&self) -> (Code, Code) {
        let mut literals = [0u64; LITERALS];
        let mut distances = [0u64; DISTANCES];
        literals[END as usize] = self.ends.len() as u64;
        for token in &self.tokens {
            match *token {
                Token::Literal(byte) => literals[byte as usize] += 1,
                Token::Match { length, distance, .. } => {
                    literals[length as usize] += 1;
                    distances[distance as usize] += 1;
                }
            }
        }
        (Code::new(&literals, 15), Code::new(&distances, 15))
    }
}

impl Token {
    fn write(self, literals: &Code, distances: &Code, out: &mut BitWriter) {
        match self {
            Self::Literal(byte) => literals.write(byte.into(), out),
            Self::Match { length, length_extra, distance, distance_extra } => {
                literals.write(length, out);
                out.bits(length_extra.into(), length_extra_bits(length));
                distances.write(distance, out);
                out.bits(distance_extra.into(), distance_extra_bits(distance));
            }
        }
    }
}

/// Returns the number of extra bits after the symbol of a length.
const fn length_extra_bits(symbol: u16) -> u32 {
    match symbol {
        0..=264 | 285.. => 0,
        265..=284 => (symbol as u32 - 261) / 4,
    }
}

/// Returns the number of extra bits after the symbol of a distance.
const fn distance_extra_bits(symbol: u16) -> u32 {
    if symbol < 4 { 0 } else { symbol as u32 / 2 - 1 }
}

/// Reads a stream of stored blocks and blocks with fixed codes.
fn read_stream(reader: &mut BitReader<'_>, tokens: &mut Vec<Token>) -> Option<()> {
    loop {
        let is_last = reader.bits(1)? == 1;
        match reader.bits(2)? {
            0 => {
                reader.at = reader.at.next_multiple_of(8);
                let len = reader.bits(16)?;
                reader.bits(16)?;
                for _ in 0..len {
                    tokens.push(Token::Literal(reader.bits(8)? as u8));
                }
            }
            1 => read_fixed(reader, tokens)?,
            _ => return None,
        }
        if is_last {
            return Some(());
        }
    }
}

fn read_fixed(reader: &mut BitReader<'_>, tokens: &mut Vec<Token>) -> Option<()> {
    loop {
        let symbol = fixed_symbol(reader)?;
        if symbol < END {
            tokens.push(Token::Literal(symbol as u8));
            continue;
        }
        if symbol == END {
            return Some(());
        }
        let length_extra = reader.bits(length_extra_bits(symbol))? as u16;
        let distance = reader.code(5)?;
        if symbol as usize >= LITERALS || distance as usize >= DISTANCES {
            return None;
        }
        let distance_extra = reader.bits(distance_extra_bits(distance))? as u16;
        tokens.push(Token::Match { length: symbol, length_extra, distance, distance_extra });
    }
}

/// Reads a symbol in the fixed code (RFC 1951, 3.2.6).
fn fixed_symbol(reader: &mut BitReader<'_>) -> Option<u16> {
    let seven = reader.code(7)?;
    if seven < 0b001_1000 {
        return Some(END + seven);
    }
    let eight = seven << 1 | reader.code(1)?;
    match eight {
        0b0011_0000..=0b1011_1111 => Some(eight - 0b0011_0000),
        0b1100_0000..=0b1100_0111 => Some(280 + eight - 0b1100_0000),
        _ => Some(144 + (eight << 1 | reader.code(1)?) - 0b1_1001_0000),
    }
}

/// A canonical Huffman code.
#[derive(Debug)]
struct Code {
    lengths: Vec<u8>,
    codes: Vec<u16>,
}

impl Code {
    /// Makes the best code for symbols of these frequencies, with no code longer than `longest` bits.
    fn new(counts: &[u64], longest: u8) -> Self {
        let lengths = code_lengths(counts, longest);
        // RFC 1951, 3.2.2: codes of one length are consecutive, in the order of their symbols.
        let mut next = 0;
        let mut codes = vec![0; lengths.len()];
        for length in 1..=longest {
            for (code, _) in codes.iter_mut().zip(&lengths).filter(|(_, of)| **of == length) {
                *code = next;
                next += 1;
            }
            next <<= 1;
        }
        Self { lengths, codes }
    }

    fn write(&self, symbol: u16, out: &mut BitWriter) {
        let length = u32::from(self.lengths[symbol as usize]);
        debug_assert!(length > 0, "a symbol that was counted has a code");
        out.bits(u32::from(self.codes[symbol as usize].reverse_bits() >> (16 - length)), length);
    }

    /// Returns the number of symbols up to the last that has a code, and at least `least`.
    fn used(&self, least: usize) -> usize {
        self.lengths.iter().rposition(|length| *length > 0).map_or(0, |last| last + 1).max(least)
    }
}

/// Returns the lengths of a prefix code by package-merge. At least two symbols get one: some decoders refuse an
/// incomplete code.
fn code_lengths(counts: &[u64], longest: u8) -> Vec<u8> {
    let mut counts = counts.to_vec();
    let used = counts.iter().filter(|count| **count > 0).count();
    counts.iter_mut().filter(|count| **count == 0).take(2usize.saturating_sub(used)).for_each(|count| *count = 1);
    let mut coins: Vec<(u64, Vec<usize>)> =
        counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(at, count)| (*count, vec![at])).collect();
    coins.sort_by_key(|(weight, _)| *weight);
    let mut row = coins.clone();
    for _ in 1..longest {
        let pairs = row.chunks_exact(2).map(|pair| (pair[0].0 + pair[1].0, [&pair[0].1[..], &pair[1].1[..]].concat()));
        let mut merged: Vec<_> = coins.iter().cloned().chain(pairs).collect();
        merged.sort_by_key(|(weight, _)| *weight);
        row = merged;
    }
    let mut lengths = vec![0; counts.len()];
    for symbol in row.into_iter().take(2 * (coins.len() - 1)).flat_map(|(_, symbols)| symbols) {
        lengths[symbol] += 1;
    }
    lengths
}

/// Writes the head of the last block of a stream, one with codes of its own (RFC 1951, 3.2.7).
fn write_head(literals: &Code, distances: &Code, out: &mut BitWriter) {
    let (literals_used, distances_used) = (literals.used(257), distances.used(1));
    let lengths = [&literals.lengths[..literals_used], &distances.lengths[..distances_used]].concat();
    let runs = runs(&lengths);
    let mut counts = [0; 19];
    runs.iter().for_each(|run| counts[run.symbol as usize] += 1);
    let code = Code::new(&counts, 7);
    let listed = HEAD_ORDER.iter().rposition(|symbol| code.lengths[*symbol] > 0).map_or(4, |last| (last + 1).max(4));
    out.bits(0b101, 3);
    out.bits(literals_used as u32 - 257, 5);
    out.bits(distances_used as u32 - 1, 5);
    out.bits(listed as u32 - 4, 4);
    HEAD_ORDER[..listed].iter().for_each(|symbol| out.bits(code.lengths[*symbol].into(), 3));
    for run in runs {
        code.write(run.symbol, out);
        out.bits(run.extra, run.extra_bits);
    }
}

/// A run of code lengths, as a block's head encodes it.
struct Run {
    symbol: u16,
    extra: u32,
    extra_bits: u32,
}

fn runs(lengths: &[u8]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut rest = lengths;
    while let Some(&length) = rest.first() {
        let same = rest.iter().take_while(|other| **other == length).count();
        let (symbol, extra_bits, covers, least) = match (length, same) {
            (0, 11..) => (18, 7, same.min(138), 11),
            (0, 3..) => (17, 3, same, 3),
            // A length is written once, then repeated.
            (_, 4..) => (16, 2, (same - 1).min(6), 3),
            _ => (u16::from(length), 0, 1, 1),
        };
        let mut taken = covers;
        if symbol == 16 {
            runs.push(Run { symbol: length.into(), extra: 0, extra_bits: 0 });
            taken += 1;
        }
        runs.push(Run { symbol, extra: (covers - least) as u32, extra_bits });
        rest = &rest[taken..];
    }
    runs
}

struct BitReader<'a> {
    bytes: &'a [u8],
    /// Position, in bits.
    at: usize,
}

impl BitReader<'_> {
    /// Reads a number, the least bit first.
    fn bits(&mut self, count: u32) -> Option<u32> {
        let mut number = 0;
        for bit in 0..count {
            number |= u32::from(self.bytes.get(self.at / 8)? >> (self.at % 8) & 1) << bit;
            self.at += 1;
        }
        Some(number)
    }

    /// Reads a part of a Huffman code, the greatest bit first.
    fn code(&mut self, count: u32) -> Option<u16> {
        Some((self.bits(count)? as u16).reverse_bits() >> (16 - count))
    }
}

#[derive(Debug, Clone, Default)]
struct BitWriter {
    bytes: Vec<u8>,
    /// Number of bits of the last byte that are written; 0 if it is full, or if there is no byte.
    used: u32,
}

impl BitWriter {
    /// Writes a number of at most 16 bits, the least bit first.
    fn bits(&mut self, mut number: u32, mut count: u32) {
        while count > 0 {
            if self.used == 0 {
                self.bytes.push(0);
            }
            let taken = count.min(8 - self.used);
            let last = self.bytes.last_mut().expect("a byte was pushed");
            *last |= ((number & ((1 << taken) - 1)) << self.used) as u8;
            self.used = (self.used + taken) % 8;
            number >>= taken;
            count -= taken;
        }
    }

    /// Returns the full bytes, and a writer that continues with the bits behind them.
    fn split_whole(mut self) -> (Vec<u8>, Self) {
        let bytes = if self.used == 0 { Vec::new() } else { vec![self.bytes.pop().expect("it has bits")] };
        (self.bytes, Self { bytes, used: self.used })
    }
}
