//! `csc-server credential suspend-all` and `revoke-all`: every credential of the CA at once (SC-96).

use anyhow::{Result, bail};

use super::{
    context::Context,
    terminal::{complain_of, progress, say},
};
use crate::{
    audit::{self, Event},
    credential::{Credential, Error, Status},
};

/// Brings every credential into this state, one transaction each: who was interrupted runs it again, and it goes on with the rest.
pub(super) async fn change(context: &Context, to: Status) -> Result<()> {
    let (from, what): (&[Status], _) = match to {
        Status::Suspended => (&[Status::Active], "suspended"),
        _ => (
            &[Status::Issued, Status::Active, Status::Suspended],
            "revoked",
        ),
    };
    let store = &context.store;
    let keys = context.keys(&context.vault()?);
    let ids = Credential::ids_in(store, from).await?;
    let event = Event::MassStatusChange {
        status: to.name(),
        credentials: ids.len() as u64,
    };
    audit::note(store, context.clock.now(), "", event).await?;

    let bar = progress(ids.len() as u64, "Changing");
    let (mut changed, mut failed) = (0_u64, 0_u64);
    for id in ids {
        let credential = Credential::by_id(store, &id).await?;
        let ended = match (credential, to) {
            (None, _) => Ok(()),
            (Some(credential), Status::Suspended) => keys.suspend(&credential).await,
            (Some(credential), _) => keys.revoke_credential(&credential).await,
        };
        match ended {
            Ok(()) => changed += 1,
            // Somebody else was first.
            Err(Error::WrongState(_)) => {}
            Err(error) => {
                complain_of(&format!("credential {id}: {error}"));
                failed += 1;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    say(&format!("{changed} credentials are {what}"));
    if failed > 0 {
        bail!("{failed} are not; run it again");
    }
    Ok(())
}
