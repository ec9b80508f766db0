//! `csc-server routes`

use anyhow::Result;

use super::terminal::say;
use crate::{admin, api, timekeeper::TimeTrust};

/// Prints every URL of both listeners: listener, method, path. What a proxy in front may let through is this list.
pub(super) fn run() -> Result<()> {
    let api = api::routes(&TimeTrust::default()).listed();
    for (listener, routes) in [("api", api), ("admin", admin::routes().listed())] {
        for route in routes {
            say(&format!("{listener} {} {}", route.method, route.path));
        }
    }
    Ok(())
}
