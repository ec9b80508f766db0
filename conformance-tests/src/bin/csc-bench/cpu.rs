//! What the kernel says a process has used, its children included.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

/// USER_HZ, in which /proc counts time: 100 on every Linux.
const TICKS: f64 = 100.0;
const PAGE: u64 = 4096;

/// CPU time of a process and everything it started.
pub(crate) fn of(pid: u32) -> Duration {
    let stats = stats();
    let ticks: u64 = family(&stats, pid)
        .iter()
        .filter_map(|pid| stats.get(pid))
        .map(|stat| stat.ticks)
        .sum();
    Duration::from_secs_f64(ticks as f64 / TICKS)
}

/// Octets that a process and everything it started have in memory.
pub(crate) fn resident(pid: u32) -> u64 {
    let pages = family(&stats(), pid).into_iter().filter_map(|pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        text.split(' ').nth(1)?.parse::<u64>().ok()
    });
    pages.sum::<u64>() * PAGE
}

struct Stat {
    parent: u32,
    ticks: u64,
}

fn stats() -> BTreeMap<u32, Stat> {
    let Ok(dir) = fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    let pids = dir
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?))).collect()
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; from the state on all is plain.
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        ticks: number(11)? + number(12)?,
    })
}

fn family(stats: &BTreeMap<u32, Stat>, pid: u32) -> BTreeSet<u32> {
    let mut family = BTreeSet::from([pid]);
    loop {
        let children = stats
            .iter()
            .filter(|(_, stat)| family.contains(&stat.parent));
        let children: Vec<_> = children.map(|(pid, _)| *pid).collect();
        let before = family.len();
        family.extend(children);
        if family.len() == before {
            return family;
        }
    }
}

/// CPU time of this process alone, without what it started.
pub(crate) fn own() -> Duration {
    let ticks = stat(std::process::id()).map_or(0, |stat| stat.ticks);
    Duration::from_secs_f64(ticks as f64 / TICKS)
}
