//! A report as a page.

use std::fmt::Write;

use super::{Report, StageReport};
use crate::policy::Unit;
use crate::record::{Content, Judgement, Outcome, Record, Verdict, rate};
use crate::value::{Counts, Span, millis};

impl Report {
    /// Says in one sentence what was decided, when and why.
    #[must_use]
    pub fn sentence(&self) -> String {
        let length = self.ended.map(|end| Span(millis(end.since(self.started))));
        let mut text = match (&self.outcome, length) {
            (Some(Outcome::Promoted), Some(length)) => {
                let requests = self.requests();
                format!(
                    "promoted after {length}: canary failed {} of {} requests, stable {} of {}",
                    rate(requests.canary),
                    requests.canary.total,
                    rate(requests.stable),
                    requests.stable.total
                )
            }
            (Some(Outcome::RolledBack { reason }), Some(length)) => {
                format!("rolled back at {} after {length}: {reason}", self.last_weight)
            }
            _ => "not finished".to_owned(),
        };
        if let Some(zero) = self.zero_accepted {
            let _ = write!(text, "; weight 0 accepted at {zero}");
        }
        text
    }

    /// Writes the report as a Markdown page.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut page = String::new();
        self.write(&mut page).unwrap_or_default();
        page
    }

    fn write(&self, page: &mut String) -> std::fmt::Result {
        let name = self.rollout.as_ref().map_or("rollout", |id| id.as_str());
        writeln!(page, "# {name}: {}\n", self.headline())?;
        writeln!(page, "{}.\n", capital(&self.sentence()))?;
        writeln!(page, "- policy: {}\n- started: {}", self.policy, self.started)?;
        if let Some(ended) = self.ended {
            writeln!(page, "- ended: {ended}")?;
        }
        writeln!(
            page,
            "- highest weight: {}\n- canary errors served: {}\n",
            self.highest_weight,
            self.canary_errors_served()
        )?;
        if !self.stages.is_empty() {
            writeln!(page, "## Stages\n")?;
            writeln!(
                page,
                "| stage | weight | observed | took | canary errors | stable errors | canary p95 | stable p95 |"
            )?;
            writeln!(page, "|---|---:|---:|---:|---:|---:|---:|---:|")?;
            for stage in &self.stages {
                stage.write_row(page)?;
            }
            writeln!(page)?;
        }
        writeln!(page, "## What happened\n")?;
        for row in self.timeline.chunk_by(alike) {
            write_row(page, row)?;
        }
        if self.left_out > 0 {
            writeln!(page, "\n{} more records in the middle are left out here.", self.left_out)?;
        }
        Ok(())
    }

    fn headline(&self) -> &'static str {
        match &self.outcome {
            Some(Outcome::Promoted) => "promoted",
            Some(Outcome::RolledBack { .. }) => "rolled back",
            None => "under way",
        }
    }
}

/// Tells whether two records are looks that found the same.
fn alike(one: &Record, other: &Record) -> bool {
    fn concerns(look: &Judgement) -> impl Iterator<Item = (&str, Verdict)> {
        let passes = |verdict| matches!(verdict, Verdict::Pass | Verdict::NotApplicable);
        let checks = look.checks.iter().filter(move |check| !passes(check.verdict));
        checks.map(|check| (&*check.check, check.verdict))
    }
    match (&one.content, &other.content) {
        (Content::Judged(one), Content::Judged(other)) => {
            one.is_like(other) && concerns(one).eq(concerns(other))
        }
        _ => false,
    }
}

/// Writes one record, or a row of looks that found the same: what the last of them says, with the requests of all.
fn write_row(page: &mut String, row: &[Record]) -> std::fmt::Result {
    let looks = row.iter().filter_map(|record| match &record.content {
        Content::Judged(look) => Some(Judgement::clone(look)),
        _ => None,
    });
    let sum = looks.reduce(|mut sum, later| {
        sum.take_in(&later);
        sum
    });
    match (row, sum) {
        ([first, .., last], Some(sum)) => {
            writeln!(page, "- {} {} looks until {}: {sum}", first.at, row.len(), last.at)
        }
        (row, _) => row.iter().try_for_each(|one| writeln!(page, "- {} {}", one.at, one.content)),
    }
}

impl StageReport {
    fn write_row(&self, page: &mut String) -> std::fmt::Result {
        let (canary, stable) = (self.requests.canary, self.requests.stable);
        let total = canary.total.saturating_add(stable.total);
        #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
        let share = if total == 0 {
            "–".to_owned()
        } else {
            Unit::Share.show(canary.total as f64 / total as f64)
        };
        let took = self.left.map_or_else(
            || "–".to_owned(),
            |left| Span(millis(left.since(self.entered))).to_string(),
        );
        let errors = |counts: Counts| format!("{} of {}", rate(counts), counts.total);
        let latency =
            |p95: Option<f64>| p95.map_or_else(|| "–".to_owned(), |ms| Unit::Millis.show(ms));
        writeln!(
            page,
            "| {} | {} | {share} | {took} | {} | {} | {} | {} |",
            self.name,
            self.weight,
            errors(canary),
            errors(stable),
            latency(self.highest_p95.canary),
            latency(self.highest_p95.stable),
        )
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
