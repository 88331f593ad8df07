//! What Istio's own analysis says of an object.

use canary_kube::Finding;
use serde_json::Value;

use super::service::Service;

/// Finds what istiod wrote in the status, where its analysis is switched on.
pub(super) fn told(service: &Service<'_>) -> Vec<Finding> {
    let messages = service.0["status"]["validationMessages"].as_array();
    let found = messages.into_iter().flatten().map(|message| finding(service, message));
    let mut found: Vec<_> = found.collect();
    // It says the same of each destination.
    found.dedup();
    found
}

fn finding(service: &Service<'_>, message: &Value) -> Finding {
    let about = format!("VirtualService {}", service.name());
    let kind = &message["type"];
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let name = [text(&kind["code"]), text(&kind["name"])].join(" ");
    let name = if name.trim().is_empty() { message.to_string() } else { name.trim().to_owned() };
    let what = format!("Istio's analysis says {name}");
    let finding = match message["level"].as_str() {
        Some("ERROR") => Finding::error(about, what),
        Some("INFO") => Finding::note(about, what),
        _ => Finding::warning(about, what),
    };
    finding.advice(text(&message["documentationUrl"]))
}
