//! What the process of a module may not do, set before it loads anything.

use std::env::consts::ARCH;

use rustix::{process::Signal, thread::set_no_new_privs};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// It gains no privileges and ends with who started it. Without `network` it has no sockets but local ones, starts no program, and looks into
/// no other process. To be called while there is one thread: later ones inherit it.
///
/// # Errors
/// When the system refuses.
pub(crate) fn enter(network: bool) -> Result<(), String> {
    let text = |error: rustix::io::Errno| error.to_string();
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(text)?;
    set_no_new_privs(true).map_err(text)?;
    if network {
        return Ok(());
    }
    let program = filter().map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let elsewhere = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Ne,
        libc::AF_UNIX as u64,
    )?;
    let never = [
        libc::SYS_execve,
        libc::SYS_execveat,
        // It makes sockets as well.
        libc::SYS_io_uring_setup,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_ptrace,
    ];
    let rules = never
        .map(|call| (call, Vec::new()))
        .into_iter()
        .chain([(libc::SYS_socket, vec![SeccompRule::new(vec![elsewhere])?])])
        .collect();
    let refused = SeccompAction::Errno(libc::EACCES as u32);
    SeccompFilter::new(rules, SeccompAction::Allow, refused, ARCH.try_into()?)?.try_into()
}
