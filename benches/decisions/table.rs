//! The figures as tables.

use std::io::{self, Write};

use canary_benches::judging::{Kind, Row, wilson};

/// Writes a table for the innocent canaries, one for those bad from the start, and one for those that turn bad.
pub(crate) fn write(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    let runs = rows.first().map_or(0, |row| row.runs);
    let (_, none) = wilson(0, runs);
    writeln!(out, "{runs} rollouts of each row; in brackets and after ± 95 % intervals.")?;
    writeln!(
        out,
        "0 is none of the runs: it happens in less than {} % of all. 100 is all of them.",
        percent(none)
    )?;

    writeln!(out, "\nInnocent canaries: % taken back\n")?;
    let innocent = rows.iter().filter(|row| row.kind == Kind::Null);
    table(out, innocent, "what happens, requests/s", |row| {
        let mark = if row.holds { "" } else { "\\*" };
        format!("{}{mark}, {}", row.stream, number(row.rps))
    })?;
    writeln!(out, "\n\\* one side alone does fail more often for a while")?;

    writeln!(
        out,
        "\nBad from the start: % taken back / minutes (median) / canary errors served (mean)\n"
    )?;
    let at_once = rows.iter().filter(|row| row.onset_minutes == Some(0));
    table(out, at_once, "requests/s, canary fails", |row| {
        format!("{}, {} %", number(row.rps), percent(row.canary_error_rate))
    })?;

    writeln!(out, "\nTurning bad: the same since then; e: % taken back before, while innocent\n")?;
    let late = rows.iter().filter(|row| row.onset_minutes.is_some_and(|minute| minute > 0));
    table(out, late, "from minute, requests/s, canary fails", |row| {
        let minute = row.onset_minutes.unwrap_or_default();
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
    if row.kind == Kind::Null {
        return share(row);
    }
    let early = match row.early {
        0 => String::new(),
        early => format!("e{}, ", percent(ratio(early, row.runs))),
    };
    let minutes = row.median_minutes.map_or("–".to_owned(), |minutes| short(minutes, 2));
    let digits = usize::from(row.errors_margin < 1.0);
    let margin = format!("{:.digits$}", row.errors_margin);
    let errors =
        row.errors_served.map_or("–".to_owned(), |mean| format!("{mean:.digits$} ± {margin}"));
    format!("{early}{} / {minutes} / {errors}", share(row))
}

/// Writes which share was taken back of those that were there at the onset.
fn share(row: &Row) -> String {
    let of = row.runs - row.early;
    if of == 0 {
        return "–".to_owned();
    }
    let share = percent(row.share());
    if row.rolled_back == 0 || row.rolled_back == of {
        return share;
    }
    let (low, high) = wilson(row.rolled_back, of);
    format!("{share} ({}–{})", percent(low), percent(high))
}

/// Writes a share in percent, with a decimal where it counts.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    short(percent, usize::from(!(10.0..=99.0).contains(&percent)))
}

/// Writes a number without zeros at its end.
fn short(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$}");
    if digits == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

fn number(rps: f64) -> String {
    if rps >= 1_000.0 { format!("{}k", rps / 1_000.0) } else { format!("{rps}") }
}

#[expect(clippy::cast_precision_loss, reason = "runs are few")]
fn ratio(part: usize, of: usize) -> f64 {
    part as f64 / of as f64
}
