//! What real clients need beyond the letter of the specification, each by its name in the client's registration. Everything is off
//! unless it is said; none of them touches what hashes are compared to, what is counted, or to whom a token is bound.

use serde::{Deserialize, Serialize};

use crate::ids::ClientId;

macro_rules! switches {
    ($($(#[$doc:meta])* $switch:ident $member:ident;)*) => {
        /// One of them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Switch {
            $($(#[$doc])* $switch,)*
        }

        impl Switch {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$switch),*];

            /// Its name in a registration and in metrics.
            pub fn name(self) -> &'static str {
                match self { $(Self::$switch => stringify!($member),)* }
            }
        }

        /// Which of them a client has.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Switches {
            $($(#[$doc])* #[serde(skip_serializing_if = "is_off")] pub $member: bool,)*
        }

        impl Switches {
            /// Whether this one is on.
            pub fn has(&self, switch: Switch) -> bool {
                match switch { $(Switch::$switch => self.$member,)* }
            }
        }
    };
}

switches! {
    /// Hashes in JSON may be base64url, with or without padding (eudi-lib-ios-rqes-csc-swift).
    Base64urlInJson base64url_in_json;
    /// Hashes in authorization requests may be standard base64 (go-csc).
    Base64InUrls base64_in_urls;
    /// Token requests need not repeat the `authorization_details` of the authorization request (openSzigno).
    DetailsOnce details_once;
    /// `auth_info`, `only_valid`, `sign_algo_params`, `client_data`, `user_id` (eudi-lib-ios-rqes-csc-swift).
    SnakeCaseMembers snake_case_members;
    /// `validityPeriod` and `responseURI` (siros-csc-client).
    CamelCaseAsync camel_case_async;
    /// `PIN` and `OTP` beside the other members in v2 (siros-csc-client, openSzigno).
    TopLevelFactors top_level_factors;
    /// `hash` and `hashAlgo` under /csc/v2/ (pyHanko set to v2).
    V1NamesInV2 v1_names_in_v2;
    /// Token requests whose parameters stand in the URL (the EUDI rpcentric SCA).
    QueryParameters query_parameters;
    /// `returnValidationInformation` (A-SIT Plus VC-K).
    ValidationInformation validation_information;
    /// `GET info` (clients of certomancer-csc-dummy and CZERTAINLY).
    GetInfo get_info;
    /// 200 with `{}` where the specification says 204 (SetaPDF).
    EmptyIsOk empty_is_ok;
    /// credentials/sendOTP under /csc/v2/ (siros-csc-client).
    SendOtpInV2 send_otp_in_v2;
    /// A SAD signs until its count is used up, without extendTransaction between the calls (laverca-csc-client).
    SadGoesOn sad_goes_on;
    /// `cert.issuerDN` and `cert.subjectDN` also without certInfo (eudi-lib-jvm-rqes-csc-kt).
    CertificateNames certificate_names;
    /// `auth.objects: []` for credentials of the mode oauth2code (eudi-lib-jvm-rqes-csc-kt).
    EmptyObjects empty_objects;
    /// `maxResults` and `pageToken` in v2 (siros-csc-client).
    PagingInV2 paging_in_v2;
    /// `scal` and `response_id` beside `SCAL` and `responseID` (eudi-lib-ios-rqes-csc-swift).
    LowerCaseScal lower_case_scal;
}

/// Counts that a client needed one of them: what nobody needs can be switched off.
pub fn used(client: &ClientId, switch: Switch) {
    let labels = [
        ("client", client.to_string()),
        ("switch", switch.name().to_owned()),
    ];
    metrics::counter!("csc_leniency_total", &labels).increment(1);
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_off(switch: &bool) -> bool {
    !switch
}
