//! Sums of exponentials without overflow. `libm`, so that every platform gives the same bits.

/// Returns `ln(e^a + e^b)`.
pub(super) fn add_exp(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + libm::log1p(libm::exp(low - high)) }
}

/// Returns the logarithm of a mass, negative infinity for none.
pub(super) fn log_mass(mass: f64) -> f64 {
    if mass > 0.0 { libm::log(mass) } else { f64::NEG_INFINITY }
}

/// Returns `ln(Σ e^x / n + e^rest)` for the `n` given values.
#[expect(clippy::cast_precision_loss, reason = "a handful of values")]
pub(super) fn mean_exp_plus(values: &[f64], rest: f64) -> f64 {
    let highest = values.iter().copied().fold(rest, f64::max);
    if highest == f64::NEG_INFINITY {
        return highest;
    }
    let weight = 1.0 / values.len() as f64;
    let sum: f64 = values.iter().map(|x| exp_beside_one(x - highest)).sum();
    highest + libm::log(weight * sum + exp_beside_one(rest - highest))
}

/// Returns `ln(Σ w e^x)` for as many values as there are weights.
pub(super) fn weighted_sum(values: &[f64], weights: &[f64]) -> f64 {
    let pairs = || values.iter().zip(weights);
    let highest = pairs().map(|(x, _)| *x).fold(f64::MIN, f64::max);
    highest + libm::log(pairs().map(|(x, w)| w * exp_beside_one(x - highest)).sum())
}

/// Returns `e^x`, and 0 where that is too little to change a sum with 1.
fn exp_beside_one(x: f64) -> f64 {
    if x < -40.0 { 0.0 } else { libm::exp(x) }
}
