//! What the service relies on, run over every implementation: each rule on the device in memory, on SoftHSM, and on SoftHSM in a process
//! of its own.
//!
//! SoftHSM reads `SOFTHSM2_CONF` when it is initialised, once a process, so each of its tests runs in a process of its own
//! (this binary again, with `--exact` its name) on a fresh token.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod check;
mod failures;
mod fixture;
mod issuer;
mod keys;
mod mandate;
mod pool;
mod process;
mod rotation;
mod softhsm_only;
mod sole_control;
mod statements;

use fixture::{memory, process as in_process, softhsm};

/// Each rule as a test on each implementation.
macro_rules! contract {
    ($($module:ident: $($rule:ident),+ $(,)?;)+) => {
        mod on_memory {
            $($(
                #[test]
                fn $rule() {
                    crate::memory(crate::$module::$rule);
                }
            )+)+
        }

        mod on_softhsm {
            $($(
                #[test]
                fn $rule() {
                    crate::softhsm(concat!("on_softhsm::", stringify!($rule)), crate::$module::$rule);
                }
            )+)+
        }

        mod in_a_process {
            $($(
                #[test]
                fn $rule() {
                    crate::in_process(concat!("in_a_process::", stringify!($rule)), crate::$module::$rule);
                }
            )+)+
        }
    };
}

/// What is seen from inside the process that has the sessions.
macro_rules! contract_inside {
    ($($module:ident: $($rule:ident),+ $(,)?;)+) => {
        mod inside_on_memory {
            $($(
                #[test]
                fn $rule() {
                    crate::memory(crate::$module::$rule);
                }
            )+)+
        }

        mod inside_on_softhsm {
            $($(
                #[test]
                fn $rule() {
                    let name = concat!("inside_on_softhsm::", stringify!($rule));
                    crate::softhsm(name, crate::$module::$rule);
                }
            )+)+
        }
    };
}

contract_inside! {
    sole_control:
        no_key_is_left_behind,
        a_key_opens_once_for_many_signatures,
        no_more_keys_stay_open_than_allowed;
}

contract! {
    keys:
        every_key_type_signs_under_each_of_its_schemes,
        a_new_key_signs_its_certification_request,
        a_scheme_of_another_key_type_is_refused,
        master_keys_are_made_once,
        a_record_names_every_key_and_knows_it_again,
        a_slot_without_master_keys_does_not_pass_the_check,
        a_master_key_does_one_thing_and_does_not_leave,
        a_mac_is_bound_to_its_purpose_and_to_each_part,
        a_sealed_value_opens_in_its_place_only,
        two_random_values_differ;
    sole_control:
        who_has_everything_but_the_pin_opens_nothing,
        only_a_wrong_pin_is_a_wrong_pin,
        a_changed_content_opens_nothing,
        a_changed_secret_or_blob_opens_nothing,
        a_changed_record_opens_nothing,
        a_changed_record_is_seen_although_the_key_is_open,
        only_approved_digests_are_signed,
        an_ended_activation_signs_nothing,
        the_activation_of_one_key_signs_with_no_other,
        an_extended_activation_opens_with_its_own_secret;
    mandate:
        a_mandate_signs_what_its_client_presents,
        edited_terms_open_nothing,
        a_mandate_is_no_sad_and_a_sad_no_mandate,
        a_key_that_a_mandate_opened_is_closed_in_minutes;
    statements:
        a_document_is_signed_by_what_contains_it,
        only_documents_that_were_approved_and_the_certificate_named_are_signed,
        a_digest_of_one_type_is_not_signed_as_one_of_the_other,
        there_is_no_statement_that_does_not_contain_its_document,
        a_pdf_begins_with_the_document_that_was_approved;
    rotation:
        what_is_new_goes_under_the_new_version_and_what_rests_opens,
        a_value_is_moved_to_the_version_in_use_once,
        a_key_signs_through_both_rotations,
        what_a_destroyed_version_sealed_opens_for_nobody,
        the_end_of_every_version_is_the_end_of_every_key,
        a_puk_is_sealed_anew_at_its_use,
        only_what_came_before_the_version_in_use_is_destroyed,
        the_next_version_is_made_once,
        a_rotation_cut_short_changes_nothing_and_is_completed,
        what_was_destroyed_is_not_made_again,
        another_process_follows,
        another_process_survives_a_destruction;
    issuer:
        a_provider_key_is_made_once_and_signs,
        a_provider_key_that_is_missing_is_named,
        a_provider_key_of_another_type_is_not_taken;
}
