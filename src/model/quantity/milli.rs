//! Thousandths, as the metrics API serves values.

use std::fmt;

/// A value in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Milli(pub i64);

/// What becomes of the digits past the thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// They go up in size, as Kubernetes rounds quantities: no load is ever served as none.
    AwayFromZero,
    /// They are cut off, as prometheus-adapter does it: `int64(value * 1000)`.
    TowardZero,
}

impl Milli {
    /// 9223372036854775: HPAs read a quantity as an int64 of thousandths, which wraps around from
    /// the next whole number on.
    pub const MAX: Self = Self(i64::MAX / 1000 * 1000);
    /// The negative of [`Milli::MAX`].
    pub const MIN: Self = Self(-Self::MAX.0);

    /// The thousandths of a sample; `None` for NaN, infinities and what lies beyond [`Milli::MIN`]
    /// and [`Milli::MAX`], all of which are missing data: an HPA holds still without a value, and
    /// would scale to the end on a number that has been bent.
    ///
    /// Away from zero, a whole number and one that reads as a decimal with three places are served
    /// as they read: 0.035 is 35 thousandths, although the binary number is a little more. Toward
    /// zero, it is prometheus-adapter's product of two floating-point numbers with its errors.
    pub fn from_f64(value: f64, rounding: Rounding) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let scaled = value * 1000.0;
        let nearest = scaled.round();
        let thousandths = match rounding {
            Rounding::TowardZero => truncated(scaled),
            Rounding::AwayFromZero if value.fract() == 0.0 => truncated(value).saturating_mul(1000),
            #[expect(clippy::float_cmp, reason = "asks for the very number that was written")]
            Rounding::AwayFromZero if nearest / 1000.0 == value => truncated(nearest),
            Rounding::AwayFromZero => truncated(scaled.abs().ceil().copysign(scaled)),
        };
        let number = Self(thousandths);
        (Self::MIN <= number && number <= Self::MAX).then_some(number)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "cuts off the fraction and saturates")]
fn truncated(value: f64) -> i64 {
    value as i64
}

/// The canonical decimal text of a quantity: `1500m`, `7`, `12k`.
impl fmt::Display for Milli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut suffixes = ["m", "", "k", "M", "G", "T", "P"].into_iter();
        let mut suffix = suffixes.next().unwrap_or_default();
        let mut amount = self.0;
        if amount == 0 {
            return f.write_str("0");
        }
        while amount % 1000 == 0 {
            amount /= 1000;
            suffix = suffixes.next().unwrap_or_default();
        }
        write!(f, "{amount}{suffix}")
    }
}
