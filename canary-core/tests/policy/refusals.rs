//! What is wrong is refused, at its place, with what to write instead.

use canary_core::policy::Policy;

const STAGES: &str =
    "stages: [{ name: tenth, weight: 10%, hold: 10m }, { name: full, weight: 100%, hold: 10m }]\n";

/// Returns where each problem lies and what it says, of a policy that has these lines beside version and name.
fn refused(lines: &str) -> Vec<(String, String)> {
    let stages = if lines.contains("stages:") { "" } else { STAGES };
    let text = format!("version: 1\nname: shop\n{stages}{lines}\n");
    let error = match Policy::from_yaml(&text) {
        Ok(policy) => panic!("accepted: {text}{policy:?}"),
        Err(error) => error,
    };
    for problem in error.problems() {
        assert!(problem.place.is_some() && !problem.help.is_empty(), "{problem}");
    }
    error.problems().iter().map(|p| (p.path.clone(), p.message.clone())).collect()
}

#[track_caller]
fn each_is_refused(rows: &[(&str, &str, &str)]) {
    for (lines, path, message) in rows {
        let problems = refused(lines);
        assert_eq!(problems.len(), 1, "{lines}: {problems:#?}");
        assert_eq!(problems[0].0, *path, "{lines}: {problems:#?}");
        assert!(problems[0].1.contains(message), "{lines}: {problems:#?}");
    }
}

/// Makes stages of one entry before the last.
fn stage(entry: &str) -> String {
    format!("stages: [{{ {entry} }}, {{ name: full, weight: 100%, hold: 10m }}]")
}

#[track_caller]
fn each_stage_is_refused(rows: &[(&str, &str, &str)]) {
    for (entry, path, message) in rows {
        each_is_refused(&[(&stage(entry), path, message)]);
    }
}

#[track_caller]
fn each_check_is_refused(rows: &[(&str, &str, &str)]) {
    for (check, path, message) in rows {
        each_is_refused(&[(&format!("checks: [{{ name: it, {check} }}]"), path, message)]);
    }
}

#[test]
fn the_head() {
    each_is_refused(&[
        ("lag: 2d", "lag", "more than a day old"),
        ("header: { X-Canary: \"true\" }", "header.X-Canary", "no name of a header"),
        ("header: { x-canary: \"\" }", "header.x-canary", "no request can bear"),
        ("header: { x-canary: true }", "header.x-canary", "is `true`"),
        ("header: on", "header", "not a map"),
        ("audience: { always: [{ list: beta }] }", "audience.by", "missing"),
        ("audience: { by: user, always: [{}] }", "audience.always[0]", "says 0 things"),
        (
            "audience: { by: user, always: [{ list: a, segment: b }] }",
            "audience.always[0]",
            "says 2",
        ),
        ("audience: { by: user, always: [{ list: \"\" }] }", "audience.always[0].list", "nobody"),
        (
            "audience: { by: user, always: [{ email_domain: a@b.c }] }",
            "audience.always[0].email_domain",
            "address",
        ),
        ("mode: careful", "mode", "`careful`"),
        ("keep: 1001", "keep", "1001"),
        ("keep: -1", "keep", "-1"),
        ("fast_return: 11", "fast_return", "only 10 are remembered"),
        ("allow: [[]]", "allow[0]", "a list"),
        ("drift: ignore", "drift", "`ignore`"),
        ("workload: { ready_within: 0s }", "workload.ready_within", "0 ms"),
        ("workload: { ready_for: 5m }", "workload.ready_for", "longer than it has time"),
        ("workload: { keep_after_abort: 400d }", "workload.keep_after_abort", "more than a year"),
        ("workload: { ready: 5m }", "workload.ready", "not known here"),
        ("promotion: { keep_old: 400d }", "promotion.keep_old", "more than a year"),
        ("promotion: { how: magic }", "promotion.how", "`magic`"),
    ]);
}

#[test]
fn patience() {
    each_is_refused(&[
        ("no_data: { then: warn }", "no_data.then", "would go on"),
        ("errors: { then: warn }", "errors.then", "would go on"),
        ("errors: { after: 5 }", "errors.after", "the number 5"),
        ("progress: { then: ask }", "progress.within", "missing"),
        ("progress: { within: 1h, then: warn }", "progress.then", "stands still"),
        ("progress: { within: 10ms }", "progress.within", "10 ms"),
    ]);
    each_check_is_refused(&[(
        "metric: pool, above: 1, no_data: { then: warn }",
        "checks[0].no_data.then",
        "would go on",
    )]);
}

#[test]
fn metrics() {
    each_is_refused(&[
        ("metrics: { error_rate: {} }", "metrics.error_rate", "no metric of yours"),
        ("metrics: { samples: {} }", "metrics.samples", "no metric of yours"),
        ("metrics: { a-b: {} }", "metrics.a-b", "no metric of yours"),
        ("metrics: { pool: { query: \"\" } }", "metrics.pool.query", "is empty"),
        ("metrics: { health: { score: {} } }", "metrics.health.score", "no parts"),
        (
            "metrics: { health: { score: { error_rate: 0 } } }",
            "metrics.health.score.error_rate",
            "counts 0 times",
        ),
        (
            "metrics: { health: { score: { error_rate: { good: 1% } } } }",
            "metrics.health.score.error_rate.weight",
            "missing",
        ),
        (
            "metrics: { health: { score: { error_rate: { weight: 1, good: 1% , bad: 1% } } } }",
            "metrics.health.score.error_rate",
            "good and bad",
        ),
        (
            "metrics: { health: { score: { latency.p0: 1 } } }",
            "metrics.health.score.latency.p0",
            "no metric",
        ),
        (
            "metrics: { a: { score: { b: 1 } }, b: { score: { error_rate: 1 } } }",
            "metrics.a.score.b",
            "another score",
        ),
    ]);
}

#[test]
fn a_stage_of_testers_alone_has_nothing_to_pass() {
    let testers = stage("weight: 0%, hold: 5m, pass: { samples: 1 }");
    let lines = format!("header: {{ x-canary: \"true\" }}\n{testers}");
    each_is_refused(&[(&lines, "stages[0].pass", "cannot be passed")]);
}

#[test]
fn stages() {
    each_stage_is_refused(&[
        ("name: bake, weight: 5%, hold: 5m", "stages[0].name", "can be called `bake`"),
        ("name: start, weight: 5%, hold: 5m", "stages[0].name", "can be called `start`"),
        ("name: promotion, weight: 5%, hold: 5m", "stages[0].name", "can be called `promotion`"),
        ("weight: 0%, hold: 5m", "stages[0]", "nothing reaches the canary"),
        ("weight: 5%, hold: 5m, scale: 0", "stages[0].scale", "without a replica"),
        ("weight: 5%, hold: 5m, scale: many", "stages[0].scale", "`many`"),
        ("weight: 5%, hold: 5m, gates: [a, a]", "stages[0].gates[1]", "twice at once"),
        ("weight: 5%, hold: 5m, enter: [a b]", "stages[0].enter[0]", "a gate's name"),
        ("weight: 5%, hold: 5m, keep_old: 1h", "stages[0].keep_old", "kept anyway"),
        ("weight: 5%, hold: 5m, pass: { error_rate: 1% }", "stages[0].pass.error_rate", "is `1%`"),
        (
            "weight: 5%, hold: 5m, pass: { error_rate: \"<= 101%\" }",
            "stages[0].pass.error_rate",
            "is no limit",
        ),
        (
            "weight: 5%, hold: 5m, pass: { latency.p99: \"<= 5\" }",
            "stages[0].pass.latency.p99",
            "is `<= 5`",
        ),
        ("weight: 5%, hold: 5m, pass: { a b: \"<= 5\" }", "stages[0].pass.a b", "no metric"),
        ("weight: 5%, hold: 5m, pass: 99%", "stages[0].pass", "not a map"),
    ]);
    each_is_refused(&[
        (
            "stages: [{ weight: 100%, mirror: 5%, hold: 5m }]",
            "stages[0].mirror",
            "no requests to copy",
        ),
        ("stages: [{ weight: 100%, hold: 5m, keep_old: 400d }]", "stages[0].keep_old", "a year"),
        (
            "stages: [{ weight: 100%, hold: 5m, keep_old: 1h }]\npromotion: { keep_old: 1h }",
            "promotion.keep_old",
            "both here",
        ),
        (
            "header: { x: \"1\" }\nstages: [{ name: a, weight: 0%, hold: 5m }, { name: b, weight: 0%, hold: 5m }, { weight: 100%, hold: 5m }]",
            "stages[1].weight",
            "no more than the one before",
        ),
        (
            "stages: [{ name: a, weight: 5%, hold: 5m }, { name: b, weight: 5%, hold: 5m }, { weight: 100%, hold: 5m }]",
            "stages[1].weight",
            "not above",
        ),
        ("start: { gates: [a, a] }", "start.gates[1]", "twice at once"),
    ]);
}

#[test]
fn stages_by_rule() {
    each_stage_is_refused(&[
        ("from: 5%, to: 50%, hold: 5m", "stages[0].from", "how the steps rise"),
        ("from: 5%, to: 50%, hold: 5m, factor: 2, increment: 5%", "stages[0].from", "both by"),
        ("from: 5%, to: 50%, hold: 5m, factor: 1", "stages[0].factor", "the number 1"),
        ("from: 5%, to: 50%, hold: 5m, increment: 0%", "stages[0].increment", "`0%`"),
        ("from: 50%, to: 50%, hold: 5m, factor: 2", "stages[0].to", "not above"),
        ("from: 0%, to: 50%, hold: 5m, factor: 2", "stages[0].from", "stays 0%"),
        ("to: 50%, hold: 5m, factor: 2", "stages[0].from", "missing"),
        ("from: 5%, to: 50%, hold: 5m, factor: 2, name: steps", "stages[0].name", "not known here"),
        ("from: 5%, to: 100%, hold: 5m, factor: 2", "stages[1].weight", "not above the 100%"),
    ]);
}

#[test]
fn what_is_wrong_behind_a_rule_is_shown_at_its_own_place() {
    let text = "version: 1\nname: shop\nstages:\n  - { from: 5%, to: 50%, factor: 2, hold: 5m }\n  - { name: late, weight: 40%, hold: 5m }\n  - { weight: 100%, hold: 5m }\n";
    let error = Policy::from_yaml(text).unwrap_err();
    let problem = &error.problems()[0];
    let place = problem.place.as_ref().unwrap();
    assert_eq!((problem.path.as_str(), place.line, place.column), ("stages[1].weight", 5, 27));
}

#[test]
fn checks() {
    each_check_is_refused(&[
        ("then: warn", "checks[0]", "looks at nothing"),
        ("metric: cpu, gate: a", "checks[0].gate", "both `metric` and `gate`"),
        (
            "metric: cpu, above: 1, then: warn, severity: warning",
            "checks[0].severity",
            "both `then` and",
        ),
        ("metric: cpu, above: 1, severity: info", "checks[0].severity", "`info`"),
        ("metric: cpu, above: 1, dry_run: maybe", "checks[0].dry_run", "`maybe`"),
        ("metric: cpu, above: 1, failures: 1.5", "checks[0].failures", "1.5"),
        ("metric: cpu, above: 1, every: 1s", "checks[0].every", "and the metrics every 15 s"),
        ("gate: a b", "checks[0].gate", "`a b`"),
        ("metric: latency.p95, above: 5%, then: hold", "checks[0].above", "`5%`"),
        ("metric: latency.p99, significance: 5%", "checks[0].samples", "missing"),
        (
            "metric: latency.p99, significance: 5%, samples: 0",
            "checks[0].samples",
            "without a single",
        ),
        (
            "metric: latency.p99, significance: 60%, samples: 10",
            "checks[0].significance",
            "significance of 0.6",
        ),
        ("metric: cpu, significance: 5%, samples: 10", "checks[0].metric", "by its significance"),
        ("metric: latency.p99, significance: 5%, samples: 10, at: once", "checks[0].at", "`once`"),
        (
            "metric: latency.p99, significance: 5%, samples: 10, then: hold",
            "checks[0].then",
            "for good",
        ),
        ("worse_than_stable: 1.25x, then: hold", "checks[0].then", "for good"),
        (
            "any: [{ worse_than_stable: 1.25x }, { metric: cpu, above: 1 }], then: hold",
            "checks[0].then",
            "for good",
        ),
        ("all: []", "checks[0]", "looks at nothing"),
        ("all: [{ metric: cpu, above: 1, then: warn }]", "checks[0].all[0].then", "not known here"),
        ("any: [{ metric: cpu }]", "checks[0].any[0]", "no limit"),
        (
            "any: [{ metric: latency.p99, significance: 5%, samples: 10 }]",
            "checks[0].any[0]",
            "no part of another",
        ),
        ("not: { worse_than_stable: 1.25x }", "checks[0].not", "would fail until"),
    ]);
    each_is_refused(&[
        (
            "checks: [{ name: hard-limit, metric: cpu, above: 1 }]",
            "checks[0].name",
            "can be called",
        ),
        (
            "checks: [{ name: too slow, metric: cpu, above: 1, then: ask }]",
            "checks[0].name",
            "cannot be answered",
        ),
        (
            "checks: [{ name: a, metric: cpu, above: 1, then: ask }, { name: b, gate: a }]",
            "checks[0].name",
            "same name as a gate",
        ),
    ]);
}

#[test]
fn names_of_checks_whose_silence_asks() {
    let check = "name: too slow, metric: cpu, above: 1";
    let asks = "{ after: 5m, then: ask }";
    for lack in ["no_data", "errors"] {
        each_is_refused(&[
            (
                &format!("checks: [{{ {check}, {lack}: {asks} }}]"),
                "checks[0].name",
                "cannot be answered",
            ),
            (
                &format!("{lack}: {asks}\nchecks: [{{ {check} }}]"),
                "checks[0].name",
                "cannot be answered",
            ),
            (
                &format!(
                    "{lack}: {asks}\nchecks: [{{ name: a, metric: cpu, above: 1 }}, {{ name: b, gate: a }}]"
                ),
                "checks[0].name",
                "same name as a gate",
            ),
        ]);
    }
}

#[test]
fn checks_that_can_never_fail() {
    each_check_is_refused(&[
        ("metric: error_rate, above: 100%", "checks[0].above", "never above 100 %"),
        ("metric: success_rate, below: 0%", "checks[0].below", "never below"),
        ("metric: request_rate, below: 0", "checks[0].below", "never below"),
        ("any: [{ metric: error_rate, above: 100% }]", "checks[0].any[0].above", "can never fail"),
        ("metric: latency.p95, above: 2x stable, from: 100%", "checks[0]", "no stage from 100% on"),
        ("metric: cpu, above: 1, for: 21m", "checks[0].for", "looks at 21 min"),
        ("metric: cpu, above: 1, delay: 20m", "checks[0].delay", "waits 20 min"),
        (
            "metric: cpu, above: 1, failures: 80",
            "checks[0].failures",
            "bears 80 failures, one every 15",
        ),
        (
            "metric: cpu, above: 1, failures_in_a_row: 4, every: 5m",
            "checks[0].failures_in_a_row",
            "one every 5 min",
        ),
    ]);
    each_is_refused(&[(
        "metrics: { health: { score: { error_rate: 1 } } }\nchecks: [{ name: it, metric: health, below: 0 }]",
        "checks[0].below",
        "can never fail",
    )]);
    each_check_is_refused(&[
        ("any: [{ metric: cpu, above: 1, for: 21m }]", "checks[0].for", "looks at 21 min"),
        (
            "all: [{ metric: cpu, above: 1 }, { metric: pool, above: 1, for: 21m }]",
            "checks[0].for",
            "looks at 21 min",
        ),
        ("not: { metric: cpu, above: 1, for: 21m }", "checks[0].for", "looks at 21 min"),
        (
            "not: { any: [{ metric: cpu, above: 1 }, { metric: pool, above: 1, for: 21m }] }",
            "checks[0].for",
            "looks at 21 min",
        ),
    ]);
    let health = "metrics: { health: { score: { latency.p50: 1, latency.p95: 1 } } }\nchecks: [";
    each_is_refused(&[(
        &format!("{health}{{ name: it, metric: health, below: 50%, from: 100% }}]"),
        "checks[0]",
        "no stage from 100% on in which both sides have traffic",
    )]);
    let health = "metrics: { health: { score: { latency.p50: 1, latency.p95: 1 } } }";
    let pass = "stages: [{ weight: 100%, hold: 1h, pass: { health: \">= 50%\" } }]";
    each_is_refused(&[(
        &format!("{health}\n{pass}"),
        "stages[0].pass.health",
        "every part of `health` compares with stable",
    )]);
    for fine in [
        "any: [{ metric: cpu, above: 1 }, { metric: pool, above: 1, for: 21m }]",
        "not: { all: [{ metric: cpu, above: 1 }, { metric: pool, above: 1, for: 21m }] }",
    ] {
        let text = format!("version: 1\nname: a\n{STAGES}checks: [{{ name: it, {fine} }}]\n");
        Policy::from_yaml(&text).unwrap();
    }
    for fine in ["for: 20m", "failures: 79", "failures_in_a_row: 3, every: 5m", "delay: 19m"] {
        let text = format!(
            "version: 1\nname: a\n{STAGES}checks: [{{ name: it, metric: cpu, above: 1, {fine} }}]\n"
        );
        Policy::from_yaml(&text).unwrap();
    }
}

#[test]
fn gates() {
    let asked = |gate: &str| format!("gates: {{ it: {{ {gate} }} }}\nstart: {{ gates: [it] }}");
    for (gate, path, message) in [
        ("approval: {}, window: { cron: \"* * * * *\" }", "gates.it.window", "both `approval` and"),
        ("window: {}", "gates.it.window.cron", "missing"),
        ("window: { cron: \"* * *\" }", "gates.it.window.cron", "no cron expression"),
        ("freeze: { cron: \"* 25 * * *\" }", "gates.it.freeze.cron", "no cron expression"),
        (
            "window: { cron: \"* * * * *\", zone: Europe/Atlantis }",
            "gates.it.window.zone",
            "no time zone",
        ),
        ("http: { url: shop/healthz }", "gates.it.http.url", "no page"),
        ("http: { url: \"https://shop/\", expect: 99 }", "gates.it.http.expect", "no HTTP status"),
        ("http: {}", "gates.it.http.url", "missing"),
        ("alerts: { severity: \"\" }", "gates.it.alerts.severity", "no severity"),
        ("timeout: 0s", "gates.it.timeout", "no time to open"),
        ("timeout: 400d", "gates.it.timeout", "a year"),
        ("otherwise: wait", "gates.it.otherwise", "`wait`"),
    ] {
        each_is_refused(&[(&asked(gate), path, message)]);
    }
    each_is_refused(&[
        ("gates: { it: { approval: {} } }", "gates.it", "nothing asks"),
        (
            "gates: { it: { approval: {} } }\nchecks: [{ name: a, gate: it }]",
            "gates.it",
            "at each look",
        ),
    ]);
}

#[test]
fn a_number_where_a_text_is_meant() {
    each_is_refused(&[
        ("header: { x-version: 1.10 }", "header.x-version", "is the number 1.1"),
        ("header: { x-num: 12345678901234567890 }", "header.x-num", "is the number"),
        ("header: { 0755: a }", "header", "is the number 755"),
        ("audience: { by: 1.0 }", "audience.by", "is the number 1"),
        ("checks: [{ name: 7, metric: cpu, above: 1 }]", "checks[0].name", "is the number 7"),
    ]);
    let header = "header: { x-version: \"1.10\", x-oct: '0755' }";
    let policy = Policy::from_yaml(&format!("version: 1\nname: a\n{STAGES}{header}\n")).unwrap();
    let texts: Vec<_> = policy.spec().header.values().map(String::as_str).collect();
    assert_eq!(texts, ["0755", "1.10"]);
}

#[test]
fn checks_nested_without_end_are_refused_and_nothing_breaks() {
    for depth in [9, 60, 2_000, 100_000] {
        let text = format!(
            "version: 1\nname: a\n{STAGES}checks: [{{ name: it, {}metric: cpu, above: 1{} }}]\n",
            "not: { ".repeat(depth),
            " }".repeat(depth)
        );
        assert!(Policy::from_yaml(&text).is_err(), "{depth}");
    }
}

#[test]
fn a_gate_that_is_spelt_in_two_ways_is_told_with_both() {
    let text = "version: 1\nname: shop\nstart: { gates: [oncal] }\nstages: [{ weight: 100%, hold: 1m }]\n\
                gates: { oncall: { approval: {} } }\n";
    let error = Policy::from_yaml(text).unwrap_err();
    let [problem] = error.problems() else { panic!("{error}") };
    assert_eq!(problem.help, "`oncal` is asked, which does not stand here: is it the same one?");
}

#[test]
fn what_would_be_refused_is_not_offered() {
    let help = |lines: &str| {
        let text = format!("version: 1\nname: shop\n{STAGES}{lines}\n");
        Policy::from_yaml(&text).unwrap_err().problems().last().unwrap().help.clone()
    };
    for lines in
        ["no_data: { then: no }", "errors: { then: no }", "progress: { within: 1h, then: no }"]
    {
        assert_eq!(help(lines), "expected `roll_back`, `ask` or `hold`", "{lines}");
    }
    let evidence = help("checks: [{ name: a, worse_than_stable: 2x, for: 2m }]");
    assert!(!evidence.contains("metric") && evidence.contains("false_alarm"), "{evidence}");
    let limit = help("checks: [{ name: a, metric: cpu, above: 1, over: 5% }]");
    assert!(!limit.contains("below") && limit.contains("samples"), "{limit}");
}

#[test]
fn as_many_as_possible_are_told_at_once() {
    let problems = refused(
        "stages: [{ name: tenth, weight: 10%, hold: 5 }, { name: full, weight: 100%, hold: 10m }]\n\
         checks: [{ name: slow, metric: latency.95, above: 500ms }, { name: many, metric: error_rate, above: 5% }]\n\
         gates:\n  office: { window: { cron: \"* 9-16 * * MON-THR\", zone: Europe/Berln }, timeout: 0s }\n  \
         unused: { approval: {}, timeout: soon }",
    );
    let paths: Vec<&str> = problems.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "stages[0].hold",
            "checks[0].metric",
            "gates.office",
            "gates.office.window.cron",
            "gates.office.window.zone",
            "gates.office.timeout",
            "gates.unused",
            "gates.unused.timeout",
        ],
        "{problems:#?}"
    );
}

#[test]
fn what_follows_from_another_error_is_not_told() {
    // Who is asked is not known, nor how long the stages hold: nothing is said of gates that nobody asks.
    for (lines, path) in [
        (&*stage("weight: 10%, hold: 10m, gats: [oncall]"), "stages[0].gats"),
        ("start: { gate: [oncall] }", "start.gate"),
        ("checks: [{ name: it, gate: \"on call\" }]", "checks[0].gate"),
    ] {
        let problems = refused(&format!("{lines}\ngates: {{ oncall: {{ approval: {{}} }} }}"));
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert_eq!(problems[0].0, path);
    }
}

#[test]
fn the_words_are_those_of_policies() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    for text in [bomb, "version: 1\nname: shop\nkeep: .inf\n"] {
        let error = Policy::from_yaml(text).unwrap_err().to_string();
        assert!(!error.contains("budget") && !error.contains("configured"), "{error}");
    }
    let problems = refused("settle: 5M");
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let error =
        Policy::from_yaml(&format!("version: 1\nname: shop\n{STAGES}settle: 5M\n")).unwrap_err();
    assert!(error.to_string().contains("`5m` is minutes"), "{error}");
}
