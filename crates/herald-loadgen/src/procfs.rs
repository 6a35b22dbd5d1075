//! What the kernel says of processes: processor time and memory, read from `/proc`. Where there
//! is none, and for processes that have ended, the answer is `None`.

use std::{fs, process};

/// User and system time of a process, all its threads, and its children that have ended and were
/// waited for, in seconds; exact to 10 ms, which is how the kernel counts it.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(process_ticks(&stat)? as f64 / ticks_per_second())
}

/// The same of this process.
pub fn own_cpu_seconds() -> Option<f64> {
    cpu_seconds(process::id())
}

/// Time that all processors together have not been idle since boot, in seconds.
pub fn busy_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    Some(system_ticks(&stat)? as f64 / ticks_per_second())
}

/// Resident memory of a process, in bytes.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The kernel's memory for sockets, whoever has them: their buffers, and the slab caches that hold
/// the sockets themselves (and whatever else the kernel keeps), in bytes.
pub fn kernel_bytes() -> Option<u64> {
    let slab = slab_kilobytes(&fs::read_to_string("/proc/meminfo").ok()?)? * 1024;
    let pages = tcp_pages(&fs::read_to_string("/proc/net/sockstat").ok()?)?;
    Some(slab + pages * rustix::param::page_size() as u64)
}

/// `Slab` of proc_meminfo(5).
fn slab_kilobytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Slab:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// What TCP's buffers take.
fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    line.split_once(" mem ")?.1.trim().parse().ok()
}

/// The processes of a process group, its leader among them; the leader alone where there is no
/// `/proc`.
pub fn group(leader: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut members: Vec<u32> = pids
        .filter(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            group_of(&stat) == Some(leader)
        })
        .collect();
    if members.is_empty() {
        members.push(leader);
    }
    members
}

/// Field 5 of proc_pid_stat(5).
fn group_of(stat: &str) -> Option<u32> {
    after_name(stat)?.nth(2)?.parse().ok()
}

fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// Fields 14 to 17 of proc_pid_stat(5).
fn process_ticks(stat: &str) -> Option<u64> {
    let mut ticks = after_name(stat)?.skip(11).map(|field| field.parse::<u64>().ok());
    Some(ticks.next()?? + ticks.next()?? + ticks.next()?? + ticks.next()??)
}

/// The fields from the third one on. The second one, in parentheses, may hold anything.
fn after_name(stat: &str) -> Option<std::str::SplitWhitespace<'_>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}

/// All of proc_stat(5)'s first line but idle and iowait, and but guest time, which is in user.
fn system_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(ticks.iter().take(8).sum::<u64>() - ticks.get(3)? - ticks.get(4)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_is_passed_over() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 95 0 0 0 120 30 5 1 20 0 1 0 5 1000 9";
        assert_eq!((process_ticks(stat), group_of(stat)), (Some(156), Some(7)));
        assert_eq!((process_ticks("7 (a"), group_of("7 (a) S 1")), (None, None));
    }

    #[test]
    fn idle_time_is_not_busy() {
        assert_eq!(system_ticks("cpu  10 1 5 1000 50 2 3 4 9 0\ncpu0 1"), Some(25));
    }

    #[test]
    fn the_kernels_share_is_slab_and_tcp() {
        assert_eq!(slab_kilobytes("MemTotal: 9 kB\nSlab:            1234 kB\n"), Some(1234));
        let sockstat =
            "sockets: used 9\nTCP: inuse 5 orphan 0 tw 2 alloc 9 mem 17\nUDP: inuse 1 mem 3";
        assert_eq!(tcp_pages(sockstat), Some(17));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_time_and_memory() {
        assert!(own_cpu_seconds().is_some() && busy_seconds() >= own_cpu_seconds());
        assert!(resident_bytes(process::id()).unwrap() > 100_000);
        assert!(kernel_bytes().unwrap() > 100_000);
    }
}
