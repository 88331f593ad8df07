//! The promises of a workload.

use crate::support::Shop;

mod made_from_stable {
    use super::Shop;

    canary_core::workload_conformance!(
        #[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
        || async { Shop::open(3).await.versions() }
    );
}

mod a_pair {
    use super::Shop;

    canary_core::workload_conformance!(
        #[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
        || async { Shop::open(3).await.pair().await }
    );
}

mod the_old_one_is_deleted {
    use super::Shop;

    canary_core::workload_conformance!(
        #[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
        || async { Shop::open(3).await.versions().delete_old() }
    );
}
