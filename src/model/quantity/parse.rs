//! The grammar of quantities, read as apimachinery's `parseQuantityString` and `ParseQuantity`
//! read it, on decimal digits instead of big numbers.

use crate::model::quantity::{Format, MAX_LENGTH, NANO, Quantity, QuantityError};

/// The greatest amount that can be written with a binary suffix.
const BINARY_CAP: Quantity =
    Quantity { mantissa: (1 << 63) - 1, exponent: 0, format: Format::BinarySI };
const ONE: Quantity = Quantity { mantissa: 1, exponent: 0, format: Format::DecimalSI };

pub(super) fn quantity(text: &str) -> Result<Quantity, QuantityError> {
    if text.len() > MAX_LENGTH {
        return Err(QuantityError::TooLong);
    }
    if text.is_empty() {
        return Err(QuantityError::Format);
    }
    let (negative, rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let (whole, rest) = split_digits(rest);
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => split_digits(rest),
        None => ("", rest),
    };
    let suffix = Suffix::parse(suffix)?;
    let mut digits = Digits::new(whole, fraction);
    digits.multiply(suffix.factor);
    let amount = digits.round(suffix.exponent, suffix.format);
    let amount = match (suffix.format, amount) {
        (Format::BinarySI, None) => BINARY_CAP,
        (Format::BinarySI, Some(amount)) if amount.mantissa != 0 && amount < ONE => {
            Quantity { format: Format::DecimalSI, ..amount }
        }
        (Format::BinarySI, Some(amount)) => amount.min(BINARY_CAP),
        (_, amount) => amount.ok_or(QuantityError::Range)?,
    };
    Ok(if negative { Quantity { mantissa: -amount.mantissa, ..amount } } else { amount })
}

/// What a suffix stands for: `factor` · 10^`exponent`.
struct Suffix {
    factor: u64,
    exponent: i64,
    format: Format,
}

impl Suffix {
    fn parse(text: &str) -> Result<Self, QuantityError> {
        let letters = text.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
        let digits = letters.strip_prefix(['-', '+']).unwrap_or(letters);
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(QuantityError::Format);
        }
        let decimal = |exponent| Self { factor: 1, exponent, format: Format::DecimalSI };
        let binary = |bits| Self { factor: 1_u64 << bits, exponent: 0, format: Format::BinarySI };
        Ok(match text {
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "" => decimal(0),
            "k" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            "Ki" => binary(10),
            "Mi" => binary(20),
            "Gi" => binary(30),
            "Ti" => binary(40),
            "Pi" => binary(50),
            "Ei" => binary(60),
            _ => {
                let exponent = text.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
                let exponent = exponent.parse().map_err(|_| QuantityError::Suffix)?;
                Self { factor: 1, exponent, format: Format::DecimalExponent }
            }
        })
    }
}

/// A natural number in decimal digits, the least significant first, and how many of them are the
/// fraction.
struct Digits {
    digits: Vec<u8>,
    fraction: usize,
}

impl Digits {
    fn new(whole: &str, fraction: &str) -> Self {
        let digits = fraction.bytes().rev().chain(whole.bytes().rev());
        Self { digits: digits.map(|byte| byte - b'0').collect(), fraction: fraction.len() }
    }

    fn multiply(&mut self, factor: u64) {
        if factor == 1 {
            return;
        }
        let mut carry = 0;
        for digit in &mut self.digits {
            carry += u128::from(*digit) * u128::from(factor);
            *digit = low_digit(carry);
            carry /= 10;
        }
        while carry > 0 {
            self.digits.push(low_digit(carry));
            carry /= 10;
        }
    }

    /// The number times a power of ten, rounded up to whole nanos; `None` where it cannot be held.
    fn round(&self, exponent: i64, format: Format) -> Option<Quantity> {
        let fraction = i64::try_from(self.fraction).ok()?;
        let exponent = exponent.saturating_sub(fraction);
        let surplus = usize::try_from(i64::from(NANO).saturating_sub(exponent)).unwrap_or_default();
        let surplus = surplus.min(self.digits.len());
        let (dropped, kept) = self.digits.split_at(surplus);
        let up = dropped.iter().any(|digit| *digit != 0);
        // Zeros at the end go into the exponent, so that a long row of them fits.
        let zeros = if up { 0 } else { kept.iter().take_while(|digit| **digit == 0).count() };
        let mantissa = kept.iter().skip(zeros).rev().try_fold(0_i128, |mantissa, digit| {
            mantissa.checked_mul(10)?.checked_add(i128::from(*digit))
        })?;
        let mantissa = mantissa.checked_add(i128::from(up))?;
        let exponent = exponent.max(NANO.into()).checked_add(i64::try_from(zeros).ok()?)?;
        Quantity::new(mantissa, exponent, format)
    }
}

fn low_digit(number: u128) -> u8 {
    u8::try_from(number % 10).unwrap_or_default()
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}
