//! A PIN that somebody chooses: not one of those that are guessed first (SC-55).

use hsm_adapter::Pin;
use zeroize::Zeroizing;

/// As many digits of a telephone number, a user name or an address in a row make a PIN a part of it.
const SHARED: usize = 6;

/// A PIN fit to guard a new key.
#[derive(Debug)]
pub struct NewPin(Pin);

/// Why a PIN is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// It is no PIN at all.
    #[error("a PIN has exactly 8 digits")]
    Form,
    /// 11111111, 12345678, 98765432, 24680246.
    #[error("the digits of a PIN do not go up or down in equal steps")]
    Steps,
    /// 12121212, 19801980.
    #[error("a PIN is not the same two or four digits again and again")]
    Repeated,
    /// 19801982.
    #[error("a PIN is not two years")]
    Years,
    /// 33312345 of somebody at +39 333 1234567.
    #[error("a PIN is no part of a telephone number, a user name or an address")]
    Personal,
}

impl NewPin {
    /// Takes a PIN unless it is weak; `known` is what others know of the holder: user name, telephone number, mail address.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn choose(text: &str, known: &[&str]) -> Result<Self, PinError> {
        let pin = Pin::parse(text).ok_or(PinError::Form)?;
        match weakness(text.as_bytes(), known) {
            Some(weakness) => Err(weakness),
            None => Ok(Self(pin)),
        }
    }

    /// The PIN.
    pub fn pin(&self) -> &Pin {
        &self.0
    }
}

fn weakness(digits: &[u8], known: &[&str]) -> Option<PinError> {
    let (first, second) = digits.split_at(digits.len() / 2);
    let mut steps = digits
        .iter()
        .zip(digits.iter().skip(1))
        .map(|(digit, next)| (10 + next - digit) % 10);
    let step = steps.next();
    if steps.all(|other| Some(other) == step) {
        return Some(PinError::Steps);
    }
    // Two digits four times are four digits twice.
    if first == second {
        return Some(PinError::Repeated);
    }
    if is_year(first) && is_year(second) {
        return Some(PinError::Years);
    }
    let shared = |text: &str| {
        let known = Zeroizing::new(text.bytes().filter(u8::is_ascii_digit).collect::<Vec<_>>());
        let mut parts = digits.windows(SHARED);
        parts.any(|part| known.windows(SHARED).any(|window| window == part))
    };
    known
        .iter()
        .any(|text| shared(text))
        .then_some(PinError::Personal)
}

fn is_year(digits: &[u8]) -> bool {
    matches!(digits, [b'1', b'9', ..] | [b'2', b'0', ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["anna.bianchi19850312", "+39 333 123 4567", "ab@example.org"];

    #[test]
    fn weak_pins_are_refused_by_their_weakness() {
        for (pins, weakness) in [
            (
                &[
                    "",
                    "1234567",
                    "123456789",
                    "1234567a",
                    "１２３４５６７８",
                    " 7294618",
                ][..],
                PinError::Form,
            ),
            (
                &[
                    "00000000", "77777777", "12345678", "01234567", "78901234", "87654321",
                    "98765432", "32109876", "24680246", "97531975",
                ],
                PinError::Steps,
            ),
            (
                &["12121212", "90909090", "47114711", "19801980"],
                PinError::Repeated,
            ),
            (&["19801982", "20011999", "19452024"], PinError::Years),
            (
                // The last has just as many of a number's digits as make it a part of it.
                &[
                    "33312345", "12345677", "39333123", "19850312", "98503124", "33312390",
                ],
                PinError::Personal,
            ),
        ] {
            for pin in pins {
                assert_eq!(NewPin::choose(pin, &KNOWN).err(), Some(weakness), "{pin}");
            }
        }
    }

    #[test]
    fn other_pins_are_taken() {
        for pin in [
            "72946183", "11112222", "12435687", "19801234", "21041996", "33399123", "11223344",
            "33312990",
        ] {
            assert!(NewPin::choose(pin, &KNOWN).is_ok(), "{pin}");
        }
        assert!(NewPin::choose("33312345", &[]).is_ok(), "nobody's number");
    }
}
