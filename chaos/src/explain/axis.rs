//! The time axis. It is not to scale: it is short where nothing happens.

use std::collections::BTreeMap;

/// Length from which an interval without events is marked as a break.
pub(crate) const BREAK_US: u64 = 2_000_000;

/// Vertical positions of moments.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Axis {
    places: Vec<(u64, f64)>,
}

impl Axis {
    /// Places moments from `top` downwards. Each comes with the space that it needs below it.
    pub(crate) fn new(moments: &BTreeMap<u64, f64>, top: f64) -> Self {
        let mut places: Vec<(u64, f64)> = Vec::new();
        let (mut y, mut needed) = (top, 0.0_f64);
        for (at_us, room) in moments {
            if let Some((before_us, _)) = places.last() {
                // A moment that needs space may share that of later moments that need none.
                let step = step(at_us - before_us);
                y += if *room > 0.0 { step.max(needed) } else { step };
                needed = if *room > 0.0 { *room } else { (needed - step).max(0.0) };
            } else {
                needed = *room;
            }
            places.push((*at_us, y));
        }
        Self { places }
    }

    /// Returns the position of a moment.
    pub(crate) fn y(&self, at_us: u64) -> f64 {
        let after = self.places.partition_point(|(place, _)| *place < at_us);
        let (before, next) = (after.checked_sub(1).and_then(|at| self.places.get(at)), self.places.get(after));
        match (before, next) {
            (_, Some((place, y))) if *place == at_us => *y,
            (Some((from, top)), Some((to, bottom))) => {
                top + (bottom - top) * (at_us - from) as f64 / (to - from).max(1) as f64
            }
            (Some((_, y)), None) | (None, Some((_, y))) => *y,
            (None, None) => 0.0,
        }
    }

    /// Returns the moments and their positions.
    pub(crate) fn places(&self) -> &[(u64, f64)] {
        &self.places
    }

    /// Returns the position of the last moment.
    pub(crate) fn bottom(&self) -> f64 {
        self.places.last().map_or(0.0, |(_, y)| *y)
    }

    /// Returns the beginnings and ends of long intervals without events.
    pub(crate) fn breaks(&self) -> impl Iterator<Item = ((u64, f64), (u64, f64))> {
        let pairs = self.places.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)));
        pairs.filter(|((from, _), (to, _))| to - from >= BREAK_US)
    }
}

const fn step(gap_us: u64) -> f64 {
    match gap_us {
        0..1_000 => 6.0,
        1_000..10_000 => 8.0,
        10_000..100_000 => 11.0,
        100_000..1_000_000 => 16.0,
        1_000_000..BREAK_US => 22.0,
        BREAK_US.. => 32.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_go_down_in_order_and_have_the_room_they_need() {
        let moments = BTreeMap::from([(0, 0.0), (500, 60.0), (600, 0.0), (700, 20.0), (9_000_000, 0.0)]);
        let axis = Axis::new(&moments, 10.0);
        assert_eq!(axis.y(0), 10.0);
        assert_eq!(axis.y(500), 16.0);
        assert_eq!(axis.y(550), 19.0);
        assert!(axis.y(700) - axis.y(500) >= 60.0, "{axis:?}");
        assert_eq!(axis.breaks().count(), 1);
        assert_eq!(axis.bottom(), axis.y(u64::MAX));
    }
}
