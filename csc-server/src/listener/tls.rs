//! The certificate and its key: read at the start, and again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use super::Error;
use crate::config::secret;

/// How often the files are looked at without being told (SIGHUP).
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Where the server's certificate and key are.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key, PEM, readable by this user only.
    pub private_key: PathBuf,
    /// Whether clients are asked for a certificate of theirs.
    pub ask_clients: bool,
}

pub(super) struct Tls {
    acceptor: TlsAcceptor,
    reload: Reload,
}

impl Tls {
    pub(super) fn load(files: TlsFiles) -> Result<Self, Error> {
        let seen = files.modified();
        let current = Arc::new(Current(ArcSwap::from_pointee(files.read()?)));
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| Error::Tls(error.to_string()))?;
        let builder = match files.ask_clients {
            true => builder.with_client_cert_verifier(Arc::new(Whoever::new())),
            false => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Taken before anybody can connect: without a handler the signal would end the process.
        let hangup = signal(SignalKind::hangup()).map_err(|error| Error::Tls(error.to_string()))?;
        Ok(Self {
            acceptor: Arc::new(config).into(),
            reload: Reload {
                files,
                seen,
                current,
                hangup,
            },
        })
    }

    pub(super) fn split(self) -> (TlsAcceptor, Reload) {
        (self.acceptor, self.reload)
    }
}

/// Puts new files in place of old ones.
pub(super) struct Reload {
    files: TlsFiles,
    seen: [Option<SystemTime>; 2],
    current: Arc<Current>,
    hangup: Signal,
}

impl Reload {
    pub(super) async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                told = self.hangup.recv() => if told.is_none() { return },
                _ = look.tick() => if !self.changed() { continue },
            }
            let certificate = self.files.certificate.display();
            match self.files.read() {
                Ok(key) => {
                    self.current.0.store(Arc::new(key));
                    tracing::info!(%certificate, "TLS certificate read again");
                }
                Err(error) => {
                    tracing::error!(%certificate, %error, "new TLS certificate refused, the old one stays")
                }
            }
        }
    }

    /// Whether a file was written since the last look.
    pub(super) fn changed(&mut self) -> bool {
        let now = self.files.modified();
        now != std::mem::replace(&mut self.seen, now)
    }
}

impl TlsFiles {
    fn read(&self) -> Result<CertifiedKey, Error> {
        let refuse = |path: &Path, problem: &dyn std::fmt::Display| {
            Error::Tls(format!("{}: {problem}", path.display()))
        };
        let chain: Vec<_> = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect)
            .map_err(|error| refuse(&self.certificate, &error))?;
        if chain.is_empty() {
            return Err(refuse(
                &self.certificate,
                &"holds no certificate in PEM form",
            ));
        }
        let pem = secret::read(&self.private_key).map_err(|error| Error::Tls(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| refuse(&self.private_key, &error))?;
        let key = aws_lc_rs::sign::any_supported_type(&key)
            .map_err(|error| refuse(&self.private_key, &error))?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|error| {
            let problem = format!(
                "not the certificate of the key in {} ({error})",
                self.private_key.display()
            );
            refuse(&self.certificate, &problem)
        })?;
        Ok(certified)
    }

    fn modified(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.private_key]
            .map(|path| path.metadata().and_then(|file| file.modified()).ok())
    }
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Takes the certificate of whoever shows one, and makes sure that he has its key: whose it is, registrations say (RFC 8705 2.2).
#[derive(Debug)]
struct Whoever {
    algorithms: WebPkiSupportedAlgorithms,
}

impl Whoever {
    fn new() -> Self {
        Self {
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        }
    }
}

impl ClientCertVerifier for Whoever {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
