//! API servers for tests: one in memory, and whichever `CANARY_TEST_KUBECONFIG` points at.

mod cluster;
mod memory;
mod untouched;

pub use cluster::{Cluster, RouteObject};
pub use memory::MemoryApi;
pub use untouched::{differences, leaves_the_rest_alone};
