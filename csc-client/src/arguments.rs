//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use ades::pades::{Placement, Rectangle};
use clap::{Args, Parser, Subcommand, ValueEnum};

const SECRETS: &str = "\
Secrets are never arguments. On a terminal they are asked for without echo. Otherwise they are read from standard input, \
one a line, in the order in which they are needed: the password or client secret, then for each authorisation what the \
credential asks for, secrets such as the PIN (once) before codes such as the OTP; a code that the service sends is read \
only after it was sent. An optional factor is left out with an empty line.";

/// Signs files with your key at a remote signing service (CSC API v1 and v2); only digests leave this machine.
#[derive(Parser)]
#[command(version, after_help = SECRETS, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) service: Service,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Sign files: PDFs with PAdES, others with CAdES.
    ///
    /// All files go into one authorisation as far as the credential allows. The paths of the signed files are printed,
    /// one a line.
    #[command(after_help = SECRETS)]
    Sign(Sign),
    /// List your credentials: their certificates, and whether they can sign.
    List,
    /// Check what a service hands out of its audit log; asks no service.
    #[command(subcommand)]
    Audit(Audit),
    /// Describe the service, or one credential.
    Info {
        /// The credential to describe.
        credential: Option<String>,
    },
}

/// Where the service is, and who asks.
#[derive(Args)]
#[command(next_help_heading = "Service")]
pub(crate) struct Service {
    /// Base URL of the service, without /csc/v…, such as `https://sign.example.org`
    #[arg(long, env = "CSC_URL", global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Version of the CSC API to speak.
    #[arg(long, global = true, value_enum, default_value = "v2")]
    pub(crate) api: Version,
    /// Certificates (PEM) to trust for the TLS connection, in place of the system's.
    #[arg(long, env = "CSC_CACERT", global = true, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// Log in as this user (HTTP Basic); the password is asked for.
    #[arg(long, env = "CSC_USER", global = true, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Log in as this application instead (OAuth client credentials); the client secret is asked for.
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) client_id: Option<String>,
    /// Whose credentials are meant, when an application logs in.
    #[arg(long, global = true, value_name = "USER")]
    pub(crate) user_id: Option<String>,
}

/// A major version of the CSC API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Version {
    /// CSC API v1.0
    V1,
    /// CSC API v2.x
    V2,
}

#[derive(Args)]
pub(crate) struct Sign {
    /// The files to sign.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Signature format [default: pades for PDFs, cades for others]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Keep the signature apart from the file (.p7s); implies --format cades.
    #[arg(long)]
    pub(crate) detached: bool,
    /// Show the signature in PDFs: page, left and lower edge, width and height, in points.
    #[arg(long, value_name = "PAGE:X,Y,W,H", value_parser = placement)]
    pub(crate) visible: Option<Placement>,
    /// Why you sign (PDFs).
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Where you sign (PDFs).
    #[arg(long, value_name = "TEXT")]
    pub(crate) location: Option<String>,
    /// The folder to write to, or, for one file, the file [default: beside FILE, as NAME-signed.pdf, NAME.p7m or NAME.p7s]
    #[arg(long, short, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Replace signed files that exist already.
    #[arg(long)]
    pub(crate) force: bool,
    /// The credential to sign with [default: the only one]
    #[arg(long, value_name = "ID")]
    pub(crate) credential: Option<String>,
    /// Sign with RSA-PSS rather than RSA PKCS#1 v1.5.
    #[arg(long)]
    pub(crate) pss: bool,
    /// A shell command that prints the one-time code. It is run after the code was sent, and again, for a minute, while
    /// it prints nothing.
    #[arg(long, value_name = "CMD")]
    pub(crate) otp_command: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Check the proof that a signature was recorded.
    Check(Check),
}

#[derive(Args)]
pub(crate) struct Check {
    /// The proof, as `csc-server audit proof` prints it.
    #[arg(value_name = "PROOF")]
    pub(crate) proof: PathBuf,
    /// The service's public audit keys (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The digest that must have been signed: that of the document, or for PAdES and CAdES of the signed attributes.
    #[arg(long, value_name = "BASE64", conflicts_with = "file")]
    pub(crate) hash: Option<String>,
    /// A file whose digest must have been signed as it is.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// A signature format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Inside the PDF
    Pades,
    /// A CMS signature: .p7m with the file inside, .p7s with --detached
    Cades,
}

fn placement(text: &str) -> Result<Placement, String> {
    let parse = || {
        let (page, rectangle) = text.split_once(':')?;
        let numbers: Option<Vec<f32>> = rectangle
            .split(',')
            .map(|number| f32::from_str(number.trim()).ok())
            .collect();
        let [x, y, width, height] = *numbers?.as_slice() else {
            return None;
        };
        Some(Placement {
            page: page.trim().parse().ok()?,
            rectangle: Rectangle {
                x,
                y,
                width,
                height,
            },
        })
    };
    parse().ok_or_else(|| "expected PAGE:X,Y,W,H, such as 1:50,50,200,60".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_placement_has_a_page_and_four_numbers() {
        let rectangle = Rectangle {
            x: 50.0,
            y: 60.5,
            width: 200.0,
            height: 40.0,
        };
        assert_eq!(
            placement("2:50,60.5,200,40"),
            Ok(Placement { page: 2, rectangle })
        );
        for wrong in [
            "",
            "2",
            "2:1,2,3",
            "2:1,2,3,4,5",
            "-1:1,2,3,4",
            "a:1,2,3,4",
            "1:x,2,3,4",
        ] {
            assert!(placement(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_secret_can_be_an_argument() {
        let command = Arguments::command();
        let sign = command.find_subcommand("sign").unwrap();
        let names = command
            .get_arguments()
            .chain(sign.get_arguments())
            .map(|argument| argument.get_id().as_str());
        for name in names {
            assert!(
                !["password", "secret", "pin", "otp", "token"].contains(&name),
                "{name}"
            );
        }
    }
}
