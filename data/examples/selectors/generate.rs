//! Generates documents and selectors from few letters, so that they often match.

use cosmicsync_data::Value;
use cosmicsync_data::query::{Path, parse};

/// Pseudo-random numbers from a seed (SplitMix64).
pub(crate) struct Random(u64);

const PATHS: [&str; 12] = ["a", "b", "c", "a.b", "a.c", "b.a", "a.0", "a.1", "a.b.c", "a.0.b", "a.b.0", "b.a.b"];
const TEXTS: [&str; 12] = ["", "a", "b", "ab", "abc", "ba", "B", "a\nb", "é", "\u{ff5e}", "😀", "3"];
const PATTERNS: [&str; 14] =
    ["a", "^a", "b$", "^ab?", "[ab]c", "^(a|b)+$", "^$", "a.b", r"\d", r"^\w+$", "^.$", "É", "^b", "x*"];
const TYPES: [&str; 8] = ["null", "boolean", "bool", "number", "int", "string", "array", "object"];
/// Operators that stand alone, no operator (""), and `$not`.
const TESTS: [&str; 17] = {
    let (mut tests, mut at) = ([""; 17], 1);
    while at < 16 {
        tests[at] = parse::TESTS[at - 1];
        at += 1;
    }
    tests[16] = "$not";
    tests
};
/// Selectors and pairs that this project refuses, named by the operator or the mistake. mingo accepts some of them.
pub(crate) const REFUSED: [&str; 7] =
    ["$where", "$expr", "$jsonSchema", "look-around", "backreference", "order list", "order map"];

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("less than a usize")
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Returns any object.
    pub(crate) fn document(&mut self) -> Value {
        let mut members = vec!["a", "b", "c"];
        members.retain(|_| self.chance(75));
        members.into_iter().map(|name| (name, self.value(3))).collect()
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 6 } else { 10 }) {
            0..6 => self.scalar(),
            6 | 7 => Value::List((0..self.below(4)).map(|_| self.item(depth - 1)).collect()),
            _ => self.map(depth - 1),
        }
    }

    /// Returns an item of a list: more often a map than elsewhere, and seldom a list.
    fn item(&mut self, depth: usize) -> Value {
        match self.below(10) {
            0..5 => self.scalar(),
            5..9 => self.map(depth),
            _ => self.value(depth),
        }
    }

    fn map(&mut self, depth: usize) -> Value {
        let names = ["a", "b", "c"];
        (0..self.below(3)).map(|_| (self.pick(&names), self.value(depth))).collect()
    }

    fn scalar(&mut self) -> Value {
        match self.below(20) {
            0 | 1 => Value::Null,
            2 | 3 => Value::Bool(self.chance(50)),
            4..11 => Value::Int(self.pick(&[0, 1, 2, 3, 4, -4, 7])),
            11 | 12 => Value::Float(self.pick(&[1.5, 2.0, -0.0, 4.0, 1e300, 9_007_199_254_740_992.0])),
            13 => Value::Int(self.pick(&[9_007_199_254_740_993, 9_007_199_254_740_992, i64::MAX, i64::MIN])),
            _ => Value::from(self.pick(&TEXTS)),
        }
    }

    /// Returns any selector, often one that matches.
    pub(crate) fn selector(&mut self, doc: &Value, depth: usize) -> Value {
        if self.chance(1) {
            return self.refused();
        }
        if depth > 0 && self.chance(15) {
            let name = self.pick(&["$and", "$or", "$nor"]);
            let parts = (0..self.below(4)).map(|_| self.selector(doc, depth - 1)).collect();
            return Value::from_iter([(name, Value::List(parts))]);
        }
        let count = if self.chance(80) { 1 } else { 2 };
        let fields = (0..count).map(|_| {
            let path = self.pick(&PATHS);
            let around = Path::parse(path).expect("a path").reach(doc);
            let near: Vec<Value> = around.candidates().cloned().collect();
            (path, self.tests(&near, depth))
        });
        fields.collect()
    }

    /// Returns tests of a field: operators, or a plain value.
    fn tests(&mut self, near: &[Value], depth: usize) -> Value {
        match self.pick(&TESTS) {
            "" => self.operand(near),
            name => {
                let more = if self.chance(75) { None } else { Some(self.pick(&TESTS)).filter(|name| !name.is_empty()) };
                let names = [Some(name), more].into_iter().flatten();
                names.flat_map(|name| self.test(name, near, depth)).collect()
            }
        }
    }

    fn test(&mut self, name: &'static str, near: &[Value], depth: usize) -> Vec<(&'static str, Value)> {
        let operand = match name {
            "$gt" | "$gte" | "$lt" | "$lte" => self.near_scalar(near),
            "$in" | "$nin" | "$all" => self.operands(name, near, depth),
            "$exists" => Value::Bool(self.chance(50)),
            "$type" if self.chance(80) => Value::from(self.pick(&TYPES)),
            "$type" => Value::List((0..2).map(|_| Value::from(self.pick(&TYPES))).collect()),
            "$mod" => {
                Value::List(vec![Value::Int(self.pick(&[1, 2, 3, 4, -2])), Value::Int(self.pick(&[0, 0, 1, -1]))])
            }
            "$size" => Value::Int(self.pick(&[0, 1, 2, 3])),
            "$elemMatch" => self.elem(near, depth),
            "$regex" => {
                let options = Value::from(self.pick(&["", "", "i", "m", "s", "im"]));
                return vec![(name, Value::from(self.pick(&PATTERNS))), ("$options", options)];
            }
            "$not" => loop {
                let name = self.pick(&TESTS);
                if !name.is_empty() && (name != "$not" || depth > 0) {
                    break self.test(name, near, depth.saturating_sub(1)).into_iter().collect();
                }
            },
            _ => self.operand(near),
        };
        vec![(name, operand)]
    }

    fn operand(&mut self, near: &[Value]) -> Value {
        if near.is_empty() || self.chance(50) { self.value(2) } else { near[self.below(near.len())].clone() }
    }

    fn near_scalar(&mut self, near: &[Value]) -> Value {
        let scalars: Vec<&Value> = near.iter().filter(|value| !value.is_container()).collect();
        if scalars.is_empty() || self.chance(50) { self.scalar() } else { (*self.pick(&scalars)).clone() }
    }

    fn operands(&mut self, name: &str, near: &[Value], depth: usize) -> Value {
        let count = self.below(if name == "$all" { 3 } else { 4 });
        let operands = (0..count).map(|_| match name {
            "$all" if self.chance(20) => Value::from_iter([("$elemMatch", self.elem(near, depth))]),
            _ => self.operand(near),
        });
        Value::List(operands.collect())
    }

    /// Returns an operand of `$elemMatch`: tests, or a selector.
    fn elem(&mut self, near: &[Value], depth: usize) -> Value {
        let items: Vec<&Value> = near.iter().filter_map(Value::as_list).flatten().collect();
        let item = if items.is_empty() { Value::Null } else { (*self.pick(&items)).clone() };
        if depth == 0 || self.chance(50) {
            let name = self.pick(&TESTS[1..14]);
            return self.test(name, core::slice::from_ref(&item), 0).into_iter().collect();
        }
        let mut selector = self.selector(&item, depth - 1);
        if let Value::Map(entries) = &mut selector {
            // A refused operator would make the whole selector an error.
            entries.retain(|name, _| !["$where", "$expr", "$jsonSchema"].contains(&name.as_str()));
        }
        selector
    }

    fn refused(&mut self) -> Value {
        let field = |tests: Value| Value::from_iter([("a", tests)]);
        let regex = |source: &str| field(Value::from_iter([("$regex", source)]));
        match self.pick(&REFUSED) {
            "look-around" => regex("(?=a)b"),
            "backreference" => regex(r"(a)\1"),
            "order list" => field(Value::from_iter([("$gt", Value::List(vec![Value::Int(1)]))])),
            "order map" => field(Value::from_iter([("$lt", Value::from_iter([("b", 1)]))])),
            name => Value::from_iter([(name, Value::Map(Default::default()))]),
        }
    }

    /// Returns two values, often similar.
    pub(crate) fn pair(&mut self) -> (Option<Value>, Option<Value>) {
        let a = self.value(3);
        let b = if self.chance(40) { self.alike(&a) } else { self.value(3) };
        (Some(a).filter(|_| !self.chance(2)), Some(b).filter(|_| !self.chance(2)))
    }

    /// Returns a value that differs in one place, or not at all.
    fn alike(&mut self, value: &Value) -> Value {
        if let Some(items) = value.as_list().filter(|items| !items.is_empty()) {
            let (place, mut items) = (self.below(items.len()), items.clone());
            items[place] = self.alike(&items[place]);
            return Value::List(items);
        }
        if let Some(entries) = value.as_map().filter(|entries| !entries.is_empty()) {
            let (place, mut entries) = (self.below(entries.len()), entries.clone());
            if let Some(entry) = entries.values_mut().nth(place) {
                *entry = self.alike(entry);
            }
            return Value::Map(entries);
        }
        if self.chance(30) { value.clone() } else { self.value(1) }
    }
}
