//! What is refused when a source is built.

use canary_core::ports::MetricSource;
use canary_core::value::{FailureKind, Query, Signal, Timestamp};
use canary_prometheus::{BuildError, LatencyUnit, Prometheus, QueryProblem};

#[cfg(feature = "promql")]
#[test]
fn a_query_of_the_wrong_kind_is_refused_before_a_rollout_depends_on_it() {
    let builder = Prometheus::builder("http://127.0.0.1:9090");
    let good = r#"a{variant="{{ variant }}"}"#;
    for (error, text) in [
        (
            builder.clone().requests("sum(a)", good).build(),
            "requests (total): a series selector such as",
        ),
        (
            builder.clone().latency("rate(a[1m])", LatencyUnit::Seconds).build(),
            "latency: a series selector such as",
        ),
        (builder.value("x", "sum(rate(a))").build(), "x: an expression that gives one number"),
    ] {
        let error = error.unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn what_is_wrong_is_said_before_a_rollout_depends_on_it() {
    let builder = || Prometheus::builder("http://127.0.0.1:9090");
    let good = r#"a{variant="{{ variant }}"}"#;
    for (error, text) in [
        (
            builder().requests(good, r#"a{v="{{ varaint }}"}"#).build(),
            "requests (bad): there is no variable `varaint`; there are rollout, variant, window",
        ),
        (builder().latency("a", LatencyUnit::Seconds).build(), "the same series on both sides"),
        (builder().value("x", "1").value("x", "2").build(), "x is asked for by two queries"),
        (builder().variable("variant", "v2").build(), "the variable `variant` is filled in"),
        (Prometheus::builder("prometheus").build(), "the server's address cannot be read"),
    ] {
        let error = error.unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
    let unknown = builder().value("x", "{{ y }}").build().unwrap_err();
    assert!(matches!(
        unknown,
        BuildError::Query { problem: QueryProblem::UnknownVariable { name, .. }, .. } if name == "y"
    ));
}

#[test]
fn what_a_policy_asks_in_its_own_words_is_read_before_the_rollout_starts() {
    let source = Prometheus::builder("http://127.0.0.1:9090").value("pool", "1").build().unwrap();
    let check = |signal: Signal, words: Option<&str>| {
        let mut query = Query::new(signal, Timestamp::EPOCH);
        query.text = words.map(Into::into);
        source.check(&query).map_err(|error| (error.kind(), error.to_string()))
    };
    let custom = |name: &str| Signal::Custom(name.into());
    assert_eq!(check(custom("pool"), None), Ok(()));
    assert_eq!(check(custom("x"), Some(r#"max(x{variant="{{ variant }}"})"#)), Ok(()));
    let (kind, text) = check(custom("x"), Some("max({{ varaint }})")).unwrap_err();
    assert_eq!(kind, FailureKind::Invalid);
    assert!(text.starts_with("there is no variable `varaint`"), "{text}");
    for signal in [custom("x"), Signal::Requests] {
        assert_eq!(check(signal, None).unwrap_err().0, FailureKind::Unsupported);
    }
    #[cfg(feature = "promql")]
    assert!(check(custom("x"), Some("sum(rate(a))")).unwrap_err().1.contains("sum(rate(a))"));
}
