//! The query API: one query, one answer.

use std::time::Duration;

use canary_core::ports::PortError;
use canary_core::value::{Timestamp, millis};

use crate::http::{Http, Page, beginning, kind_of};
use crate::limits::Limits;

pub(crate) mod answer;

use answer::{Answer, Data, Envelope};

/// Asks one server queries.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: Http,
    limits: Limits,
}

impl Api {
    pub(crate) const fn new(http: Http, limits: Limits) -> Self {
        Self { http, limits }
    }

    /// Evaluates a query as of an instant.
    pub(crate) async fn query(
        &self,
        promql: &str,
        at: Timestamp,
        patience: Duration,
    ) -> Result<Answer, PortError> {
        self.ask("/api/v1/query", promql, &[("time", seconds(at))], patience).await
    }

    /// Evaluates a query as of the first of two instants, and every so often after it up to the second.
    pub(crate) async fn query_range(
        &self,
        promql: &str,
        (from, until): (Timestamp, Timestamp),
        every: Duration,
        patience: Duration,
    ) -> Result<Answer, PortError> {
        let step = format!("{}ms", millis(every));
        let form = [("start", seconds(from)), ("end", seconds(until)), ("step", step)];
        self.ask("/api/v1/query_range", promql, &form, patience).await
    }

    /// Asks once. The server is told not to work on it for longer than anybody waits.
    async fn ask(
        &self,
        path: &str,
        promql: &str,
        when: &[(&str, String)],
        patience: Duration,
    ) -> Result<Answer, PortError> {
        let most = patience.min(self.limits.time);
        let timeout = format!("{}ms", millis(most));
        let when = when.iter().map(|(name, value)| (*name, value.as_str()));
        let form: Vec<_> =
            [("query", promql)].into_iter().chain(when).chain([("timeout", &*timeout)]).collect();
        let page = self.http.ask(path, &form, most, self.limits.bytes).await?;
        page.with_rest(self.understand(&page, promql).and_then(|answer| self.within_limits(answer)))
    }

    fn understand(&self, page: &Page, promql: &str) -> Result<Answer, PortError> {
        let status = page.status;
        match self.http.json::<Envelope<Data>>(page, "query")?.into_answer() {
            Ok(answer) if status.is_success() => Ok(answer),
            Ok(_) => Err(self.http.error(kind_of(status), &format!("answers {status}"))),
            Err(said) => {
                let (said, promql) = (page.quote(&said), beginning(promql));
                let why = format!("answers {status}: {said}; the query was `{promql}`");
                Err(self.http.error(kind_of(status), &why))
            }
        }
    }

    fn within_limits(&self, answer: Answer) -> Result<Answer, PortError> {
        let Limits { series: most_series, samples: most_samples, .. } = self.limits;
        let (series, samples) = answer.data.size();
        if series > most_series {
            return Err(self.http.too_much(&format!("{most_series} series ({series})")));
        }
        if samples > most_samples {
            return Err(self.http.too_much(&format!("{most_samples} samples ({samples})")));
        }
        Ok(answer)
    }
}

/// Writes an instant as the query API reads it, exact to the millisecond.
fn seconds(at: Timestamp) -> String {
    format!("{}.{:03}", at.as_millis() / 1000, at.as_millis() % 1000)
}
