//! Sums of floats that do not depend on the order: exact, rounded once.

/// A sum of floats as several that do not overlap (Shewchuk, "Adaptive Precision Floating-Point
/// Arithmetic", 1997). Only a sum beyond the largest float, in between, depends on the order.
#[derive(Clone, Debug, Default)]
pub(super) struct ExactSum {
    /// From small to large.
    parts: Vec<f64>,
    /// Infinities and what is not a number.
    special: f64,
}

impl ExactSum {
    pub(super) fn add(&mut self, mut float: f64) {
        if !float.is_finite() {
            self.special += float;
            return;
        }
        let mut kept = 0;
        for place in 0..self.parts.len() {
            let Some(part) = self.parts.get(place).copied() else {
                break;
            };
            let sum = float + part;
            if !sum.is_finite() {
                self.special += sum;
                return;
            }
            let (large, small) = match float.abs() < part.abs() {
                true => (part, float),
                false => (float, part),
            };
            let rest = small - (sum - large);
            if rest != 0.0
                && let Some(place) = self.parts.get_mut(kept)
            {
                *place = rest;
                kept += 1;
            }
            float = sum;
        }
        self.parts.truncate(kept);
        self.parts.push(float);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.parts.iter().for_each(|part| self.add(*part));
        self.special += other.special;
    }

    /// The float that is nearest, of two that are equally near the even one.
    pub(super) fn rounded(&self) -> f64 {
        if self.special != 0.0 {
            return self.special;
        }
        let mut parts = self.parts.iter().rev().copied();
        let mut sum = parts.next().unwrap_or_default();
        let mut rest = 0.0;
        for part in parts.by_ref() {
            let before = sum;
            sum = before + part;
            rest = part - (sum - before);
            if rest != 0.0 {
                break;
            }
        }
        // Halfway: what is smaller decides.
        if let Some(next) = parts.next()
            && ((rest < 0.0 && next < 0.0) || (rest > 0.0 && next > 0.0))
        {
            let twice = rest * 2.0;
            let other = sum + twice;
            if other - sum == twice {
                return other;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(floats: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        floats.iter().for_each(|float| sum.add(*float));
        sum.rounded()
    }

    #[test]
    fn sums_are_exact_whatever_the_order() {
        assert_eq!(sum(&[]), 0.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[1e100, 1.0, -1e100, 1e-300]), 1.0);
        assert_eq!(sum(&[0.1, 0.2]), 0.1 + 0.2);
        let mut floats: Vec<f64> = (1..400_i32)
            .map(|n| f64::from(n).sqrt() * 10_f64.powi(n % 60 - 30))
            .collect();
        floats.extend(floats.clone().iter().step_by(3).map(|float| -float * 0.7));
        // A prime number of them, so that every step comes to each.
        floats.truncate(523);
        let expected = sum(&floats);
        for step in [7, 11, 13, 29] {
            let count = floats.len();
            let mixed: Vec<f64> = (0..count).map(|at| floats[at * step % count]).collect();
            assert_eq!(sum(&mixed).to_bits(), expected.to_bits(), "{step} {count}");
            let (left, right) = mixed.split_at(count / step);
            let mut one = ExactSum::default();
            left.iter().for_each(|float| one.add(*float));
            let mut other = ExactSum::default();
            right.iter().for_each(|float| other.add(*float));
            one.merge(&other);
            assert_eq!(one.rounded().to_bits(), expected.to_bits());
        }
        // Halfway between two floats, and a little more.
        let half = 2_f64.powi(53);
        assert_eq!(sum(&[half, 1.0]), half);
        assert_eq!(sum(&[half, 1.0, 1e-30]), half + 2.0);
    }

    #[test]
    fn what_is_no_finite_number_stays_so() {
        assert_eq!(sum(&[1.0, f64::INFINITY, -5.0]), f64::INFINITY);
        assert_eq!(sum(&[f64::NEG_INFINITY, 1.0]), f64::NEG_INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(sum(&[f64::NAN, 1.0]).is_nan());
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[f64::MAX, -f64::MAX, 1.0]), 1.0);
    }
}
