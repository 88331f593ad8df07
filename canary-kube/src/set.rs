//! Several route objects that move together.

use async_trait::async_trait;
use canary_core::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use canary_core::value::{FailureKind, RolloutId, Traffic, Version};
use futures::future::join_all;

use crate::route::RouteWeights;
use crate::split::greatest;
use crate::watch::RouteWatch;

/// Shifts the traffic of several route objects together, as one route of a rollout.
///
/// Rules of one object change in one request. Several objects cannot: they are raised one after the other, and the
/// first failure ends it; they are lowered all at once, and a failure is told once all were tried. What is
/// observed is the greatest exposure of any of them.
#[derive(Clone, Debug)]
pub struct RouteSet {
    /// At least one.
    objects: Vec<RouteWeights>,
}

impl From<RouteWeights> for RouteSet {
    fn from(object: RouteWeights) -> Self {
        Self { objects: vec![object] }
    }
}

impl RouteSet {
    /// Takes these along.
    #[must_use]
    pub fn and(mut self, other: impl Into<Self>) -> Self {
        for object in other.into().objects {
            match self.objects.iter_mut().find(|known| known.is_same_object(&object)) {
                Some(known) => known.take_along(object),
                None => self.objects.push(object),
            }
        }
        self
    }

    /// Looks at the objects with this watch, which costs no request; those of another kind as before.
    #[must_use]
    pub fn watched(self, watch: &RouteWatch) -> Self {
        let objects = self.objects.into_iter().map(|object| object.watched(watch)).collect();
        Self { objects }
    }

    async fn lower(&self, call: &Call, traffic: &Traffic) -> Result<Vec<Version>, PortError> {
        let lowered = self.objects.iter().map(|object| object.apply(call, traffic, None));
        all(join_all(lowered).await.into_iter().map(|done| done.map(|done| done.version)))
    }

    async fn raise(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: &Version,
    ) -> Result<Vec<Version>, PortError> {
        let versions = self.split(at)?;
        let mut raised = Vec::new();
        for (object, version) in self.objects.iter().zip(&versions) {
            raised.push(object.apply(call, traffic, Some(version)).await?.version);
        }
        Ok(raised)
    }

    /// Makes one version of those of the objects.
    fn join(&self, mut versions: Vec<Version>) -> Result<Version, PortError> {
        if versions.len() == 1 {
            return Ok(versions.remove(0));
        }
        let texts: Vec<&str> = versions.iter().map(Version::as_str).collect();
        serde_json::to_string(&texts).map(Version::new).map_err(|error| {
            PortError::new(FailureKind::Internal, "a version cannot be written").with_source(error)
        })
    }

    fn split(&self, version: &Version) -> Result<Vec<Version>, PortError> {
        if self.objects.len() == 1 {
            return Ok(vec![version.clone()]);
        }
        let texts: Vec<String> = serde_json::from_str(version.as_str()).unwrap_or_default();
        if texts.len() == self.objects.len() {
            return Ok(texts.into_iter().map(Version::new).collect());
        }
        let message = "the version to raise at was not made by this router";
        Err(PortError::new(FailureKind::Invalid, message))
    }
}

#[async_trait]
impl TrafficRouter for RouteSet {
    fn capabilities(&self) -> Capabilities {
        let all = self.objects.iter().map(TrafficRouter::capabilities);
        let common = all.reduce(|mut common, next| {
            common.headers &= next.headers;
            common.mirror &= next.mirror;
            common
        });
        common.unwrap_or_default()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        let looks = join_all(self.objects.iter().map(|object| object.observe(call))).await;
        let looks = all(looks)?;
        let traffic = greatest(looks.iter().map(|look| Ok(look.traffic.clone())))?;
        let versions = looks.into_iter().map(|look| look.version).collect();
        Ok(Observed::new(traffic, self.join(versions)?))
    }

    async fn holder(&self, call: &Call) -> Result<Option<RolloutId>, PortError> {
        let holders = join_all(self.objects.iter().map(|object| object.holder(call))).await;
        Ok(all(holders)?.into_iter().flatten().next())
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        let versions = match at {
            Some(version) => self.raise(call, traffic, version).await?,
            None => self.lower(call, traffic).await?,
        };
        // Each object has read back that it holds just this.
        Ok(Applied::accepted(traffic.clone(), self.join(versions)?))
    }

    async fn release(&self, call: &Call) -> Result<(), PortError> {
        let released = join_all(self.objects.iter().map(|object| object.release(call))).await;
        all(released).map(drop)
    }
}

/// Returns all answers, or the error that says most: that the call comes too late, or else the first.
fn all<T>(answers: impl IntoIterator<Item = Result<T, PortError>>) -> Result<Vec<T>, PortError> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(answer) => good.push(answer),
            Err(error) => bad.push(error),
        }
    }
    let late = bad.iter().position(|error| error.later().is_some());
    match bad.into_iter().nth(late.unwrap_or(0)) {
        Some(error) => Err(error),
        None => Ok(good),
    }
}
