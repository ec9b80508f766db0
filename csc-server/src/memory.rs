//! What was in memory stays in memory: no core file, and no debugger of another process of the same user (SC-103). What is given back is wiped: `main`.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Forbids core files and attaching. Called first, before any secret is read.
///
/// # Errors
/// When the system refuses, which it has no reason to.
pub fn protect() -> std::io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
