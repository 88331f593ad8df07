//! For each alert worlds in which it fires, just beyond its limit, and worlds in which it does not, just within.

use canary_core::value::Side::{Canary, Stable};
use canary_prometheus::rules::Mesh;

use crate::world::{MINUTES, World};

/// When the alerts are looked at, in seconds: they have had time to fire.
const NOW: f64 = (MINUTES * 60) as f64 - 600.0;

/// What the alerts of a policy are expected to be, as the policy's author reads it.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) policy: &'static str,
    pub(crate) errors: f64,
    pub(crate) success: f64,
    /// Seconds.
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    /// Multiples of stable's.
    pub(crate) errors_of_stable: f64,
    pub(crate) p95_of_stable: f64,
    /// Seconds.
    pub(crate) stagnant: f64,
    pub(crate) stalled: f64,
}

/// Expects an alert in a world, or expects it not.
pub(crate) struct Case {
    pub(crate) alert: &'static str,
    pub(crate) why: &'static str,
    pub(crate) fires: bool,
    pub(crate) world: World,
}

/// Holds the cases of one policy and mesh.
pub(crate) struct Cases {
    mesh: Mesh,
    all: Vec<Case>,
}

impl Cases {
    pub(crate) fn of(mesh: Mesh, expected: &Expected) -> Vec<Case> {
        let mut cases = Self { mesh, all: Vec::new() };
        cases.errors(expected);
        cases.errors_of_stable(expected.errors_of_stable);
        cases.latency(expected);
        cases.resources();
        cases.pods();
        cases.traffic();
        cases.rollout(expected);
        cases.all
    }

    fn world(&self) -> World {
        World::new(self.mesh)
    }

    fn fires(&mut self, alert: &'static str, why: &'static str, world: World) {
        self.all.push(Case { alert, why, fires: true, world });
    }

    fn quiet(&mut self, alert: &'static str, why: &'static str, world: World) {
        self.all.push(Case { alert, why, fires: false, world });
    }

    fn errors(&mut self, expected: &Expected) {
        let failing = |share: f64| {
            let failed = (share * 10_000.0).round();
            self.world().requests(Canary, 10_000.0 - failed, failed)
        };
        let (over, under) = (failing(expected.errors + 1e-4), failing(expected.errors - 1e-4));
        let (worse, better) =
            (failing(1.0 - expected.success + 1e-4), failing(1.0 - expected.success - 1e-4));
        let nothing = self.world().requests(Canary, 0.0, 0.0);
        self.fires("CanaryHighErrorRate", "one in ten thousand too many", over);
        self.quiet("CanaryHighErrorRate", "one in ten thousand fewer", under);
        self.quiet("CanaryHighErrorRate", "no requests", nothing.clone());
        self.fires("CanaryLowSuccessRate", "one in ten thousand too few", worse);
        self.quiet("CanaryLowSuccessRate", "one in ten thousand more", better);
        self.quiet("CanaryLowSuccessRate", "no requests", nothing);
    }

    fn errors_of_stable(&mut self, times: f64) {
        let alert = "CanaryErrorRateHigherThanStable";
        // In five minutes stable fails 300 of 300000, taken as 301, and the canary has 30000.
        let borne = times * 30_000.0 * 301.0 / 300_000.0;
        let borne = borne + 3.0 * borne.sqrt();
        let few = (borne / 5.0).floor();
        let both = |failed: f64| {
            let world = self.world().requests(Stable, 59_940.0, 60.0);
            world.requests(Canary, 6000.0 - failed, failed)
        };
        let (over, under) = (both(few + 1.0), both(few));
        // With a stable side that never failed, so many a minute.
        let flawless = |failed: f64| {
            self.world().requests(Stable, 60_000.0, 0.0).requests(Canary, 60.0, failed)
        };
        let (one, some) = (flawless(0.2), flawless(2.0));
        let alone = self.world().requests(Canary, 50.0, 10.0);
        self.fires(alert, "just beyond chance", over);
        self.quiet(alert, "just within chance", under);
        self.quiet(alert, "a single error, stable had none", one);
        self.fires(alert, "ten errors, stable had none", some);
        self.quiet(alert, "stable has no requests", alone);
    }

    fn latency(&mut self, expected: &Expected) {
        for (alert, limit) in
            [("CanaryHighLatencyP95", expected.p95), ("CanaryHighLatencyP99", expected.p99)]
        {
            let over = self.world().latency(Canary, 600.0, [limit, limit + 0.02]);
            let under = self.world().latency(Canary, 600.0, [limit - 0.02, limit]);
            self.fires(alert, "a little slower", over);
            self.quiet(alert, "a little faster", under);
            let nothing = self.world().latency(Canary, 0.0, [limit, limit + 0.02]);
            self.quiet(alert, "no requests", nothing);
        }
        let alert = "CanaryLatencyHigherThanStable";
        let compared = |times: f64, count: f64| {
            let world = self.world().latency(Stable, 600.0, [0.1, 0.11]);
            world.latency(Canary, count, [0.1 * times, 0.11 * times])
        };
        let times = expected.p95_of_stable;
        let (over, under) = (compared(times + 0.01, 600.0), compared(times - 0.01, 600.0));
        let few = compared(times + 5.0, 19.0);
        self.fires(alert, "a little slower", over);
        self.quiet(alert, "a little faster", under);
        self.quiet(alert, "95 requests, too few to speak of", few);
        let alone = self.world().latency(Canary, 600.0, [3.0, 3.1]);
        self.quiet(alert, "stable has no requests", alone);
    }

    fn resources(&mut self) {
        for (alert, [cpu, memory]) in
            [("CanaryHighCPUUsage", [0.81, 0.2]), ("CanaryHighMemoryUsage", [0.2, 0.81])]
        {
            let over = self.world().container(Canary, cpu, memory);
            let less = |used: f64| if used > 0.5 { used - 0.02 } else { used };
            let under = self.world().container(Canary, less(cpu), less(memory));
            self.fires(alert, "81 %", over);
            self.quiet(alert, "79 %", under);
            let stable = self.world().container(Stable, 0.99, 0.99);
            self.quiet(alert, "stable's are none of its business", stable);
        }
        let alert = "CanaryMemoryUsageHigherThanStable";
        let both = |times: f64| {
            self.world().container(Stable, 0.1, 0.2).container(Canary, 0.1, 0.2 * times)
        };
        let (over, under) = (both(1.51), both(1.49));
        let alone = self.world().container(Stable, 0.1, 0.0).container(Canary, 0.1, 0.5);
        self.fires(alert, "1.51 times as much", over);
        self.quiet(alert, "1.49 times as much", under);
        self.quiet(alert, "stable uses none", alone);
    }

    fn pods(&mut self) {
        let world = || World::new(self.mesh);
        let cases = [
            ("CanaryPodsNotReady", "one is not", true, world().pod(Canary, false)),
            ("CanaryPodsNotReady", "all are", false, world().pod(Canary, true).pod(Stable, false)),
            ("CanaryVersionDivergence", "no stable", true, world().pod(Canary, true)),
            (
                "CanaryVersionDivergence",
                "stable is not ready",
                true,
                world().pod(Canary, true).pod(Stable, false),
            ),
            (
                "CanaryVersionDivergence",
                "both are there",
                false,
                world().pod(Canary, true).pod(Stable, true),
            ),
            ("CanaryVersionDivergence", "no canary", false, world().pod(Stable, true)),
            (
                "CanaryPodCrashLooping",
                "it waits to be started again",
                true,
                world().waiting(Canary, "CrashLoopBackOff"),
            ),
            (
                "CanaryPodCrashLooping",
                "it waits for its image",
                false,
                world().waiting(Canary, "ImagePullBackOff"),
            ),
            (
                "CanaryPodCrashLooping",
                "it is stable's",
                false,
                world().waiting(Stable, "CrashLoopBackOff"),
            ),
            ("CanaryReadinessProbesFailing", "four", true, world().failing("Readiness", 2.0)),
            ("CanaryReadinessProbesFailing", "two", false, world().failing("Readiness", 1.0)),
            ("CanaryLivenessProbesFailing", "four", true, world().failing("Liveness", 2.0)),
            ("CanaryLivenessProbesFailing", "two", false, world().failing("Liveness", 1.0)),
            ("CanaryLivenessProbesFailing", "others", false, world().failing("Readiness", 9.0)),
        ];
        let cases = cases.map(|(alert, why, fires, world)| Case { alert, why, fires, world });
        self.all.extend(cases);
    }

    fn traffic(&mut self) {
        let weighed = |weight: f64, stable: f64, canary: f64| {
            let world = self.world().rollout("weight_ratio", weight);
            let world = world.requests(Stable, stable, 0.0);
            if canary > 0.0 { world.requests(Canary, canary, 0.0) } else { world }
        };
        let alert = "CanaryReceivingNoTraffic";
        // In five minutes 100 requests of which the canary would have 5, or 95.
        let (enough, few) = (weighed(0.05, 20.0, 0.0), weighed(0.05, 19.0, 0.0));
        let (some, header) = (weighed(0.05, 1000.0, 1.0), weighed(0.0, 1000.0, 0.0));
        let silent = self.world().rollout("weight_ratio", 1.0);
        let ([over, under], lone) = (
            [151.0, 149.0].map(|canary| weighed(0.05, 1000.0 - canary, canary)),
            weighed(0.05, 9.0, 9.0),
        );
        let less = weighed(0.5, 700.0, 300.0);
        self.fires(alert, "five were to be expected", enough);
        self.quiet(alert, "fewer were to be expected", few);
        self.quiet(alert, "it gets some", some);
        self.quiet(alert, "it is to get none", header);
        self.fires(alert, "nothing is known of any requests", silent);
        let alert = "CanaryTrafficSplitMisconfigured";
        self.fires(alert, "15.1 % instead of 5 %", over);
        self.quiet(alert, "14.9 % instead of 5 %", under);
        self.quiet(alert, "too few requests to speak of", lone);
        self.fires(alert, "30 % instead of 50 %", less);
    }

    fn rollout(&mut self, expected: &Expected) {
        let at = |metric: &str, ago: f64| {
            self.world().rollout(&format!("{metric}_timestamp_seconds"), NOW - ago)
        };
        let ended = |world: World, ago: f64| {
            world.rollout_with("ended_timestamp_seconds", r#",outcome="promoted""#, NOW - ago)
        };
        let (limit, stood) = (expected.stagnant, expected.stalled);
        let gone = at("progressed", stood + 1.0).until(10);
        let cases = [
            ("CanaryStagnant", "a second longer", true, at("started", limit + 1.0)),
            ("CanaryStagnant", "a second shorter", false, at("started", limit - 1.0)),
            ("CanaryStagnant", "it has ended", false, ended(at("started", limit + 1.0), 60.0)),
            (
                "CanaryStagnant",
                "an earlier one ended",
                true,
                ended(at("started", limit + 1.0), limit + 60.0),
            ),
            ("CanaryStagnant", "its process is gone", true, at("started", limit + 1.0).until(10)),
            ("CanaryRolloutStalled", "a second longer", true, at("progressed", stood + 1.0)),
            ("CanaryRolloutStalled", "a second shorter", false, at("progressed", stood - 1.0)),
            ("CanaryRolloutStalled", "its process is gone", true, gone),
            (
                "CanaryRolloutStalled",
                "it waits for somebody",
                false,
                at("progressed", stood + 1.0).rollout("waiting", 1.0),
            ),
            (
                "CanaryRolloutStalled",
                "it has ended",
                false,
                ended(at("progressed", stood + 1.0), 60.0),
            ),
            (
                "CanaryRolloutStalled",
                "it says so itself",
                true,
                at("progressed", 5.0).rollout("stalled", 1.0).rollout("waiting", 1.0),
            ),
        ];
        let cases = cases.map(|(alert, why, fires, world)| Case { alert, why, fires, world });
        self.all.extend(cases);
        self.rollback(expected);
    }

    fn rollback(&mut self, expected: &Expected) {
        let alert = "CanaryAutomatedRollbackRecommended";
        let found = |verdict: &str, then: &str| {
            let labels = format!(r#",check="errors",verdict="{verdict}",then="{then}""#);
            self.world().rollout_with("check_verdict", &labels, 1.0)
        };
        let (fails, asks) = (found("fail", "roll_back"), found("fail", "ask"));
        let (passes, warns) = (found("pass", "roll_back"), found("fail", "warn"));
        let stuck = self.world().rollout("stuck", 1.0);
        let well = self.world().rollout("stuck", 0.0);
        let failed = ((expected.errors + 0.01) * 10_000.0).round();
        let critical = self.world().requests(Canary, 10_000.0 - failed, failed);
        let warning = self.world().pod(Canary, false);
        self.fires(alert, "a check that takes it back fails", fails);
        self.fires(alert, "a check that asks fails", asks);
        self.quiet(alert, "it passes", passes);
        self.quiet(alert, "a check that warns fails", warns);
        self.fires(alert, "it cannot be taken back", stuck);
        self.quiet(alert, "nothing is stuck", well);
        self.fires(alert, "another alert is critical", critical);
        self.quiet(alert, "another alert is a warning", warning);
    }
}
