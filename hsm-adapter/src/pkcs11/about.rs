//! What a token of a module says of itself.

use cryptoki_sys::{
    CK_FLAGS, CK_ULONG, CK_UNAVAILABLE_INFORMATION, CK_VERSION, CKF_CLOCK_ON_TOKEN,
    CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_INITIALIZED, CKF_USER_PIN_LOCKED,
    CKF_USER_PIN_TO_BE_CHANGED, CKF_WRITE_PROTECTED,
};

use super::raw::{Failure, Library, TokenInfo, text};
use crate::{About, Mechanism, PinState};

pub(super) fn read(library: &Library, slot: u64) -> Result<About, Failure> {
    let TokenInfo {
        label,
        serial,
        whole: info,
        ..
    } = library.token(slot)?;
    let of_library = library.info()?;
    let has = |flag: CK_FLAGS| info.flags & flag != 0;
    let words = |parts: &[&[u8]]| {
        let parts = parts.iter().map(|part| text(part));
        parts
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut mechanisms: Vec<_> = library
        .mechanisms(slot)?
        .into_iter()
        .map(Mechanism)
        .collect();
    mechanisms.sort_unstable();
    Ok(About {
        library: format!(
            "{} {}",
            words(&[&of_library.manufacturerID, &of_library.libraryDescription]),
            version(of_library.libraryVersion)
        ),
        cryptoki: version(of_library.cryptokiVersion),
        label,
        serial,
        model: words(&[&info.manufacturerID, &info.model]),
        hardware: version(info.hardwareVersion),
        firmware: version(info.firmwareVersion),
        pin_set: has(CKF_USER_PIN_INITIALIZED),
        writable: !has(CKF_WRITE_PROTECTED),
        pin: pin(info.flags),
        clock: has(CKF_CLOCK_ON_TOKEN).then(|| text(&info.utcTime)),
        sessions: told(info.ulSessionCount),
        // None at all is said by who has no bound.
        most_sessions: told(info.ulMaxSessionCount).filter(|most| *most > 0),
        mechanisms,
    })
}

fn pin(flags: CK_FLAGS) -> PinState {
    let said = [
        (CKF_USER_PIN_LOCKED, PinState::Locked),
        (CKF_USER_PIN_FINAL_TRY, PinState::FinalTry),
        (CKF_USER_PIN_TO_BE_CHANGED, PinState::ToBeChanged),
        (CKF_USER_PIN_COUNT_LOW, PinState::CountLow),
    ];
    let worst = said.into_iter().find(|(flag, _)| flags & flag != 0);
    worst.map_or(PinState::Fine, |(_, state)| state)
}

/// Some say -2 where the standard has -1.
fn told(count: CK_ULONG) -> Option<u64> {
    (count < CK_UNAVAILABLE_INFORMATION - 1).then_some(count)
}

fn version(version: CK_VERSION) -> String {
    format!("{}.{}", version.major, version.minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_that_is_said_of_a_pin_counts() {
        let low = CKF_USER_PIN_COUNT_LOW;

        assert_eq!(pin(0), PinState::Fine);
        assert_eq!(pin(low), PinState::CountLow);
        assert_eq!(pin(low | CKF_USER_PIN_TO_BE_CHANGED), PinState::ToBeChanged);
        assert_eq!(pin(low | CKF_USER_PIN_FINAL_TRY), PinState::FinalTry);
        let all = CKF_USER_PIN_LOCKED | CKF_USER_PIN_FINAL_TRY | low;
        assert_eq!(pin(all), PinState::Locked);
    }

    #[test]
    fn a_count_that_is_no_count_is_not_believed() {
        assert_eq!(told(CK_ULONG::MAX), None);
        assert_eq!(told(CK_ULONG::MAX - 1), None);
        assert_eq!(told(16), Some(16));
    }
}
