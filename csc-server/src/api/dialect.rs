//! The two versions of the API and the methods served.

/// Major version of the CSC API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// v1.0.4.0.
    V1,
    /// v2.0 to v2.2.
    V2,
}

impl Version {
    /// The member that carries hashes.
    pub fn hashes(self) -> &'static str {
        match self {
            Self::V1 => "hash",
            Self::V2 => "hashes",
        }
    }

    /// The member that names their algorithm.
    pub fn hash_algorithm(self) -> &'static str {
        match self {
            Self::V1 => "hashAlgo",
            Self::V2 => "hashAlgorithmOID",
        }
    }

    /// `info/specs`.
    pub fn specs(self) -> &'static str {
        match self {
            Self::V1 => "1.0.4.0",
            Self::V2 => "2.2.0.0",
        }
    }
}

/// A method of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as their URLs")]
pub enum Method {
    Info,
    AuthLogin,
    AuthRevoke,
    CredentialsList,
    CredentialsInfo,
    CredentialsAuthorize,
    CredentialsAuthorizeCheck,
    CredentialsExtendTransaction,
    CredentialsCreate,
    CredentialsDelete,
    CredentialsSendOtp,
    CredentialsGetChallenge,
    SignaturesSignHash,
    SignaturesSignDoc,
    SignaturesSignPolling,
    SignaturesTimestamp,
}

impl Method {
    /// The path below the base URI, and the name in `info/methods`.
    pub fn path(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::AuthLogin => "auth/login",
            Self::AuthRevoke => "auth/revoke",
            Self::CredentialsList => "credentials/list",
            Self::CredentialsInfo => "credentials/info",
            Self::CredentialsAuthorize => "credentials/authorize",
            Self::CredentialsAuthorizeCheck => "credentials/authorizeCheck",
            Self::CredentialsExtendTransaction => "credentials/extendTransaction",
            Self::CredentialsCreate => "credentials/create",
            Self::CredentialsDelete => "credentials/delete",
            Self::CredentialsSendOtp => "credentials/sendOTP",
            Self::CredentialsGetChallenge => "credentials/getChallenge",
            Self::SignaturesSignHash => "signatures/signHash",
            Self::SignaturesSignDoc => "signatures/signDoc",
            Self::SignaturesSignPolling => "signatures/signPolling",
            Self::SignaturesTimestamp => "signatures/timestamp",
        }
    }

    /// What a version serves, in the order of the specification.
    pub fn served(version: Version) -> Vec<Self> {
        let challenge = match version {
            Version::V1 => Self::CredentialsSendOtp,
            Version::V2 => Self::CredentialsGetChallenge,
        };
        let check = match version {
            Version::V1 => None,
            Version::V2 => Some(Self::CredentialsAuthorizeCheck),
        };
        let mut served = vec![
            Self::Info,
            Self::AuthLogin,
            Self::AuthRevoke,
            Self::CredentialsList,
            Self::CredentialsInfo,
            Self::CredentialsAuthorize,
            Self::CredentialsExtendTransaction,
            challenge,
            Self::SignaturesSignHash,
        ];
        served.extend(check);
        if version == Version::V2 {
            served.extend([
                Self::CredentialsCreate,
                Self::CredentialsDelete,
                Self::SignaturesSignDoc,
                Self::SignaturesSignPolling,
            ]);
        }
        served.push(Self::SignaturesTimestamp);
        served
    }

    /// What the specification has and this service does not: answered with 501 (CSC v1 10).
    pub fn unserved(version: Version) -> &'static [&'static str] {
        match version {
            Version::V1 => &[],
            Version::V2 => &["credentials/sendOTP"],
        }
    }
}

/// Which call this is: put into the request by the route.
#[derive(Clone, Debug)]
pub struct Call {
    /// Version of the URL.
    pub version: Version,
    /// Method of the URL.
    pub method: Method,
    /// Identifier of the request, in logs, audit and the answer's `X-Request-Id`.
    pub request: String,
}
