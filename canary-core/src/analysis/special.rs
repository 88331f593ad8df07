//! Special functions that stay exact where counts are large: what would cancel is taken out on paper.

use std::f64::consts::PI;

/// 1/3, 1/5, 1/7 and so on.
const ODD: [f64; 14] = reciprocals(2.0);
/// 1/3, 1/4, 1/5 and so on.
const FROM_THREE: [f64; 13] = reciprocals(1.0);

const fn reciprocals<const N: usize>(step: f64) -> [f64; N] {
    let (mut all, mut i, mut next) = ([0.0; N], 0, 3.0);
    while i < N {
        all[i] = 1.0 / next;
        next += step;
        i += 1;
    }
    all
}

/// Returns `ln(1 + y) − y` for `y > −1`, without the cancellation near 0.
pub(super) fn log1p_minus(y: f64) -> f64 {
    if y.abs() > 0.4 {
        return libm::log1p(y) - y;
    }
    // ln(1 + y) = 2 artanh(z) with z = y/(2 + y), of which 2z − y = −z y.
    let z = y / (2.0 + y);
    let square = z * z;
    let mut sum = 0.0;
    for reciprocal in ODD.into_iter().rev() {
        sum = sum * square + reciprocal;
    }
    z * (2.0 * square * sum - y)
}

/// Returns `e^s − 1 − s` for `|s| ≤ 1/2`, without the cancellation near 0.
fn expm1_minus(s: f64) -> f64 {
    let mut sum = 1.0;
    for reciprocal in FROM_THREE.into_iter().rev() {
        sum = 1.0 + sum * s * reciprocal;
    }
    0.5 * s * s * sum
}

/// Returns `ln(q + p e^s) − p s ≥ 0`, the centred cumulant function of a trial that succeeds with probability `p`
/// (and fails with `q = 1 − p`), without the cancellation near 0.
pub(super) fn cumulant(p: f64, q: f64, s: f64) -> f64 {
    if p > q {
        return cumulant(q, p, -s);
    }
    if s.abs() <= 0.5 {
        return log1p_minus(p * libm::expm1(s)) + p * expm1_minus(s);
    }
    if s > 30.0 {
        return q * s + libm::log(p + q * libm::exp(-s));
    }
    libm::log1p(p * libm::expm1(s)) - p * s
}

/// Returns the slope of [`cumulant`] in `s`.
pub(super) fn cumulant_slope(p: f64, q: f64, s: f64) -> f64 {
    let grown = libm::expm1(s.min(700.0));
    p * q * grown / (1.0 + p * grown)
}

/// Returns `x ln(x/m) + m − x` for `x > 0`, given `m` and `m − x` (Loader's deviance term).
pub(super) fn deviance(x: f64, m: f64, m_minus_x: f64) -> f64 {
    let y = m_minus_x / x;
    if y.abs() < 0.4 { -x * log1p_minus(y) } else { x * libm::log(x / m) + m_minus_x }
}

/// Returns `ln Γ(x)` without its leading terms, `(x − 1/2) ln x − x + ln(2π)/2` (Stirling's series).
pub(super) fn stirling(x: f64) -> f64 {
    if x < 15.0 {
        return libm::lgamma(x) - ((x - 0.5) * libm::log(x) - x + 0.5 * libm::log(2.0 * PI));
    }
    let y = 1.0 / (x * x);
    let series = [691.0 / 360_360.0, 1.0 / 1188.0, 1.0 / 1680.0, 1.0 / 1260.0, 1.0 / 360.0];
    (1.0 / 12.0 - y * series.into_iter().fold(0.0, |sum, c| c - y * sum)) / x
}

/// Integrates over an interval, with forty points of Gauss and Legendre in each piece of length 8 or less.
///
/// Meant for `e^{−N ψ(s)}` with the [`cumulant`] ψ: it is singular at a distance of π from the real line and
/// nowhere nearer, so that a piece of this length is exact to the last digits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of pieces, at least one"
)]
pub(super) fn integrate(from: f64, to: f64, f: impl Fn(f64) -> f64) -> f64 {
    let pieces = ((to - from) / 8.0).ceil().max(1.0) as u32;
    let half = (to - from) / (2.0 * f64::from(pieces));
    let mut sum = 0.0;
    for piece in 0..pieces {
        let middle = from + half * f64::from(2 * piece + 1);
        for (x, weight) in GAUSS {
            sum += weight * (f(middle - half * x) + f(middle + half * x));
        }
    }
    sum * half
}

/// The points of Gauss and Legendre of order 40 on the right of 0, and their weights.
#[rustfmt::skip]
const GAUSS: [(f64, f64); 20] = [
    (0.998_237_709_710_559_3, 0.004_521_277_098_533_191),
    (0.990_726_238_699_457, 0.010_498_284_531_152_813),
    (0.977_259_949_983_774_3, 0.016_421_058_381_907_89),
    (0.957_916_819_213_791_7, 0.022_245_849_194_166_96),
    (0.932_812_808_278_676_5, 0.027_937_006_980_023_4),
    (0.902_098_806_968_874_3, 0.033_460_195_282_547_844),
    (0.865_959_503_212_259_5, 0.038_782_167_974_472_016),
    (0.824_612_230_833_311_7, 0.043_870_908_185_673_27),
    (0.778_305_651_426_519_4, 0.048_695_807_635_072_23),
    (0.727_318_255_189_927_1, 0.053_227_846_983_936_82),
    (0.671_956_684_614_179_6, 0.057_439_769_099_391_55),
    (0.612_553_889_667_980_2, 0.061_306_242_492_928_94),
    (0.549_467_125_095_128_2, 0.064_804_013_456_601_04),
    (0.483_075_801_686_178_7, 0.067_912_045_815_233_9),
    (0.413_779_204_371_605, 0.070_611_647_391_286_78),
    (0.341_994_090_825_758_5, 0.072_886_582_395_804_06),
    (0.268_152_185_007_253_7, 0.074_723_169_057_968_26),
    (0.192_697_580_701_371_1, 0.076_110_361_900_626_24),
    (0.116_084_070_675_255_21, 0.077_039_818_164_247_97),
    (0.038_772_417_506_050_82, 0.077_505_947_978_424_8),
];

#[cfg(test)]
mod tests;
