//! Shares of counters of your own: authorised payments, completed orders, cache hits.
//!
//! Both counters are series selectors in which `{{ variant }}` may stand. A share is of what happened in the time looked
//! at, a minute at least. Where nothing happened there is no share: *not finite*.

use super::{Preset, value};
use crate::template::Template;

/// Asks what share of a whole a part is, 0 to 1.
#[must_use]
pub fn share(name: &str, part: &str, whole: &str) -> Preset {
    let rate = |counter| format!("sum(rate({counter}[{{{{ window }}}}]))");
    preset(name, &format!("{} / {}", rate(part), rate(whole)))
}

/// Asks for the lowest of the shares that a label tells apart, such as that of the worst provider.
#[must_use]
pub fn lowest_share(name: &str, by: &str, part: &str, whole: &str) -> Preset {
    preset(name, &format!("min({})", shares(by, part, whole)))
}

/// Asks for the highest of the shares that a label tells apart.
#[must_use]
pub fn highest_share(name: &str, by: &str, part: &str, whole: &str) -> Preset {
    preset(name, &format!("max({})", shares(by, part, whole)))
}

/// Writes one share for each value of a label; a value without a part has a share of zero.
fn shares(by: &str, part: &str, whole: &str) -> String {
    let rate = |counter| format!("sum by ({by}) (rate({counter}[{{{{ window }}}}]))");
    let (part, whole) = (rate(part), rate(whole));
    format!("({part} or {whole} * 0) / ({whole} > 0)")
}

fn preset(name: &str, query: &str) -> Preset {
    Preset { asks: vec![value(name, Template::new(query))] }
}
