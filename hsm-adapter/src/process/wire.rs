//! What the two processes say to each other: messages, each behind its length (32 bits, little-endian).

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    HsmError, PoolState,
    call::{Octets, malformed},
    pkcs11::TokenSelector,
};

/// No message is longer: a request of a thousand hashes takes a tenth of it.
const LONGEST: usize = 4 * 1024 * 1024;
/// Octets of a length.
const LENGTH: usize = 4;

/// A module, and how it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModuleSetup {
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// Whether the process needs the network, and other programs: a client of an HSM elsewhere does, a token that is a program does not.
    pub network: bool,
}

/// A slot of the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SlotSetup {
    /// Its name in the configuration.
    pub name: String,
    /// Which token.
    pub selector: TokenSelector,
    /// File with the token's user PIN: only the process of the module reads it.
    pub pin_file: PathBuf,
    /// Name of the profile of its vendor.
    pub profile: String,
    /// Sessions that sign.
    pub sessions: usize,
    /// Calls that may wait for a session.
    pub queue: usize,
    /// How long a call may wait for a session.
    pub deadline: Duration,
    /// Opened keys kept at once.
    pub open_keys: usize,
}

/// To the process of the module.
#[derive(Serialize, Deserialize)]
pub(super) enum Order {
    Start(ModuleSetup),
    Open(u16, Box<SlotSetup>),
    /// The request stands behind it.
    Call {
        id: u64,
        slot: u16,
    },
}

/// From the process of the module.
#[derive(Serialize, Deserialize)]
pub(super) enum Report {
    Started(Result<(), HsmError>),
    Opened(u16, Result<(), HsmError>),
    /// The answer or failure stands behind it.
    Answered(u64, Learned),
    State(State),
}

/// What an answer tells beside itself.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Learned {
    /// The versions of the master keys in use, in the order of [`MasterSet::ALL`](crate::MasterSet::ALL).
    pub(super) masters: [u32; 2],
    /// Key-encryption keys derived since the answer before.
    pub(super) derivations: u64,
}

/// How the process is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Resident memory, in octets.
    pub(super) memory: u64,
    /// Its slots, in the order in which they were opened.
    pub(super) slots: Vec<SlotState>,
}

/// How a slot is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SlotState {
    pub(super) slot: u16,
    pub(super) pool: PoolState,
    /// How long the call lasts that has lasted longest, of those that sign and of those that make keys; in whole seconds.
    pub(super) longest: [u64; 2],
    /// The device is not to be asked again.
    pub(super) barred: Option<HsmError>,
}

/// A message: its head, and what stands behind it.
pub(crate) fn message<H: Serialize>(head: &H, body: &[u8]) -> Result<Octets, HsmError> {
    let mut octets = Vec::with_capacity(LENGTH + 512 + body.len());
    octets.extend_from_slice(&[0; LENGTH]);
    let octets = postcard::to_extend(head, octets).map_err(|error| malformed(&error))?;
    let mut octets = Zeroizing::new(octets);
    octets.extend_from_slice(body);
    let length = octets.len() - LENGTH;
    let too_long = || HsmError::Refused("a message that is too long".to_owned());
    if length > LONGEST {
        return Err(too_long());
    }
    let length = u32::try_from(length).map_err(|_| too_long())?;
    for (octet, value) in octets.iter_mut().zip(length.to_le_bytes()) {
        *octet = value;
    }
    Ok(octets)
}

/// Writes a message.
pub(crate) fn write(mut stream: impl Write, message: &[u8]) -> io::Result<()> {
    stream.write_all(message)
}

/// The next message; `None` when the other side has ended.
pub(crate) fn read(mut stream: impl Read) -> io::Result<Option<Octets>> {
    let mut length = [0; LENGTH];
    match stream.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut octets = Zeroizing::new(vec![0; length]);
    stream.read_exact(&mut octets)?;
    Ok(Some(octets))
}

/// The head of a message, and what stands behind it.
pub(crate) fn head<'a, H: Deserialize<'a>>(octets: &'a [u8]) -> Result<(H, &'a [u8]), HsmError> {
    postcard::take_from_bytes(octets).map_err(|error| malformed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_was_written() {
        let call = Order::Call { id: 7, slot: 1 };
        let mut pipe = Vec::new();
        write(&mut pipe, &message(&call, b"request").unwrap()).unwrap();

        let read = read(pipe.as_slice()).unwrap().unwrap();

        let (order, request) = head::<Order>(&read).unwrap();
        assert!(matches!(order, Order::Call { id: 7, slot: 1 }));
        assert_eq!(request, b"request");
    }

    #[test]
    fn a_length_beyond_the_bound_is_not_believed() {
        let length = u32::try_from(LONGEST + 1).unwrap().to_le_bytes();

        assert!(read(length.as_slice()).is_err());
        assert!(message(&Order::Call { id: 1, slot: 1 }, &vec![0; LONGEST]).is_err());
    }

    #[test]
    fn a_message_cut_short_is_none() {
        let call = message(&Order::Call { id: 7, slot: 1 }, b"request").unwrap();

        assert!(read(call.split_last().unwrap().1).is_err());
        assert!(read([].as_slice()).unwrap().is_none());
    }
}
