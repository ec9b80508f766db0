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
/// Room for a few messages of the usual length.
const USUAL: usize = 64 * 1024;
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

/// Reads messages: one system call brings as many as have come. What was taken out of the buffer is wiped there.
pub(crate) struct Reader<R> {
    stream: R,
    buffer: Octets,
    /// How much of the buffer has come and was not taken.
    filled: usize,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: Zeroizing::new(vec![0; USUAL]),
            filled: 0,
        }
    }

    /// The next message; `None` when the other side has ended.
    pub(crate) fn next(&mut self) -> io::Result<Option<Octets>> {
        loop {
            if let Some(octets) = self.take()? {
                return Ok(Some(octets));
            }
            let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
            match self.stream.read(room) {
                Ok(0) if self.filled == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The first message in the buffer, if it is whole; makes room for it if there is none.
    fn take(&mut self) -> io::Result<Option<Octets>> {
        let came = self.buffer.get(..self.filled).unwrap_or_default();
        let Some((length, rest)) = came.split_first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let end = LENGTH + length;
        let Some(message) = rest.get(..length) else {
            if self.buffer.len() < end {
                let mut larger = Zeroizing::new(vec![0; end]);
                for (to, from) in larger.iter_mut().zip(came) {
                    *to = *from;
                }
                self.buffer = larger;
            }
            return Ok(None);
        };
        let octets = Zeroizing::new(message.to_vec());
        self.buffer.copy_within(end..self.filled, 0);
        let left = self.filled - end;
        if let Some(taken) = self.buffer.get_mut(left..self.filled) {
            taken.fill(0);
        }
        self.filled = left;
        Ok(Some(octets))
    }
}

/// The head of a message, and what stands behind it.
pub(crate) fn head<'a, H: Deserialize<'a>>(octets: &'a [u8]) -> Result<(H, &'a [u8]), HsmError> {
    postcard::take_from_bytes(octets).map_err(|error| malformed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were_written_and_leave_nothing_behind() {
        let call = Order::Call { id: 7, slot: 1 };
        let mut pipe = Vec::new();
        write(&mut pipe, &message(&call, b"request").unwrap()).unwrap();

        let long = vec![5; 2 * USUAL];
        write(&mut pipe, &message(&call, &long).unwrap()).unwrap();
        write(&mut pipe, &message(&call, b"last").unwrap()).unwrap();

        let mut reader = Reader::new(pipe.as_slice());

        for sent in [b"request", long.as_slice(), b"last"] {
            let read = reader.next().unwrap().unwrap();
            let (order, request) = head::<Order>(&read).unwrap();
            assert!(matches!(order, Order::Call { id: 7, slot: 1 }));
            assert_eq!(request, sent);
        }
        assert!(reader.next().unwrap().is_none());
        assert!(reader.buffer.iter().all(|octet| *octet == 0));
    }

    #[test]
    fn a_length_beyond_the_bound_is_not_believed() {
        let length = u32::try_from(LONGEST + 1).unwrap().to_le_bytes();

        assert!(Reader::new(length.as_slice()).next().is_err());
        assert!(message(&Order::Call { id: 1, slot: 1 }, &vec![0; LONGEST]).is_err());
    }

    #[test]
    fn a_message_cut_short_is_none() {
        let call = message(&Order::Call { id: 7, slot: 1 }, b"request").unwrap();

        let cut = call.split_last().unwrap().1;
        assert!(Reader::new(cut).next().is_err());
        assert!(Reader::new([].as_slice()).next().unwrap().is_none());
    }
}
