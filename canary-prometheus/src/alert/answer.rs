//! What the two kinds of server are asked, and what they answer.

use std::time::Duration;

use canary_core::ports::PortError;
use serde::Deserialize;

use crate::api::answer::{Envelope, Labels};
use crate::http::{Http, Page, kind_of};
use crate::limits::Limits;

/// Says whom a gate asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    Prometheus,
    Alertmanager,
}

/// Holds an alert as either of them tells of it.
#[derive(Debug, Deserialize)]
pub(super) struct Alert {
    pub(super) labels: Labels,
    /// What Prometheus says of it; who is sent to an Alertmanager fires.
    #[serde(default)]
    pub(super) state: State,
    /// Since when, in the server's own words.
    #[serde(alias = "activeAt", alias = "startsAt", default)]
    pub(super) since: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    #[default]
    Firing,
    Pending,
    #[serde(other)]
    Other,
}

/// Holds what Prometheus answers.
#[derive(Debug, Deserialize)]
struct Alerts {
    alerts: Vec<Alert>,
}

impl Alert {
    /// Returns a label's value; one that is not there is empty.
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.get(name).unwrap_or("")
    }
}

impl Server {
    /// Fetches the alerts; Prometheus sends all that it has, whatever the filters.
    pub(super) async fn alerts(
        self,
        http: &Http,
        filters: &[String],
        time: Duration,
        limits: Limits,
    ) -> Result<Vec<Alert>, PortError> {
        let (path, query) = match self {
            Self::Prometheus => ("/api/v1/alerts", Vec::new()),
            Self::Alertmanager => {
                let fixed = [("active", "true"), ("silenced", "false"), ("inhibited", "false")];
                let filters = filters.iter().map(|filter| ("filter", &**filter));
                ("/api/v2/alerts", fixed.into_iter().chain(filters).collect())
            }
        };
        let page = http.get(path, &query, time, limits.bytes).await?;
        let alerts = match self {
            Self::Prometheus => by_prometheus(http, &page),
            Self::Alertmanager => by_alertmanager(http, &page),
        };
        let alerts = page.with_rest(alerts)?;
        match (alerts.len(), limits.series) {
            (there, most) if there > most => {
                Err(http.too_much(&format!("{most} alerts ({there})")))
            }
            _ => Ok(alerts),
        }
    }
}

fn by_prometheus(http: &Http, page: &Page) -> Result<Vec<Alert>, PortError> {
    let status = page.status;
    match http.json::<Envelope<Alerts>>(page, "alerts")?.into_answer() {
        Ok(answer) if status.is_success() => Ok(answer.data.alerts),
        Ok(_) => Err(http.error(kind_of(status), &format!("answers {status}"))),
        Err(said) => {
            Err(http.error(kind_of(status), &format!("answers {status}: {}", page.quote(&said))))
        }
    }
}

fn by_alertmanager(http: &Http, page: &Page) -> Result<Vec<Alert>, PortError> {
    let status = page.status;
    if !status.is_success() {
        let said = page.quote(&String::from_utf8_lossy(&page.body));
        return Err(http.error(kind_of(status), &format!("answers {status}: {said}")));
    }
    http.json(page, "Alertmanager")
}
