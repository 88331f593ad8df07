//! How large a canary must be, and what it is large enough for.

use canary_core::policy::Scale;
use canary_core::ports::{Call, Capacity, PortError};
use canary_core::value::{FailureKind, Weight};

use super::deployment::{Deployment, ROLLOUT, SIZE};

/// Returns how many replicas stable has when it has all of the traffic: the most that was seen in this rollout.
///
/// An autoscaler makes stable smaller while its traffic goes to the canary.
pub(super) fn whole(call: &Call, stable: &Deployment, canary: Option<&Deployment>) -> u32 {
    let ours = canary.filter(|canary| canary.annotation(ROLLOUT) == Some(call.rollout.as_str()));
    let kept = ours.and_then(|canary| canary.annotation(SIZE)).and_then(|size| size.parse().ok());
    stable.replicas().max(kept.unwrap_or(0)).max(1)
}

/// Returns how many replicas the canary needs beside a stable of this many.
///
/// # Errors
/// `Unsupported` for a scale that is not known here.
pub(super) fn needed(wanted: &Capacity, whole: u32) -> Result<u32, PortError> {
    Ok(match wanted.scale {
        None => share(whole, wanted.weight),
        Some(Scale::Share(of_stable)) => share(whole, of_stable),
        Some(Scale::Replicas(replicas)) => replicas.max(1),
        Some(_) => {
            return Err(PortError::new(FailureKind::Unsupported, "this scale is not known here"));
        }
    })
}

/// Returns the highest weight that so many available replicas are enough for; `None` without any.
pub(super) fn ready_for(wanted: &Capacity, whole: u32, available: u32) -> Option<Weight> {
    let needed = needed(wanted, whole).ok()?;
    if available == 0 || (wanted.scale.is_some() && available < needed) {
        return None;
    }
    let points = u64::from(available) * u64::from(Weight::FULL.basis_points()) / u64::from(whole);
    let points = u16::try_from(points).unwrap_or(u16::MAX).min(Weight::FULL.basis_points());
    let by_size = Weight::from_basis_points(points).ok()?;
    // The plan may think less enough than the weight would need, and says so for this weight only.
    Some(if wanted.scale.is_some() { wanted.weight } else { by_size })
}

/// Returns this share, rounded up, and one at least.
fn share(whole: u32, weight: Weight) -> u32 {
    let points = u64::from(whole) * u64::from(weight.basis_points());
    let replicas = points.div_ceil(u64::from(Weight::FULL.basis_points()));
    u32::try_from(replicas).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weight() -> impl Strategy<Value = Weight> {
        (0..=10_000_u16).prop_map(|points| Weight::from_basis_points(points).unwrap())
    }

    proptest! {
        #[test]
        fn what_a_weight_needs_is_ready_for_it_and_one_less_is_not(whole in 1..5_000_u32, weight in weight()) {
            let wanted = Capacity::new(weight, None);
            let replicas = needed(&wanted, whole).unwrap();
            prop_assert!(replicas >= 1 && replicas <= whole);
            prop_assert!(ready_for(&wanted, whole, replicas).unwrap() >= weight);
            prop_assert!(ready_for(&wanted, whole, replicas - 1).is_none_or(|ready| ready < weight));
        }

        #[test]
        fn a_plan_that_says_a_scale_has_it_in_full(whole in 1..100_u32, weight in weight(), replicas in 1..100_u32) {
            let wanted = Capacity::new(weight, Some(Scale::Replicas(replicas)));
            prop_assert_eq!(needed(&wanted, whole).unwrap(), replicas);
            prop_assert_eq!(ready_for(&wanted, whole, replicas), Some(weight));
            prop_assert_eq!(ready_for(&wanted, whole, replicas - 1), None);
        }
    }

    #[test]
    fn a_share_is_rounded_up_and_at_least_one() {
        let needed = |points, whole| {
            let weight = Weight::from_basis_points(points).unwrap();
            needed(&Capacity::new(weight, None), whole).unwrap()
        };
        assert_eq!(
            [needed(0, 10), needed(1, 10), needed(1_000, 10), needed(1_001, 10)],
            [1, 1, 1, 2]
        );
        let half = Some(Scale::Share(Weight::percent(50)));
        assert_eq!(super::needed(&Capacity::new(Weight::percent(1), half), 5).unwrap(), 3);
    }
}
