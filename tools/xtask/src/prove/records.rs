//! Documents for measurements, the same in every run: one JSON object per line.

use super::node::create;
use crate::Failure;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;

/// Writes small documents, one per line: seven members, about 211 bytes.
pub(super) fn small_documents(path: &Path, count: u64) -> Result<(), Failure> {
    write(
        path,
        (0..count).map(|at| {
            let mixed = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            json!({
                "title": format!("Note {at} of {:x}", mixed >> 40),
                "author": format!("person-{}@example.org", mixed % 977),
                "tags": ["inbox", format!("t{}", mixed % 31)],
                "done": mixed.is_multiple_of(3),
                "rank": mixed % 10_000,
                "created": 1_700_000_000_000_u64 + at * 1_000,
                "body": format!("{mixed:016x} {:016x} and some words that say little", mixed.rotate_left(17)),
            })
        }),
    )
}

/// Writes realistic records of seven fields, about 212 bytes each: an id and random digits, a name, a time, a sum, two
/// of many tags, and a note.
pub(super) fn records(path: &Path, count: u64) -> Result<(), Failure> {
    let mut dice = Dice(7);
    write(path, (0..count).map(|_| record(&mut dice)))
}

fn record(dice: &mut Dice) -> Value {
    let name = format!("{} {}", dice.pick(FIRST_NAMES), dice.pick(LAST_NAMES));
    let note: Vec<&str> = (0..10 + dice.below(3)).map(|_| dice.pick(WORDS)).collect();
    let (minute, day) = (dice.below(24 * 60), dice.below(3 * 365));
    let (year, day) = (2022 + day / 365, day % 365);
    let at = format!("{year}-{:02}-{:02}T{:02}:{:02}", day / 31 + 1, day % 31 % 28 + 1, minute / 60, minute % 60);
    json!({
        "id": format!("{:012x}", dice.next() >> 16),
        "name": name,
        "phone": format!("+{} {} {}", 30 + dice.below(60), 100 + dice.below(900), 1_000_000 + dice.below(9_000_000)),
        "tags": [dice.pick(TAGS), dice.pick(TAGS)],
        "at": at,
        "sum": (99 + dice.below(200_000)) as f64 / 100.0,
        "note": note.join(" "),
    })
}

fn write(path: &Path, documents: impl Iterator<Item = Value>) -> Result<(), Failure> {
    let mut file = create(path)?;
    for document in documents {
        writeln!(file, "{document}")?;
    }
    Ok(file.flush()?)
}

/// A random generator (SplitMix64), the same on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<'a>(&mut self, words: &'a str) -> &'a str {
        let count = words.split(' ').count() as u64;
        words.split(' ').nth(self.below(count) as usize).unwrap_or_default()
    }
}

const FIRST_NAMES: &str = "Maria Anna Thomas Peter Sofia Lukas Elena Johan Clara David Emma Noah Olga Pavel Ingrid Marco Aisha \
    Yusuf Mei Hiroshi Lucia Carlos Fatima Omar Nadia Erik Astrid Paulo Beatriz Jonas Katrin Stefan Agnes \
    Viktor Zofia Tomasz Renata Bogdan Amira Samuel";

const LAST_NAMES: &str = "Schneider Rossi Novak Jensen Silva Kowalski Andersson Garcia Dubois Fischer Moreau Haddad Tanaka \
    Petrov Larsen Costa Weber Nowak Okafor Lindqvist Bianchi Santos Keller Ivanov Horvat Murphy Yilmaz \
    Nguyen Kaya Berg Vogel Marin Popescu Adeyemi Sato Romano Svoboda Martins Hansen Laurent Wagner \
    Eriksen Toth Farouk Castillo Brandt Jovanovic Almeida";

const TAGS: &str = "gift urgent fragile return loyal wholesale garden kitchen winter bicycle books lamps pickup express \
    late paid open disputed student export heavy sample new old";

const WORDS: &str = "the to of and a please in for is on with delivery order before customer box call at from not it two \
    after door paid by leave returned invoice was will be address new parcel office left ring first when \
    gift wrapped early late large small blue ask bell floor neighbour second again damaged replaced \
    evening morning friday monday second-hand copy receipt shop changed wants instead still missing sent \
    three refund half bicycle parts garden chair lamp books kitchen table winter coat size red green \
    exchanged asked about warranty card voucher used discount student agreed phone reached nobody home \
    try next week urgent fragile heavy lift needs signature company tax number attached old stock \
    discontinued similar offered accepted declined waiting supplier confirmed arrives march october";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_always_the_same_and_all_different() {
        let made = |seed| {
            let mut dice = Dice(seed);
            (0..1_000).map(|_| record(&mut dice).to_string()).collect::<Vec<_>>()
        };
        let records = made(7);
        assert_eq!(records, made(7));
        assert_ne!(records, made(8));
        let bytes: usize = records.iter().map(String::len).sum();
        assert!((205_000..225_000).contains(&bytes), "{bytes}");
        let mut sorted = records.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), records.len());
    }
}
