//! API servers for tests: one in memory, and whichever `CANARY_TEST_KUBECONFIG` points at.

mod cluster;
mod memory;

pub use cluster::{Cluster, RouteObject};
pub use memory::MemoryApi;
