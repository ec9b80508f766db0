//! The examination in a process of its own: a module that crashes or hangs takes nothing with it, and where it did is known.

use std::{
    io::{self, ErrorKind, stdin},
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Finding, Scope, Told, examination::examine_token};
use crate::{
    HsmError,
    pkcs11::Pkcs11Token,
    process::{ModuleSetup, Program, SlotSetup, enter, wire},
};

/// What the process is to examine.
#[derive(Serialize, Deserialize)]
struct Order {
    module: ModuleSetup,
    slot: SlotSetup,
    scope: Scope,
}

/// What it answers.
#[derive(Serialize, Deserialize)]
enum Report {
    Told(Told),
    Done,
}

/// Examines a slot in a new process, which calls [`serve`]. `patience`: how long a step may take.
///
/// # Errors
/// [`HsmError::Unfit`] when the process cannot be started.
pub fn examine(
    program: &Program,
    module: ModuleSetup,
    slot: SlotSetup,
    scope: Scope,
    patience: Duration,
    mut told: impl FnMut(Told),
) -> Result<(), HsmError> {
    let unfit = |error: io::Error| HsmError::Unfit(format!("no process for the module: {error}"));
    let (ours, theirs) = UnixStream::pair().map_err(unfit)?;
    ours.set_read_timeout(Some(patience)).map_err(unfit)?;
    let mut command = Command::new(&program.path);
    command
        .args(&program.arguments)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        // What is typed at a terminal is for this process alone.
        .process_group(0);
    if let Some((user, group)) = program.user {
        command.uid(user).gid(group);
    }
    let mut child = command.spawn().map_err(unfit)?;
    // It has the other end of the socket, and this process keeps none.
    drop(command);
    let order = Order {
        module,
        slot,
        scope,
    };
    let mut step = "start".to_owned();
    let order = wire::message(&order, &[])?;
    let ended = wire::write(&ours, &order).and_then(|()| listen(&ours, &mut step, &mut told));
    if let Err(error) = ended {
        let found = match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!("it did not come back within {} s", patience.as_secs())
            }
            _ => "the process of the module ended".to_owned(),
        };
        let remedy =
            "the module hangs or crashes here: see its log and its version, and ask its vendor";
        told(Told::Finding(Finding::wrong(&step, found, remedy)));
    }
    // It ends by itself when it can.
    let _ = ours.shutdown(Shutdown::Both);
    let _ = child.kill();
    child.wait().map(drop).map_err(unfit)
}

fn listen(from: &UnixStream, step: &mut String, told: &mut impl FnMut(Told)) -> io::Result<()> {
    let mut reader = wire::Reader::new(from);
    while let Some(octets) = reader.next()? {
        match wire::head(&octets) {
            Ok((Report::Told(Told::Begun(begun)), [])) => *step = begun,
            Ok((Report::Told(said), [])) => told(said),
            Ok((Report::Done, [])) => return Ok(()),
            _ => return Err(ErrorKind::InvalidData.into()),
        }
    }
    Err(ErrorKind::UnexpectedEof.into())
}

/// Examines what the socket says that is the standard input of this process. `read_pin` reads the PIN file of the slot.
///
/// # Errors
/// When there is no such socket.
pub fn serve(read_pin: fn(&Path) -> Result<Zeroizing<String>, String>) -> io::Result<()> {
    let socket = UnixStream::from(stdin().as_fd().try_clone_to_owned()?);
    let Some(octets) = wire::Reader::new(&socket).next()? else {
        return Ok(());
    };
    let Ok((order, [])) = wire::head::<Order>(&octets) else {
        return Err(ErrorKind::InvalidData.into());
    };
    enter(order.module.network).map_err(io::Error::other)?;
    let mut told = |said| report(&socket, &Report::Told(said));
    match token(&order, read_pin) {
        Ok((token, profile)) => examine_token(&token, profile, &order.scope, &mut told),
        Err(error) => told(Told::Finding(Finding::failed("slot", &error))),
    }
    report(&socket, &Report::Done);
    Ok(())
}

fn token(
    order: &Order,
    read_pin: fn(&Path) -> Result<Zeroizing<String>, String>,
) -> Result<(Pkcs11Token, crate::pkcs11::Profile), HsmError> {
    let SlotSetup {
        name,
        selector,
        pin_file,
        profile,
        ..
    } = &order.slot;
    let pin = read_pin(pin_file).map_err(HsmError::Unfit)?;
    let profile = profile.parse().map_err(HsmError::Unfit)?;
    let token = Pkcs11Token::new(name, &order.module.module, selector.clone(), pin, profile);
    Ok((token, profile))
}

/// Who does not listen any more has ended, and this process ends with it.
fn report(to: &UnixStream, report: &Report) {
    let written = wire::message(report, &[])
        .map_err(|error| error.to_string())
        .and_then(|message| wire::write(to, &message).map_err(|error| error.to_string()));
    if let Err(error) = written {
        tracing::debug!(error, "nobody hears the examination");
    }
}
