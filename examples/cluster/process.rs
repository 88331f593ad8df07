//! What this process costs the machine, as Linux tells it.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// How many clock ticks `/proc` counts in a second, on every architecture.
const TICKS: u64 = 100;

/// Returns how long all threads have computed, in the kernel too.
pub(crate) fn cpu() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").context("CPU time is known on Linux alone")?;
    computed(&stat).context("/proc/self/stat reads otherwise")
}

fn computed(stat: &str) -> Option<Duration> {
    // The second field is the command's name and may hold blanks: count behind it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut times = rest.split_whitespace().skip(11);
    let mut next = || times.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((next()? + next()?) * 1000 / TICKS))
}

/// Returns how much memory the process has, in KiB.
pub(crate) fn memory() -> anyhow::Result<u64> {
    let status =
        fs::read_to_string("/proc/self/status").context("memory is known on Linux alone")?;
    resident(&status).context("/proc/self/status reads otherwise")
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_kernel_time_are_added_whatever_the_command_is_called() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 900 0 3 0 150 25 0 0 20 0 4 0 1234 1000 200";
        assert_eq!(computed(stat), Some(Duration::from_millis(1750)));
    }

    #[test]
    fn memory_is_what_is_resident() {
        let status = "Name:\tcluster\nVmHWM:\t  9000 kB\nVmRSS:\t  8192 kB\n";
        assert_eq!(resident(status), Some(8192));
    }
}
