//! Makes a token: found by its label, initialised where it is missing, its PINs in files.

use std::{fs, path::Path};

use anyhow::{Context, Result, anyhow, bail};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    session::UserType,
    slot::Slot,
    types::AuthPin,
};

use crate::{
    home::{self, Home},
    output,
};

/// One token and the role of its `[[slot]]` section.
pub(crate) struct Token {
    /// What the service does with it, in the words of the configuration file.
    pub(crate) role: &'static str,
    /// The token's label, by which the service finds it.
    pub(crate) label: &'static str,
}

/// Holders' keys and the issuer's keys live in different slots.
const TOKENS: &[Token] = &[
    Token {
        role: "holder",
        label: "csc-holder",
    },
    Token {
        role: "issuer",
        label: "csc-issuer",
    },
];

/// Makes every token that is missing and proves that the PIN on file opens each.
pub(crate) fn make_ready(module: &Path, home: &Home) -> Result<&'static [Token]> {
    let unloadable = || format!("cannot use {} as a PKCS#11 library", module.display());
    let library = Pkcs11::new(module).with_context(unloadable)?;
    library
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .with_context(unloadable)?;
    for token in TOKENS {
        token
            .make_ready(&library, home)
            .with_context(|| format!("token {}", token.label))?;
    }
    Ok(TOKENS)
}

impl Token {
    fn make_ready(&self, library: &Pkcs11, home: &Home) -> Result<()> {
        let slot = match self.find(library)? {
            Some(slot) => slot,
            None => self.initialise(library, home)?,
        };
        if library.get_token_info(slot)?.user_pin_initialized() {
            output::progress(&format!("token {} is ready", self.label));
        } else {
            self.set_user_pin(library, slot, home)?;
            output::progress(&format!("token {} made", self.label));
        }
        self.log_in(library, slot, home)
    }

    fn find(&self, library: &Pkcs11) -> Result<Option<Slot>> {
        let mut found = None;
        for slot in library.get_slots_with_initialized_token()? {
            if library.get_token_info(slot)?.label() == self.label && found.replace(slot).is_some()
            {
                bail!("more than one token carries this label");
            }
        }
        Ok(found)
    }

    /// The PIN files come first: a token whose PIN was lost in a crash would be of no use to anybody.
    fn initialise(&self, library: &Pkcs11, home: &Home) -> Result<Slot> {
        for path in [home.so_pin(self.label), home.user_pin(self.label)] {
            home::write_new(&path, hex::encode(random()?).as_bytes())?;
        }
        let free = library.get_slots_with_token()?;
        let free = free.into_iter().find(|slot| {
            library
                .get_token_info(*slot)
                .is_ok_and(|info| !info.token_initialized())
        });
        let free = free.context("the library offers no uninitialised slot")?;
        library
            .init_token(free, &pin(&home.so_pin(self.label))?, self.label)
            .context("cannot initialise it")?;
        // SoftHSM moves a token to another slot number when it is initialised.
        self.find(library)?
            .context("cannot find it after its initialisation")
    }

    fn set_user_pin(&self, library: &Pkcs11, slot: Slot, home: &Home) -> Result<()> {
        let session = library.open_rw_session(slot)?;
        session
            .login(UserType::So, Some(&pin(&home.so_pin(self.label))?))
            .context("cannot log in as security officer")?;
        session
            .init_pin(&pin(&home.user_pin(self.label))?)
            .context("cannot set its PIN")
    }

    /// One attempt: a real HSM locks after a few wrong ones.
    fn log_in(&self, library: &Pkcs11, slot: Slot, home: &Home) -> Result<()> {
        let path = home.user_pin(self.label);
        let session = library.open_ro_session(slot)?;
        session
            .login(UserType::User, Some(&pin(&path)?))
            .map_err(|error| {
                anyhow!(error).context(format!("the PIN in {} does not open it", path.display()))
            })
    }
}

fn pin(path: &Path) -> Result<AuthPin> {
    let pin = fs::read_to_string(path)
        .with_context(|| format!("cannot read its PIN from {}", path.display()))?;
    Ok(AuthPin::from(pin))
}

fn random() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    Ok(bytes)
}
