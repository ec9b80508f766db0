//! The steps of an examination, in their order.

use super::{Finding, Purpose, Scope, Told, chain, speed};
use crate::{
    About, Hsm, HsmError, KeyAlgorithm, Mechanism, PinState, Token, pkcs11::Profile, vault::in_use,
};

/// What the doctor's own token objects are called: whatever is called so and is there was left by one that was cut short.
const OWN: &str = "csc-check/";
/// Beyond so many objects of the token a search is felt: some modules open a file for each.
const MANY: usize = 500;
/// Sessions beside those that sign: the anchor of the log-in, and the slow lane.
const BESIDE: usize = 2;

/// Examines a token in this process.
pub fn examine_token(
    token: &dyn Token,
    profile: Profile,
    scope: &Scope,
    told: &mut dyn FnMut(Told),
) {
    let mut examination = Examination {
        token,
        profile,
        scope,
        told,
    };
    let Some(about) = examination.token() else {
        return;
    };
    examination.mechanisms(&about);
    if !examination.pin(&about) {
        return;
    }
    // The second sees what the first leaves behind.
    let Some((mut hsm, mut witness)) = examination.log_in() else {
        return;
    };
    let before = examination.objects(hsm.as_mut());
    match scope.purpose {
        Purpose::Holder => examination.holder(hsm.as_mut()),
        Purpose::Issuer => examination.issuer(hsm.as_mut()),
    }
    let allowed = examination.sessions();
    if !scope.measure.is_zero() {
        examination.speed(hsm.as_mut(), allowed);
    }
    drop(hsm);
    if let Some(before) = before {
        examination.left(witness.as_mut(), before);
    }
}

struct Examination<'a> {
    token: &'a dyn Token,
    profile: Profile,
    scope: &'a Scope,
    told: &'a mut dyn FnMut(Told),
}

impl Examination<'_> {
    fn tell(&mut self, finding: Finding) {
        (self.told)(Told::Finding(finding));
    }

    /// A step that says itself how it ended.
    fn step(&mut self, check: &str, act: impl FnOnce() -> Result<Finding, HsmError>) {
        (self.told)(Told::Begun(check.to_owned()));
        self.tell(act().unwrap_or_else(|error| Finding::failed(check, &error)));
    }

    /// A step that is well when it does not fail.
    fn passes(&mut self, check: &str, found: &str, act: impl FnOnce() -> Result<(), HsmError>) {
        self.step(check, || act().map(|()| Finding::ok(check, found)));
    }

    fn token(&mut self) -> Option<About> {
        const CHECK: &str = "token";
        (self.told)(Told::Begun(CHECK.to_owned()));
        let about = match self.token.about() {
            Ok(about) => about,
            Err(error) => {
                self.tell(Finding::failed(CHECK, &error));
                return None;
            }
        };
        (self.told)(Told::About(Box::new(about.clone())));
        let found = format!(
            "'{}' ({}), {}, hardware {}, firmware {}; library {}, PKCS#11 {}",
            about.label,
            about.serial,
            about.model,
            about.hardware,
            about.firmware,
            about.library,
            about.cryptoki
        );
        self.tell(if about.writable {
            Finding::ok(CHECK, found)
        } else {
            let remedy = "take the write protection away: keys are made on it";
            Finding::wrong(CHECK, format!("{found}; write-protected"), remedy)
        });
        Some(about)
    }

    fn mechanisms(&mut self, about: &About) {
        const CHECK: &str = "mechanisms";
        let wrap = Mechanism(self.profile.wrap_mechanism);
        let missing: Vec<_> = needed(self.scope, wrap)
            .into_iter()
            .filter(|mechanism| !about.mechanisms.contains(mechanism))
            .collect();
        let count = about.mechanisms.len();
        if missing.is_empty() {
            let found = format!("all that are needed, of {count}");
            return self.tell(Finding::ok(CHECK, found));
        }
        let names: Vec<_> = missing.iter().map(Mechanism::to_string).collect();
        let found = format!("{} missing, of {count}", names.join(", "));
        let others = Profile::ALL.into_iter().filter(|profile| {
            let theirs = Mechanism(profile.wrap_mechanism);
            profile.seals && theirs != wrap && about.mechanisms.contains(&theirs)
        });
        let others: Vec<_> = others
            .map(|profile| format!("\"{}\"", profile.name))
            .collect();
        let remedy = match missing.as_slice() {
            [only] if *only == wrap && !others.is_empty() => format!(
                "set profile = {} in this [[slot]]: what they wrap with is there",
                others.join(" or ")
            ),
            _ => "see the firmware and the policy of the partition (FIPS mode takes some away)"
                .to_owned(),
        };
        self.tell(Finding::wrong(CHECK, found, remedy));
    }

    /// Whether it may be tried.
    fn pin(&mut self, about: &About) -> bool {
        const CHECK: &str = "PIN";
        let vendor = "with the vendor's tool, and write it into the PIN file";
        let finding = match about.pin {
            _ if !about.pin_set => Finding::wrong(
                CHECK,
                "the token has no user PIN",
                format!("set one {vendor}"),
            ),
            PinState::Fine => Finding::ok(CHECK, "the token says nothing of wrong ones"),
            PinState::CountLow => Finding::warn(
                CHECK,
                "a wrong one was tried since the last right one",
                "find out who tried it; the log-in that follows sets the count back",
            ),
            PinState::ToBeChanged => Finding::wrong(
                CHECK,
                "it must be changed before it is of use; it was not tried",
                format!("change it {vendor}"),
            ),
            PinState::FinalTry => Finding::wrong(
                CHECK,
                "the next wrong one locks the token; it was not tried",
                format!("compare the PIN file, log in once by hand {vendor}"),
            ),
            PinState::Locked => {
                let remedy = format!("the security officer of the token sets a new one {vendor}");
                Finding::wrong(CHECK, "locked; it was not tried", remedy)
            }
        };
        self.tell(finding);
        about.pin_set && about.pin <= PinState::CountLow
    }

    fn log_in(&mut self) -> Option<(Box<dyn Hsm>, Box<dyn Hsm>)> {
        const CHECK: &str = "log-in";
        (self.told)(Told::Begun(CHECK.to_owned()));
        let opened = self.token.open().and_then(|mut hsm| {
            let witness = self.token.open()?;
            hsm.health().map(|()| (hsm, witness))
        });
        match opened {
            Ok(sessions) => {
                self.tell(Finding::ok(CHECK, "the token takes the PIN, and signs"));
                Some(sessions)
            }
            Err(error) => {
                self.tell(Finding::failed(CHECK, &error));
                None
            }
        }
    }

    /// How many objects are on the token.
    fn objects(&mut self, hsm: &mut dyn Hsm) -> Option<usize> {
        const CHECK: &str = "objects";
        let mut before = None;
        let purpose = self.scope.purpose;
        self.step(CHECK, || {
            let labels = hsm.master_labels()?;
            let left: Vec<_> = labels.iter().filter(|label| label.starts_with(OWN)).collect();
            for label in &left {
                hsm.destroy_master(label)?;
            }
            let count = hsm.count(true)?;
            before = Some(count);
            let found = format!("{count} on the token");
            if !left.is_empty() {
                let found = format!("{found}; {} of a check that was cut short", left.len());
                return Ok(Finding::warn(CHECK, found, "none: they were destroyed"));
            }
            if count > MANY {
                let remedy = "every search looks at each: keep nothing else on this token, and destroy what is not used";
                return Ok(Finding::warn(CHECK, found, remedy));
            }
            if purpose == Purpose::Holder && in_use(&labels).is_none() {
                let found = format!("{found}; no master keys of the service");
                let remedy = "none before the ceremony; after it, this is another token: compare label and serial";
                return Ok(Finding::warn(CHECK, found, remedy));
            }
            Ok(Finding::ok(CHECK, found))
        });
        before
    }

    fn holder(&mut self, hsm: &mut dyn Hsm) {
        self.passes("random", "two draws differ", || chain::random(hsm));
        let found = "AES-GCM seals, and opens in its place only";
        self.passes("store", found, || chain::store(hsm));
        let found = "HMAC-SHA-256 tells inputs and keys apart";
        self.passes("MAC", found, || chain::mac(hsm));
        for algorithm in self.scope.algorithms.clone() {
            let check = format!("sealing {}", algorithm.name());
            let found = "made, wrapped, opened, signed under every scheme; nothing else opens it";
            self.passes(&check, found, || chain::sealing(hsm, algorithm));
        }
        let rsa = self
            .scope
            .algorithms
            .iter()
            .copied()
            .find(|algorithm| algorithm.is_rsa());
        if let Some(algorithm) = rsa {
            self.salts(hsm, algorithm);
        }
        let found = "a master key is made, found and destroyed";
        self.passes("token keys", found, || {
            chain::token_master(hsm, &own_label()?)
        });
    }

    fn issuer(&mut self, hsm: &mut dyn Hsm) {
        for algorithm in self.scope.algorithms.clone() {
            let check = format!("token pair {}", algorithm.name());
            let found = "made, signed under every scheme, destroyed";
            self.passes(&check, found, || {
                chain::token_pair(hsm, &own_label()?, algorithm)
            });
        }
    }

    fn salts(&mut self, hsm: &mut dyn Hsm, algorithm: KeyAlgorithm) {
        const CHECK: &str = "PSS salts";
        self.step(CHECK, || {
            let tried = chain::salts(hsm, algorithm)?;
            let said = |works: bool| {
                let these = tried.iter().filter(|(.., worked)| *worked == works);
                let these: Vec<_> = these
                    .map(|(digest, salt, _)| format!("{}/{salt}", digest.len() * 8))
                    .collect();
                these.join(" ")
            };
            let usual = tried
                .iter()
                .all(|(digest, salt, worked)| *worked || usize::from(*salt) != digest.len());
            let found = format!("digest/salt that work: {}", said(true));
            Ok(match (usual, said(false)) {
                (true, refused) if refused.is_empty() => Finding::ok(CHECK, found),
                (true, refused) => Finding::warn(
                    CHECK,
                    format!("{found}; refused: {refused}"),
                    "nothing, unless a client asks for one of these: it will be refused",
                ),
                (false, refused) => Finding::wrong(
                    CHECK,
                    format!("{found}; refused: {refused}"),
                    "a salt as long as the digest is what everybody uses: see the firmware, or offer no PSS",
                ),
            })
        });
    }

    /// Opens sessions until one is refused: how many sign at once.
    fn sessions(&mut self) -> usize {
        const CHECK: &str = "sessions";
        let (token, most) = (self.token, self.scope.most_sessions);
        let wanted = self.scope.sessions + BESIDE;
        let mut opened = 0;
        self.step(CHECK, || {
            let mut sessions = Vec::new();
            let refused = loop {
                if sessions.len() >= most {
                    break None;
                }
                match token.open() {
                    Ok(session) => sessions.push(session),
                    Err(error) => break Some(error),
                }
            };
            // With the two that are open all the while, and the anchor.
            opened = sessions.len();
            let have = opened + 3;
            let Some(refused) = refused else {
                let found = format!("{have} at once, and no bound met; the configuration takes {wanted}");
                return Ok(Finding::ok(CHECK, found));
            };
            let found = format!("{have} at once, then: {refused}; the configuration takes {wanted}");
            Ok(if have < wanted {
                let fewer = have.saturating_sub(BESIDE).max(1);
                let remedy = format!("set sessions = {fewer} in this [[slot]], or free sessions that others hold");
                Finding::wrong(CHECK, found, remedy)
            } else if have < 2 * wanted {
                let fewer = (have / 2).saturating_sub(BESIDE).max(1);
                let remedy = format!(
                    "set sessions = {fewer}: a process of the module that is replaced because it has grown has its sessions beside those of the next"
                );
                Finding::warn(CHECK, found, remedy)
            } else {
                Finding::ok(CHECK, found)
            })
        });
        opened
    }

    fn speed(&mut self, hsm: &mut dyn Hsm, allowed: usize) {
        let algorithms = &self.scope.algorithms;
        let first = |rsa: bool| {
            let mut of_kind = algorithms
                .iter()
                .filter(move |algorithm| algorithm.is_rsa() == rsa);
            of_kind.next().copied()
        };
        for algorithm in [first(false), first(true)].into_iter().flatten() {
            (self.told)(Told::Begun(format!("speed {}", algorithm.name())));
            let Scope {
                sessions, measure, ..
            } = *self.scope;
            match speed::curve(self.token, hsm, algorithm, sessions, allowed, measure) {
                Ok(curve) => {
                    self.tell(speed::judged(&curve, sessions));
                    (self.told)(Told::Curve(curve));
                }
                Err(error) => self.tell(Finding::failed("speed", &error)),
            }
        }
    }

    fn left(&mut self, witness: &mut dyn Hsm, before: usize) {
        const CHECK: &str = "left behind";
        self.step(CHECK, || {
            let (objects, keys) = (witness.count(true)?, witness.count(false)?);
            if objects == before && keys == 0 {
                return Ok(Finding::ok(CHECK, "nothing"));
            }
            let found = format!("{objects} objects on the token, {before} before; {keys} session objects");
            let remedy = format!("destroy what is labelled {OWN}… with the vendor's tool; others may have written to the token meanwhile");
            Ok(Finding::wrong(CHECK, found, remedy))
        });
    }
}

/// What a slot of this purpose cannot do without.
fn needed(scope: &Scope, wrap: Mechanism) -> Vec<Mechanism> {
    let mut needed = vec![Mechanism::EC_KEY_PAIR_GEN, Mechanism::ECDSA];
    if scope.algorithms.iter().any(|algorithm| algorithm.is_rsa()) {
        needed.extend([Mechanism::RSA_KEY_PAIR_GEN, Mechanism::RSA_PKCS]);
        if scope.purpose == Purpose::Holder {
            needed.push(Mechanism::RSA_PSS);
        }
    }
    if scope.purpose == Purpose::Holder {
        needed.extend([
            Mechanism::AES_KEY_GEN,
            Mechanism::AES_CBC_ENCRYPT_DATA,
            Mechanism::AES_GCM,
            Mechanism::GENERIC_SECRET_KEY_GEN,
            Mechanism::SHA256_HMAC,
            wrap,
        ]);
    }
    needed
}

/// A label that no other check has.
fn own_label() -> Result<String, HsmError> {
    let mut octets = [0; 8];
    getrandom::fill(&mut octets).map_err(|error| HsmError::Unavailable(error.to_string()))?;
    Ok(format!("{OWN}{}", hex::encode(octets)))
}
