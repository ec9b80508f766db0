//! The processes of the PKCS#11 modules: this program again, under a name that nobody types.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail};
use hsm_adapter::{
    check,
    pkcs11::{Profile, TokenSelector},
    process::{Care, ModuleSetup, Process, Program, Remote, SlotSetup, serve},
};

use super::serve::log;
use crate::config::{Config, Slot, secret};

/// The first argument of such a process.
const NAME: &str = "hsm-process";
/// The same of a process that examines a slot.
const EXAMINES: &str = "hsm-examination";
/// The second, when it is to write a log.
const LOGS: &str = "--log";

/// Serves calls into a module, if that is what this process was started for.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let name = arguments.next()?;
    let examines = name == EXAMINES;
    if name != NAME && !examines {
        return None;
    }
    if arguments.next().is_some_and(|argument| argument == LOGS) {
        log();
    }
    let read_pin = |path: &Path| secret::read(path).map_err(|error| error.to_string());
    let served = match examines {
        true => check::serve(read_pin),
        false => serve(read_pin),
    };
    Some(match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the process of a module ends");
            ExitCode::FAILURE
        }
    })
}

/// The processes of this one.
#[derive(Default)]
pub(super) struct Modules(Mutex<BTreeMap<PathBuf, Process>>);

impl Modules {
    /// Opens a slot in the process of its module, which is started unless it runs.
    pub(super) fn open(&self, config: &Config, slot: &Slot) -> Result<Remote> {
        let setup = slot_setup(slot)?;
        let process = self.process(config, &slot.module)?;
        process
            .open(setup)
            .with_context(|| format!("slot '{}' cannot be used", slot.name()))
    }

    fn process(&self, config: &Config, module: &Path) -> Result<Process> {
        let mut processes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = processes.get(module) {
            return Ok(process.clone());
        }
        let setup = module_setup(config, module);
        // It writes one where this process does.
        let logs = tracing::dispatcher::has_been_set();
        let mut program = program(config, NAME)?;
        program.arguments.extend(logs.then(|| LOGS.into()));
        program.logs = logs;
        let care = Care {
            patience: config.hsm.patience,
            memory: config.hsm.max_memory_mib.saturating_mul(1024 * 1024),
        };
        let process = Process::start(program, setup, care)?;
        processes.insert(module.to_owned(), process.clone());
        Ok(process)
    }
}

/// A slot as the process of its module takes it.
pub(super) fn slot_setup(slot: &Slot) -> Result<SlotSetup> {
    let selector = match (&slot.token, &slot.serial) {
        (Some(label), _) => TokenSelector::Label(label.clone()),
        (None, Some(serial)) => TokenSelector::Serial(serial.clone()),
        (None, None) => bail!("slot '{}' names neither token nor serial", slot.name()),
    };
    Ok(SlotSetup {
        name: slot.name().to_owned(),
        selector,
        pin_file: slot.pin_file.clone(),
        profile: slot.profile.clone(),
        sessions: slot.sessions,
        queue: slot.queue,
        deadline: slot.deadline,
        open_keys: slot.open_keys,
    })
}

/// A module as its process takes it.
pub(super) fn module_setup(config: &Config, module: &Path) -> ModuleSetup {
    let of_module = config.slots.iter().filter(|slot| slot.module == module);
    let is_program = |slot: &Slot| {
        slot.profile
            .parse()
            .is_ok_and(|profile: Profile| profile.software)
    };
    ModuleSetup {
        module: module.to_owned(),
        network: !of_module.into_iter().all(is_program),
    }
}

/// The program that examines a slot.
pub(super) fn examiner(config: &Config) -> Result<Program> {
    program(config, EXAMINES)
}

fn program(config: &Config, name: &str) -> Result<Program> {
    Ok(Program {
        path: env::current_exe().context("the path of this program")?,
        arguments: vec![name.into()],
        user: config.hsm.user(),
        logs: false,
    })
}
