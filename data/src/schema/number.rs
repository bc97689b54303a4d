//! Multiples of decimal numbers, exact in their decimal form (`multipleOf`).

use cosmicsync_protocol::crdt::Value;

/// A number as `digits * 10^exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Decimal {
    digits: u128,
    exponent: i32,
}

/// Returns whether a number is an integer multiple of another in decimal form: 19.99 is a multiple of 0.01, although it
/// is not one in binary.
pub(super) fn is_multiple(number: &Value, divisor: &Value) -> bool {
    let (Some(number), Some(divisor)) = (decimal(number), decimal(divisor)) else { return false };
    if number.digits == 0 || divisor.digits == 0 {
        return number.digits == 0;
    }
    let scale = number.exponent - divisor.exponent;
    if scale >= 0 {
        // digits * 10^scale, modulo the divisor's digits.
        let of = divisor.digits;
        let power = (0..scale).fold(1 % of, |power, _| power * 10 % of);
        return number.digits % of * power % of == 0;
    }
    // A number below the divisor is a multiple of it only if the number is 0.
    let divisor = 10_u128.checked_pow(scale.unsigned_abs()).and_then(|power| divisor.digits.checked_mul(power));
    divisor.is_some_and(|divisor| number.digits.is_multiple_of(divisor))
}

/// Parses the shortest decimal form, without the sign. It has at most 20 digits, so products of two fit.
fn decimal(value: &Value) -> Option<Decimal> {
    if let Value::Int(number) = value {
        return Some(Decimal { digits: number.unsigned_abs().into(), exponent: 0 });
    }
    let Value::Float(number) = value else { return None };
    let number = number.abs();
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e')?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let exponent: i32 = exponent.parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    Some(Decimal { digits: format!("{whole}{fraction}").parse().ok()?, exponent: exponent - places })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_are_those_of_the_written_numbers() {
        let is = |number: f64, divisor: f64| is_multiple(&Value::Float(number), &Value::Float(divisor));
        assert!(is(19.99, 0.01) && is(0.3, 0.1) && is(-4.5, 1.5) && is(0.0, 0.7) && is(1e300, 0.5));
        assert!(!is(19.995, 0.01) && !is(0.35, 0.1) && !is(1e-300, 1.0) && !is(7.0, 2.0));
        let whole = |number: i64, divisor: f64| is_multiple(&Value::Int(number), &Value::Float(divisor));
        assert!(whole(i64::MIN, 2.0) && whole(9, 0.3) && whole(i64::MAX, 0.1) && !whole(10, 0.3));
    }
}
