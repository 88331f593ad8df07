//! A judge that was saved and taken up again goes on exactly as the one that was not.

use proptest::prelude::*;

use super::*;
use crate::policy::{CheckKind, Evident, Then, Unclear, Weighed};
use crate::value::{PodCounts, Side};

fn all() -> Vec<Check> {
    let weigh = |name: &str, of: &[Evident]| {
        let of: Vec<_> = of.iter().map(|what| Weighed::new(*what, 1.0)).collect();
        Check::worse_in(name, 1.25, of).then(Then::Warn)
    };
    let ranks = CheckKind::MannWhitney { metric: "latency.p50".parse().unwrap(), ratio: 1.1 };
    vec![
        weigh("errors", &[]),
        weigh("slow", &[Evident::Latency]),
        weigh("both", &[Evident::Errors, Evident::Latency]),
        Check::objective("slo", 0.02),
        Check::as_good_as_stable("well", 2.0, Unclear::Hold),
        Check::new("ranks", ranks).then(Then::Warn),
        Check::above("limit", "error_rate", 0.5).lasting(Duration::from_secs(30)).then(Then::Hold),
    ]
}

#[derive(Clone, Debug)]
enum Seen {
    Nothing,
    Silence,
    Requests { bad: [u64; 2], slow: [u64; 2], pods: bool },
}

fn seen() -> impl Strategy<Value = Seen> {
    let requests =
        (prop::array::uniform2(0_u64..60), prop::array::uniform2(0_u64..400), any::<bool>());
    prop_oneof![
        1 => Just(Seen::Nothing),
        1 => Just(Seen::Silence),
        8 => requests.prop_map(|(bad, slow, pods)| Seen::Requests { bad, slow, pods }),
    ]
}

fn look(bench: &mut Bench, seen: &Seen) -> Judged {
    match seen {
        Seen::Nothing => bench.pending(),
        Seen::Silence => bench.look(|_| Ok((counts(400, 0), Reading::NoData))),
        Seen::Requests { bad, slow, pods } => bench.look_at(|signal, window| {
            let latency = |slow: u64| times(400 - slow, slow - slow / 3, slow / 3);
            Ok(match signal {
                Signal::Latency => Measured::new(window, latency(slow[0]), latency(slow[1])),
                _ if !pods => Measured::new(window, counts(400, bad[0]), counts(400, bad[1])),
                _ => {
                    let half = |i: usize, bad: u64| {
                        PodCounts::new(format!("canary-{i}"), Counts::new(200, bad).unwrap())
                    };
                    let pods = vec![half(0, bad[1] / 4), half(1, bad[1] - bad[1] / 4)];
                    Measured::new(window, counts(400, bad[0]), counts(400, bad[1]))
                        .with_pods(Side::Canary, pods)
                }
            })
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn it_goes_on_exactly_the_same(looks in prop::collection::vec(seen(), 1..60), saved_after in 0_usize..60) {
        let mut spec = spec(all());
        spec.stages[0].hold_ms = 300_000;
        let (mut kept, mut saved) = (Bench::with(spec.clone()), Bench::with(spec));
        for (i, seen) in looks.iter().enumerate() {
            if i == saved_after {
                let text = serde_json::to_string(&saved.judge).unwrap();
                saved.judge = serde_json::from_str(&text).unwrap();
                prop_assert!(saved.judge.fits(&saved.policy));
            }
            let (first, second) = (look(&mut kept, seen), look(&mut saved, seen));
            prop_assert_eq!(&first.judgement, &second.judgement);
            prop_assert_eq!(&kept.judge, &saved.judge);
            prop_assert_eq!(kept.judge.shown(&kept.policy), saved.judge.shown(&saved.policy));
        }
    }
}
