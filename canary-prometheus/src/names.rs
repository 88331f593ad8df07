//! The names of the metrics of rollouts, which the exporter writes and the rules and the dashboard read, and of an alert.

/// The rollout's id, its policy and version, as labels; always 1.
pub(crate) const INFO: &str = "canary_rollout_info";
/// 1 for the phase that the rollout is in, 0 for the others.
pub(crate) const PHASE: &str = "canary_rollout_phase";
/// The position of the stage, from 0.
pub(crate) const STAGE: &str = "canary_rollout_stage_index";
/// When the stage was entered.
pub(crate) const STAGE_ENTERED: &str = "canary_rollout_stage_entered_timestamp_seconds";
/// How much of the stage's hold has been observed.
pub(crate) const HELD: &str = "canary_rollout_stage_held_seconds";
/// The weight that the router accepted.
pub(crate) const WEIGHT: &str = "canary_rollout_weight_ratio";
/// The canary's measured share of the requests at the last look.
pub(crate) const SHARE: &str = "canary_rollout_observed_share_ratio";
/// 1, with the verdict as a label.
pub(crate) const VERDICT: &str = "canary_rollout_check_verdict";
/// The odds that a check of evidence has come to.
pub(crate) const ODDS: &str = "canary_rollout_check_evidence_odds";
/// The odds that decide.
pub(crate) const NEEDED: &str = "canary_rollout_check_evidence_needed_odds";
/// The canary's health score.
pub(crate) const HEALTH: &str = "canary_rollout_health_score_ratio";
/// Calls to ports that failed.
pub(crate) const FAILED_CALLS: &str = "canary_rollout_failed_calls";
/// Those of them that were retries already.
pub(crate) const FAILED_RETRIES: &str = "canary_rollout_failed_retries";
/// How often the route was found changed by somebody else.
pub(crate) const DRIFTS: &str = "canary_rollout_drifts";
/// Whether taking the canary back takes longer than it may.
pub(crate) const STUCK: &str = "canary_rollout_stuck";
/// Whether the rollout has stood still for longer than its policy bears.
pub(crate) const STALLED: &str = "canary_rollout_stalled";
/// Whether it waits for a gate or a person.
pub(crate) const WAITING: &str = "canary_rollout_waiting";
/// When it began.
pub(crate) const STARTED: &str = "canary_rollout_started_timestamp_seconds";
/// When it last came further.
pub(crate) const PROGRESSED: &str = "canary_rollout_progressed_timestamp_seconds";
/// When it ended, with the outcome as a label.
pub(crate) const ENDED: &str = "canary_rollout_ended_timestamp_seconds";
/// How long calls to ports take.
pub(crate) const CALLS: &str = "canary_rollout_port_call_duration_seconds";
/// The alert that repeats what the rollout itself and the other alerts say.
pub(crate) const ROLLBACK_RECOMMENDED: &str = "CanaryAutomatedRollbackRecommended";
