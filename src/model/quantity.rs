//! Kubernetes quantities: exact amounts such as `1500m`, `1.5Gi` and `12e6`, and the thousandths
//! that the metrics API serves.
//!
//! Grammar, rounding and canonical text are those of apimachinery's pkg/api/resource: amounts are
//! multiples of 10⁻⁹, rounded away from zero, and those written with a binary suffix are capped at
//! ±(2⁶³−1). Where Kubernetes wraps around or loses digits, this does not: conversions to integers
//! saturate, amounts past `E` are written with zeros, and an amount that needs more than the 38
//! digits there is room for is an error.

mod milli;
mod parse;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

pub use crate::model::quantity::milli::{Milli, Rounding};

/// The longest quantity that is read, in bytes.
pub const MAX_LENGTH: usize = 1024;

/// The exponent of the smallest amount there is, 10⁻⁹.
const NANO: i32 = -9;

/// An exact amount. Equality and order are those of the amount; the format is but for printing.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    /// Not divisible by ten, or zero with a zero exponent: equal amounts have equal fields.
    mantissa: i128,
    /// A power of ten, `NANO` or greater.
    exponent: i32,
    format: Format,
}

/// How a quantity was written, and is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `1536Mi`
    BinarySI,
    /// `12e6`
    DecimalExponent,
    /// `12M`
    DecimalSI,
}

/// Why a text is no quantity; the first two in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number with a suffix.
    #[error(
        "quantities must match the regular expression \
         '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    /// What follows the number is no suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
    /// It cannot be held exactly.
    #[error("quantity has more than 38 digits or too great an exponent")]
    Range,
    /// Longer than [`MAX_LENGTH`].
    #[error("quantity is longer than {MAX_LENGTH} bytes")]
    TooLong,
}

impl Quantity {
    /// Reads a quantity. As in Kubernetes a sign, dot or suffix without digits is zero.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        parse::quantity(text)
    }

    /// Thousandths, to be printed in a format.
    pub fn from_milli(Milli(thousandths): Milli, format: Format) -> Self {
        let zero = Self { mantissa: 0, exponent: 0, format };
        Self::new(thousandths.into(), -3, format).unwrap_or(zero)
    }

    /// How it was written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Thousandths, rounded away from zero; saturates where Kubernetes' `MilliValue` wraps around.
    pub fn milli_value(&self) -> i64 {
        const MILLI: i32 = -3;
        let limit = if self.mantissa < 0 { i64::MIN } else { i64::MAX };
        let thousandths = match u32::try_from(MILLI.saturating_sub(self.exponent)) {
            Ok(surplus) => {
                let divisor = 10_i128.pow(surplus);
                let inexact = self.mantissa % divisor != 0;
                Some(self.mantissa / divisor + i128::from(inexact) * self.mantissa.signum())
            }
            Err(_) => self.at(MILLI),
        };
        thousandths.and_then(|value| value.try_into().ok()).unwrap_or(limit)
    }

    /// The nearest floating-point number; infinite past its range.
    pub fn as_f64(&self) -> f64 {
        format!("{}e{}", self.mantissa, self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// The sum, in the format of `self` unless that is zero; `None` where it cannot be held.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.combined(other, i128::checked_add)
    }

    /// The difference, in the format of `self` unless that is zero; `None` where it cannot be held.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.combined(other, i128::checked_sub)
    }

    /// Whether this is more than `times` of `other`, exactly.
    pub fn is_over(&self, times: &Self, other: &Self) -> bool {
        let product = times.mantissa.checked_mul(other.mantissa);
        let exponent = times.exponent.checked_add(other.exponent);
        let product = product.zip(exponent).and_then(|(mantissa, exponent)| {
            let mut product = Self { mantissa, exponent, format: self.format };
            // Below the smallest exponent digits are only taken for the comparison.
            let surplus = NANO.saturating_sub(exponent).max(0);
            product.exponent = product.exponent.checked_add(surplus)?;
            let scaled = Self { exponent: self.exponent.checked_add(surplus)?, ..*self };
            Some(scaled > product)
        });
        product.unwrap_or_else(|| self.as_f64() > times.as_f64() * other.as_f64())
    }

    fn combined(self, other: Self, operation: fn(i128, i128) -> Option<i128>) -> Option<Self> {
        let exponent = self.exponent.min(other.exponent);
        let mantissa = operation(self.at(exponent)?, other.at(exponent)?)?;
        let format = if self.mantissa == 0 { other.format } else { self.format };
        Self::new(mantissa, exponent.into(), format)
    }

    /// `None` where the exponent is out of range.
    fn new(mut mantissa: i128, mut exponent: i64, format: Format) -> Option<Self> {
        if mantissa == 0 {
            return Some(Self { mantissa, exponent: 0, format });
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        Some(Self { mantissa, exponent: exponent.try_into().ok()?, format })
    }

    /// The mantissa for a lesser exponent; `None` where it does not fit.
    fn at(&self, exponent: i32) -> Option<i128> {
        let zeros = u32::try_from(i64::from(self.exponent) - i64::from(exponent)).ok()?;
        self.mantissa.checked_mul(10_i128.checked_pow(zeros)?)
    }

    /// The greatest power of 1024 that divides it, and how often; `None` where the binary format
    /// cannot hold it exactly, or is not used because the amount is below 1024.
    fn binary(&self) -> Option<(i128, usize)> {
        let mut amount = self.at(0)?;
        if !(1024..=i128::from(i64::MAX)).contains(&amount.abs()) {
            return None;
        }
        let mut power = 0;
        while amount % 1024 == 0 {
            amount /= 1024;
            power += 1;
        }
        Some((amount, power))
    }
}

/// The canonical text: no fraction, and the greatest suffix that allows for that.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.format == Format::BinarySI
            && let Some((amount, power)) = self.binary()
        {
            let suffix = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].get(power).unwrap_or(&"");
            return write!(f, "{amount}{suffix}");
        }
        let exponential = self.format == Format::DecimalExponent;
        let thousands = self.exponent.div_euclid(3);
        let thousands = if exponential { thousands } else { thousands.min(6) };
        write!(f, "{}", self.mantissa)?;
        for _ in thousands * 3..self.exponent {
            f.write_str("0")?;
        }
        if exponential && thousands != 0 {
            return write!(f, "e{}", thousands * 3);
        }
        let suffixes = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
        f.write_str(usize::try_from(thousands + 3).map_or("", |index| suffixes[index]))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        (self.mantissa, self.exponent) == (other.mantissa, other.exponent)
    }
}

impl Eq for Quantity {}

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.mantissa, self.exponent).hash(state);
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        let exponent = self.exponent.min(other.exponent);
        match (self.at(exponent), other.at(exponent)) {
            (Some(mine), Some(theirs)) => mine.cmp(&theirs),
            // One of both does not fit at the exponent of the other, so it is the greater in size.
            (None, _) => self.mantissa.cmp(&0),
            (_, None) => 0.cmp(&other.mantissa),
        }
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
