//! Which series belong together: to one process, to one counter that several servers scrape, to one pod.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::answer::Labels;
use crate::delta::{self, Samples, Track};
use crate::read::Seen;

/// The labels that name a pod, in the order in which they are looked for.
const POD_LABELS: [&str; 2] = ["pod", "instance"];

/// Says what the labels of series mean.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labelling {
    /// Names the pod, where the user said so.
    pub(crate) pod: Option<String>,
    /// Names the server, where several scrape the same processes.
    pub(crate) replica: Option<String>,
}

/// Holds tracks, and the pod of each where they are told apart.
#[derive(Debug, Default)]
pub(crate) struct Tracks {
    pub(crate) all: Vec<Track>,
    pub(crate) pods: Vec<Arc<str>>,
}

/// Tells processes apart as servers do: by server, `job` and `instance`, and by pod.
type Process = [Option<String>; 4];

impl Labelling {
    /// Lets series begin at zero whose process was scraped before without them. `parts` are all series that
    /// the processes were asked for.
    pub(crate) fn begin_at_zero(&self, parts: &mut [&mut Vec<Seen>]) {
        let series = parts.iter_mut().flat_map(|part| part.iter_mut());
        let known =
            series.filter_map(|seen| Some((self.process(&seen.labels)?, &mut seen.samples)));
        delta::begin_at_zero(known);
    }

    /// Names a series' process; where nothing tells processes apart, as in sums, there are none.
    fn process(&self, labels: &Labels) -> Option<Process> {
        let label = |name: &str| labels.get(name).map(str::to_owned);
        let (instance, pod) = (label("instance"), label("pod"));
        (instance.is_some() || pod.is_some()).then(|| {
            let replica = self.replica.as_deref().and_then(label);
            [replica, label("job"), instance, pod]
        })
    }

    /// Returns the label that names the pods, if all of the series have one.
    pub(crate) fn pod_label(&self, parts: &[&Vec<Seen>]) -> Option<&str> {
        let in_all = |label: &&str| {
            parts.iter().flat_map(|part| part.iter()).all(|seen| seen.labels.get(label).is_some())
        };
        match &self.pod {
            Some(label) => Some(&**label).filter(in_all),
            None => POD_LABELS.into_iter().find(in_all),
        }
    }

    /// Makes one track of what each server saw of the same counter.
    pub(crate) fn tracks(&self, series: Vec<Seen>, pod_label: Option<&str>) -> Tracks {
        let name = |labels: &Labels| Some(Arc::from(labels.get(pod_label?)?));
        let Some(replica) = &self.replica else {
            let pods = series.iter().filter_map(|seen| name(&seen.labels)).collect();
            let all = series.iter().map(|seen| Track::new(std::slice::from_ref(&seen.samples)));
            return Tracks { all: all.collect(), pods };
        };
        let mut counters = BTreeMap::<Labels, Vec<Samples>>::new();
        for Seen { mut labels, samples } in series {
            labels.remove(replica);
            counters.entry(labels).or_default().push(samples);
        }
        let pods = counters.keys().filter_map(name).collect();
        Tracks { all: counters.values().map(|replicas| Track::new(replicas)).collect(), pods }
    }
}
