//! Finds the SoftHSM2 library on this machine.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Where the common packages install it: Debian and Ubuntu, Fedora, Alpine, Homebrew on both kinds of Mac, from source.
const PLACES: &[&str] = &[
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

/// The library at `given`, else the first of the usual places.
pub(crate) fn find(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        Some(path) if path.is_file() => Ok(path.canonicalize()?),
        Some(path) => bail!("no PKCS#11 library at {}; {INSTALL}", path.display()),
        None => first_of(PLACES),
    }
}

fn first_of(places: &[&str]) -> Result<PathBuf> {
    match places.iter().map(Path::new).find(|path| path.is_file()) {
        Some(path) => Ok(path.to_owned()),
        None => bail!(
            "SoftHSM2 is not installed in any of the usual places ({}); {INSTALL}",
            places.join(", ")
        ),
    }
}

const INSTALL: &str = "install it with `apt-get install softhsm2` (Debian, Ubuntu), `dnf install softhsm` (Fedora) or \
                       `brew install softhsm` (macOS), or give its path with --module PATH";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_that_has_a_library_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().join("libsofthsm2.so");
        std::fs::write(&here, "").unwrap();
        let here = here.to_str().unwrap();
        assert_eq!(
            first_of(&["/nowhere/libsofthsm2.so", here]).unwrap(),
            Path::new(here)
        );
    }

    #[test]
    fn a_machine_without_softhsm_is_told_what_to_install() {
        let error = first_of(&["/nowhere/libsofthsm2.so"])
            .unwrap_err()
            .to_string();
        for word in [
            "/nowhere/libsofthsm2.so",
            "apt-get install softhsm2",
            "dnf install",
            "brew install",
            "--module",
        ] {
            assert!(error.contains(word), "{word} is missing in: {error}");
        }
    }
}
