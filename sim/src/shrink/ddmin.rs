//! Delta debugging over a list: removes the items that a failure does not need.
//!
//! After A. Zeller and R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2), 2002: chunks
//! are taken away, half of the list first, single items last, until no single item can go. It never reorders.

/// Returns the shortest sub-list found on which `fails` still holds, given that it holds on `items`. The result is
/// one-minimal, unless `fails` refuses everything from some point on, which is how a caller ends the search early.
pub(super) fn ddmin<T: Clone>(items: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut kept = items.to_vec();
    if kept.is_empty() || fails(&[]) {
        return Vec::new();
    }
    let mut chunks = 2;
    while kept.len() > 1 {
        match without_a_chunk(&kept, chunks, &mut fails) {
            Some(shorter) => {
                kept = shorter;
                chunks = (chunks - 1).max(2).min(kept.len());
            }
            None if chunks >= kept.len() => break,
            None => chunks = (chunks * 2).min(kept.len()),
        }
    }
    kept
}

fn without_a_chunk<T: Clone>(items: &[T], chunks: usize, fails: &mut impl FnMut(&[T]) -> bool) -> Option<Vec<T>> {
    let size = items.len().div_ceil(chunks);
    // The last chunk first: items after a failure are never needed.
    (0..items.len().div_ceil(size)).rev().find_map(|chunk| {
        let (from, to) = (chunk * size, ((chunk + 1) * size).min(items.len()));
        let rest = [&items[..from], &items[to..]].concat();
        fails(&rest).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_needed_stays() {
        let items: Vec<u32> = (0..100).collect();
        let mut tries = 0;
        let kept = ddmin(&items, |items| {
            tries += 1;
            items.contains(&3) && items.contains(&97)
        });
        assert_eq!(kept, [3, 97]);
        assert!(tries < 100, "{tries}");
        assert_eq!(ddmin(&items, |_| true), Vec::<u32>::new());
    }

    proptest! {
        #[test]
        fn no_single_item_of_the_result_can_go(needed in prop::collection::btree_set(0..60_u8, 1..6)) {
            let items: Vec<u8> = (0..60).collect();
            let kept = ddmin(&items, |items| needed.iter().all(|item| items.contains(item)));
            prop_assert_eq!(kept, needed.into_iter().collect::<Vec<_>>());
        }
    }
}
