//! How well the two versions behave, as options of a command.

use std::fmt;
use std::time::Duration;

use canary_core::value::BySide;
use clap::Args;

use crate::service::Behaviour;

/// The share of requests that either version fails at its best.
const USUAL_ERRORS: f64 = 0.001;

/// The share of requests that `--bad` makes the new version fail.
const BAD_ERRORS: f64 = 0.2;

/// Says what is wrong with the new version; nothing, unless told.
#[derive(Clone, Debug, Args)]
#[expect(clippy::exhaustive_structs, reason = "the options of a command")]
pub struct Faults {
    /// Make the new version bad: it fails one request in five, unless --error-rate or --slow-ms says otherwise
    #[arg(long)]
    pub bad: bool,
    /// The share of requests that the new version fails, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub error_rate: Option<f64>,
    /// How much longer the new version takes for each request, in milliseconds
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=4_000))]
    pub slow_ms: Option<u64>,
    /// Another number makes other requests fail, and other ones slow
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a share from 0 to 1, such as 0.2".to_owned()),
    }
}

impl Faults {
    /// Returns how both versions behave.
    #[must_use]
    pub fn behaviours(&self) -> BySide<Behaviour> {
        let stable = Behaviour {
            variant: "stable",
            error_rate: USUAL_ERRORS,
            median: Duration::from_millis(20),
            slower_by: Duration::ZERO,
            seed: self.seed,
        };
        let canary = Behaviour {
            variant: "canary",
            error_rate: self.canary_error_rate(),
            slower_by: Duration::from_millis(self.slow_ms.unwrap_or(0)),
            // The two are not unlucky with the same requests.
            seed: self.seed.wrapping_add(1 << 32),
            ..stable
        };
        BySide { stable, canary }
    }

    fn canary_error_rate(&self) -> f64 {
        let unless_told = match self.slow_ms {
            None if self.bad => BAD_ERRORS,
            _ => USUAL_ERRORS,
        };
        self.error_rate.unwrap_or(unless_told)
    }
}

/// Writes what the new version does: `fails 20% of its requests`.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fails {}% of its requests", self.canary_error_rate() * 100.0)?;
        match self.slow_ms {
            Some(millis @ 1..) => write!(f, ", takes {millis} ms longer"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        faults: Faults,
    }

    #[test]
    fn a_bad_version_fails_requests_unless_it_is_slow() {
        for (words, error_rate, slow_ms) in [
            (&[][..], USUAL_ERRORS, 0),
            (&["--bad"], BAD_ERRORS, 0),
            (&["--bad", "--error-rate", "0.02"], 0.02, 0),
            (&["--error-rate", "0.02"], 0.02, 0),
            (&["--bad", "--slow-ms", "400"], USUAL_ERRORS, 400),
            (&["--bad", "--slow-ms", "400", "--error-rate", "1"], 1.0, 400),
        ] {
            let words = ["command"].iter().chain(words);
            let canary = Command::try_parse_from(words.clone()).unwrap().faults.behaviours().canary;
            assert_eq!(canary.error_rate, error_rate, "{words:?}");
            assert_eq!(canary.slower_by.as_millis(), slow_ms, "{words:?}");
        }
    }
}
