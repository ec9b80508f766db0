//! What the terminal sees: the configuration on standard output, progress and errors on standard error.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the one place that writes to the terminal"
)]

use std::path::Path;

use anyhow::Result;

use crate::{
    home::{CONF_VARIABLE, Home},
    token::Token,
};

/// One line of progress.
pub(crate) fn progress(line: &str) {
    eprintln!("{line}");
}

/// The sections of the configuration file, as TOML that can be appended to it as it is.
pub(crate) fn configuration(module: &Path, home: &Home, tokens: &[Token]) -> Result<()> {
    let conf = home.conf().display().to_string().replace('\'', r"'\''");
    println!(
        "# SoftHSM finds these tokens through its own configuration, named in the environment of the service:"
    );
    println!("#   export {CONF_VARIABLE}='{conf}'");
    for Token { role, label } in tokens {
        println!();
        println!("[[slot]]");
        println!("role = {}", quoted(role));
        println!("module = {}", quoted(&module.display().to_string()));
        println!("token = {}", quoted(label));
        println!(
            "pin_file = {}",
            quoted(&home.user_pin(label).display().to_string())
        );
        println!("sessions = 4");
    }
    Ok(())
}

/// A TOML basic string; `Home` has refused control characters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_path_with_a_quote_and_a_backslash_stays_one_string() {
        assert_eq!(quoted(r#"/a"b\c"#), r#""/a\"b\\c""#);
    }
}
