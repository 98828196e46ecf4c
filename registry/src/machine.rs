//! What this process may take of its machine: what limits that nobody set are made of.

use std::fs;

/// Bytes of memory: of the machine, or fewer where its control group says so. `None` where neither can
/// be told.
pub(crate) fn memory_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.as_deref().and_then(total_of);
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min()
}

/// How many files this process may have open.
pub(crate) fn open_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    files_of(&limits)
}

fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The soft limit, which comes before the hard one.
fn files_of(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_the_kernel_writes_them() {
        assert_eq!(
            total_of("MemTotal:  16 kB\nMemFree: 1 kB\n"),
            Some(16 << 10)
        );
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        let limits = "Limit   Soft Limit  Hard Limit  Units\nMax open files  1024  524288  files\n";
        assert_eq!(files_of(limits), Some(1024));
        assert_eq!(
            files_of("Max open files  unlimited  unlimited  files\n"),
            Some(u64::MAX)
        );
        assert_eq!(files_of(""), None);
        assert!(memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
        assert!(open_files().is_some_and(|files| files > 8));
    }
}
