//! API servers for tests: one in memory, and whichever `CANARY_TEST_KUBECONFIG` points at.

mod cluster;
mod collection;
mod dressed;
mod kubelet;
mod memory;
mod untouched;

pub use cluster::{Cluster, RouteObject};
pub use dressed::Dressed;
pub use kubelet::{Fate, Kubelet};
pub use memory::MemoryApi;
pub use untouched::{differences, takes_only_its_own};
