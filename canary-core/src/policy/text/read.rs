//! Turns the tree into the stable form, noting everything that cannot be read.

use super::cursor::Fields;
use super::gates::{self, names};
use super::mode::{self, Mode};
use super::node::Node;
use super::{checks, metrics, scalar, stages};
use crate::policy::{Patience, PolicySpec, Problem, Promotion, Then, WorkloadSpec};
use crate::value::{Audience, Member};

/// Holds what could be read, what could not, and what stands elsewhere in the text than in the form.
pub(super) struct Reading {
    pub(super) spec: PolicySpec,
    pub(super) problems: Vec<Problem>,
    pub(super) moved: Moved,
}

/// Knows where in the text a part of the form stands, as pairs of the beginnings of paths.
#[derive(Default)]
pub(super) struct Moved(Vec<(String, String)>);

impl Moved {
    pub(super) fn note(&mut self, in_form: impl Into<String>, in_text: impl Into<String>) {
        self.0.push((in_form.into(), in_text.into()));
    }

    /// Returns the path in the text for one in the form.
    pub(super) fn in_text(&self, path: String) -> String {
        let moved = self.0.iter().find_map(|(form, text)| {
            path.strip_prefix(form.as_str()).map(|rest| format!("{text}{rest}"))
        });
        moved.unwrap_or(path)
    }
}

/// Reads a policy. Where something cannot be read, a harmless value stands in
/// for it, so that the rest can be checked all the same.
pub(super) fn policy(root: &Node) -> Reading {
    let mut problems = Vec::new();
    let p = &mut problems;
    let mut moved = Moved::default();
    let mut spec = PolicySpec::new("");
    let mut fields = Fields::open(root, "", "the policy", p);

    let mode = head(&mut fields, &mut spec, p);
    if let Some(node) = fields.node("metrics") {
        spec.metrics = metrics::read(node, p);
    }
    if let Some(mut start) = fields.map("start", p) {
        spec.start = names(&mut start, "gates", p);
        start.close(p);
    }
    let keep_old = stages::read(&mut fields, &mut spec, &mut moved, p);
    if let Some(promotion) = fields.map("promotion", p) {
        spec.promotion = self::promotion(promotion, keep_old.is_some(), p);
    }
    if let Some(keep_old) = keep_old {
        spec.promotion.keep_old_ms = keep_old;
    }
    for (i, node) in fields.list("checks", p).iter().enumerate() {
        spec.checks.push(checks::check(i, node, mode, p));
    }
    if let Some(node) = fields.node("gates") {
        spec.gates = gates::read(node, p);
    }
    what_goes_wrong(&mut fields, &mut spec, mode, p);
    history(&mut fields, &mut spec, p);
    fields.close(p);
    mode.expand(&mut spec);
    Reading { spec, problems, moved }
}

fn head(fields: &mut Fields<'_>, spec: &mut PolicySpec, p: &mut Vec<Problem>) -> Mode {
    if let Some(version) = fields.require("version", "1", scalar::count, p) {
        spec.version = u32::try_from(version).unwrap_or(u32::MAX);
    }
    spec.name = fields.require("name", "checkout", scalar::text, p).unwrap_or_default();
    let mode = fields.read("mode", mode::read, p).unwrap_or_default();
    fields.millis("every", &mut spec.every_ms, p);
    fields.millis("settle", &mut spec.settle_ms, p);
    fields.millis("lag", &mut spec.lag_ms, p);
    if let Some(header) = fields.map("header", p) {
        spec.header = header.texts(p);
    }
    if let Some(audience) = fields.map("audience", p) {
        spec.audience = Some(self::audience(audience, p));
    }
    mode
}

fn audience(mut fields: Fields<'_>, p: &mut Vec<Problem>) -> Audience {
    let by = fields.require("by", "user", scalar::text, p).unwrap_or_default();
    let mut audience = Audience::by(by);
    for (i, node) in fields.list("always", p).iter().enumerate() {
        let path = format!("audience.always[{i}]");
        let mut member = Fields::open(node, path.clone(), "a part of the audience", p);
        let found: Vec<Member> = [
            member.read("list", scalar::text, p).map(Member::List),
            member.read("email_domain", scalar::text, p).map(Member::EmailDomain),
            member.read("segment", scalar::text, p).map(Member::Segment),
        ]
        .into_iter()
        .flatten()
        .collect();
        if found.len() != 1 {
            p.push(Problem::new(
                path,
                format!("a part of the audience says {} things", found.len()),
                "write one, such as `{ email_domain: example.com }`",
            ));
        }
        audience.always.extend(found);
        member.close(p);
    }
    fields.close(p);
    audience
}

fn promotion(mut fields: Fields<'_>, kept: bool, p: &mut Vec<Problem>) -> Promotion {
    let mut promotion = Promotion::default();
    if let Some(how) = fields.read("how", scalar::how, p) {
        promotion.how = how;
    }
    if kept && fields.node("keep_old").is_some() {
        p.push(Problem::new(
            fields.path("keep_old"),
            "`keep_old` stands both here and at the last stage",
            "remove one of them",
        ));
    }
    fields.millis("keep_old", &mut promotion.keep_old_ms, p);
    promotion.gates = names(&mut fields, "gates", p);
    promotion.after = names(&mut fields, "after", p);
    fields.close(p);
    promotion
}

/// Reads what is done where something is not as it should be.
fn what_goes_wrong(
    fields: &mut Fields<'_>,
    spec: &mut PolicySpec,
    mode: Mode,
    p: &mut Vec<Problem>,
) {
    spec.no_data = patience(fields, "no_data", p).unwrap_or_default();
    spec.errors = patience(fields, "errors", p).unwrap_or_default();
    if let Some(mut progress) = fields.map("progress", p) {
        let within = progress.require("within", "2h", scalar::duration, p).unwrap_or_default();
        let then = progress.read("then", scalar::then_of_lack, p).unwrap_or(mode.usual());
        spec.progress = Some(Patience::new(within, then));
        progress.close(p);
    }
    if let Some(drift) = fields.read("drift", scalar::drift, p) {
        spec.drift = drift;
    }
    if let Some(on) = fields.read("hard_limit", scalar::switch, p) {
        spec.hard_limit = on;
    }
    if let Some(mut rollback) = fields.map("rollback", p) {
        rollback.millis("within", &mut spec.rollback_within_ms, p);
        rollback.close(p);
    }
}

/// Reads `{ after: 5m, then: hold }`.
pub(super) fn patience(
    fields: &mut Fields<'_>,
    field: &'static str,
    p: &mut Vec<Problem>,
) -> Option<Patience> {
    let mut inner = fields.map(field, p)?;
    let mut patience = Patience::default();
    inner.millis("after", &mut patience.after_ms, p);
    patience.then = inner.read("then", scalar::then_of_lack, p).unwrap_or(Then::Hold);
    inner.close(p);
    Some(patience)
}

fn history(fields: &mut Fields<'_>, spec: &mut PolicySpec, p: &mut Vec<Problem>) {
    if let Some(mut workload) = fields.map("workload", p) {
        let WorkloadSpec {
            ready_within_ms,
            ready_for_ms,
            keep_after_success_ms,
            keep_after_abort_ms,
        } = &mut spec.workload;
        workload.millis("ready_within", ready_within_ms, p);
        workload.millis("ready_for", ready_for_ms, p);
        workload.millis("keep_after_success", keep_after_success_ms, p);
        workload.millis("keep_after_abort", keep_after_abort_ms, p);
        workload.close(p);
    }
    if let Some(keep) = fields.read("keep", scalar::small_count, p) {
        spec.keep = keep;
    }
    if let Some(versions) = fields.read("fast_return", scalar::small_count, p) {
        spec.fast_return = versions;
    }
    for (i, node) in fields.list("allow", p).iter().enumerate() {
        match scalar::text(node) {
            Ok(name) => spec.allow.push(name),
            Err(expected) => p.push(Problem::new(
                format!("allow[{i}]"),
                format!("a finding's name is {}", node.describe()),
                format!("expected {expected} such as `no-hard-limit`"),
            )),
        }
    }
}
