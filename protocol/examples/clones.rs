//! Runs the clone scenarios and prints the fate of every token, as one JSON object: the core of `prove clone`.

use cosmicsync_protocol::testkit::clones::{Outcome, copied, forked_at_the_start, resumed};
use serde_json::{Value, json};

/// Entries of the log that gets another history.
const ENTRIES: u32 = 10_000;

fn main() {
    let entries = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(ENTRIES);
    let stories = |copies_max, story: fn(usize, usize) -> Outcome| -> Vec<Outcome> {
        (1..=copies_max).flat_map(|copies| (0..=copies).map(move |first| story(copies, first))).collect()
    };
    let forks = [false, true].map(|hears_other| forked_at_the_start(entries, hears_other));
    let told = json!({
        "copied": sum(&stories(4, copied)),
        "resumed": sum(&stories(2, resumed)),
        "forked": sum(&forks),
    });
    #[expect(clippy::print_stdout, reason = "this is what the program is for")]
    {
        println!("{told}");
    }
}

fn sum(outcomes: &[Outcome]) -> Value {
    let all = |figure: fn(&Outcome) -> usize| outcomes.iter().map(figure).sum::<usize>();
    json!({
        "cases": outcomes.len(),
        "words": all(|outcome| outcome.words),
        "lost": all(|outcome| outcome.lost),
        "repeated": all(|outcome| outcome.repeated),
        "differing": all(|outcome| outcome.differing + outcome.roots),
        "forked": all(|outcome| outcome.forked),
        "unfound": outcomes.iter().filter(|outcome| outcome.forked == 0).count(),
    })
}
