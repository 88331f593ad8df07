//! The figures as tables.

use std::io::{self, Write};

use canary_benches::judging::{Kind, Row, wilson};

/// Writes a table for the innocent canaries, one for those bad from the start, and one for those that turn bad.
pub(crate) fn write(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    let runs = rows.first().map_or(0, |row| row.runs);
    let (_, most) = wilson(0, runs.max(1));
    writeln!(
        out,
        "{runs} rollouts of each row. In brackets and after ±: 95 % intervals; 0 means below {:.1} %, 100 above {:.1} %.\n",
        100.0 * most,
        100.0 * (1.0 - most)
    )?;
    writeln!(out, "Innocent canaries: % taken back\n")?;
    let null = |row: &&Row| row.kind == Kind::Null;
    table(out, rows.iter().filter(null), "stream, rps", |row| {
        format!("{}, {}", row.stream, number(row.rps))
    })?;
    let at = |row: &&Row, start: bool| row.onset_minutes.is_some_and(|onset| (onset == 0) == start);
    writeln!(
        out,
        "\nBad from the start: % taken back / median minutes / mean canary errors served\n"
    )?;
    table(out, rows.iter().filter(|row| at(row, true)), "rps, error rate", |row| {
        format!("{}, {} %", number(row.rps), percent(row.canary_error_rate))
    })?;
    writeln!(
        out,
        "\nTurning bad: the same from then on; e = % taken back before, while innocent\n"
    )?;
    table(out, rows.iter().filter(|row| at(row, false)), "from minute, rps, error rate", |row| {
        let minute = row.onset_minutes.unwrap_or(0);
        format!("{minute}, {}, {} %", number(row.rps), percent(row.canary_error_rate))
    })
}

/// Writes one line for each stream, one column for each judge.
fn table<'a>(
    out: &mut impl Write,
    rows: impl Iterator<Item = &'a Row>,
    what: &str,
    name: impl Fn(&Row) -> String,
) -> io::Result<()> {
    let rows: Vec<&Row> = rows.collect();
    let lines: Vec<&[&Row]> = rows.chunk_by(|a, b| name(a) == name(b)).collect();
    let judges: Vec<&str> =
        lines.first().into_iter().flat_map(|l| l.iter()).map(|r| r.judge).collect();
    writeln!(out, "| {what} | {} |", judges.join(" | "))?;
    writeln!(out, "|---|{}", "---:|".repeat(judges.len()))?;
    for line in lines {
        let cells: Vec<String> = line.iter().map(|row| cell(row)).collect();
        writeln!(out, "| {} | {} |", name(line[0]), cells.join(" | "))?;
    }
    Ok(())
}

fn cell(row: &Row) -> String {
    let early = match row.early {
        0 => String::new(),
        early => format!("e{}, ", percent(ratio(early, row.runs))),
    };
    let share = share(row);
    match (row.errors_served, row.median_minutes) {
        (None, _) => share,
        (Some(errors), None) => {
            format!("{early}{share} / – / {}", errors_of(errors, row.errors_margin))
        }
        (Some(errors), Some(minutes)) => {
            format!("{early}{share} / {minutes} / {}", errors_of(errors, row.errors_margin))
        }
    }
}

fn share(row: &Row) -> String {
    let of = row.runs - row.early;
    if row.rolled_back == 0 || row.rolled_back == of {
        return percent(row.share());
    }
    let (low, high) = wilson(row.rolled_back, of);
    format!("{} ({}–{})", percent(row.share()), percent(low), percent(high))
}

fn errors_of(mean: f64, margin: f64) -> String {
    if margin < 0.5 {
        format!("{mean:.1} ± {margin:.1}")
    } else {
        format!("{mean:.0} ± {margin:.0}")
    }
}

/// Writes a share in percent with two digits that mean something.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    let text = if !(10.0..=99.0).contains(&percent) {
        format!("{percent:.1}")
    } else {
        format!("{percent:.0}")
    };
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn number(rps: f64) -> String {
    if rps >= 1_000.0 { format!("{}k", rps / 1_000.0) } else { format!("{rps}") }
}

#[expect(clippy::cast_precision_loss, reason = "runs are few")]
fn ratio(part: usize, of: usize) -> f64 {
    part as f64 / of as f64
}
