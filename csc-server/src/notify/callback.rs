//! Telling a client that the result of an operation is there (`response_uri`): one POST to a place of its registration, never inwards (SC-70).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::{Certificate, Client, redirect};
use serde_json::json;
use url::{Host, Url};

use crate::config;

/// Tells clients; clones are the same.
#[derive(Clone)]
pub struct Callbacks {
    config: config::Callback,
    trusted: Vec<Certificate>,
}

/// Why a client was not told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not https, or not in the client's registration.
    #[error("the place is not in the client's registration")]
    NotRegistered,
    /// Its name stands for an address that is not everybody's.
    #[error("the name stands for a private address")]
    Inwards,
    /// Nobody is there, or refuses.
    #[error("nobody was told: {0}")]
    Failed(String),
}

/// Whether a place begins with one of those registered.
pub fn is_registered(place: &str, registered: &[String]) -> bool {
    let Ok(place) = Url::parse(place) else {
        return false;
    };
    let plain = place.scheme() == "https"
        && place.username().is_empty()
        && place.password().is_none()
        && place.fragment().is_none();
    // As parsed: dots are resolved, and the host ends where it seems to.
    plain
        && registered
            .iter()
            .any(|prefix| place.as_str().starts_with(prefix.as_str()))
}

impl Callbacks {
    /// As the configuration says.
    ///
    /// # Errors
    /// When the certificates of `callback.ca_file` cannot be read.
    pub fn from_config(config: &config::Callback) -> Result<Self, Error> {
        let trusted = match &config.ca_file {
            Some(path) => {
                let pem = std::fs::read(path).map_err(|error| Error::Failed(error.to_string()))?;
                Certificate::from_pem_bundle(&pem).map_err(failed)?
            }
            None => Vec::new(),
        };
        Ok(Self {
            config: config.clone(),
            trusted,
        })
    }

    /// Posts the identifier of an operation to a place that is among those registered. No redirect is followed, and the connection goes to
    /// the very addresses that were looked at.
    ///
    /// # Errors
    /// [`Error`]: the client was not told.
    pub async fn tell(
        &self,
        place: &str,
        registered: &[String],
        operation: &str,
    ) -> Result<(), Error> {
        if !is_registered(place, registered) {
            return Err(Error::NotRegistered);
        }
        let place = Url::parse(place).map_err(|_| Error::NotRegistered)?;
        let host = place.host().ok_or(Error::NotRegistered)?.to_owned();
        let addresses = self.addresses(&host, place.port_or_known_default()).await?;
        let mut client = Client::builder()
            .https_only(true)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(self.config.timeout);
        if let Host::Domain(name) = &host {
            client = client.resolve_to_addrs(name, &addresses);
        }
        if !self.trusted.is_empty() {
            client = client.tls_certs_only(self.trusted.clone());
        }
        let client = client.build().map_err(failed)?;
        let told = client.post(place).json(&json!({ "responseID": operation }));
        let answer = told.send().await.map_err(failed)?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(Error::Failed(format!("it answered {}", answer.status())))
        }
    }

    /// The addresses of a host, each of them everybody's.
    async fn addresses(&self, host: &Host, port: Option<u16>) -> Result<Vec<SocketAddr>, Error> {
        let port = port.unwrap_or(443);
        let addresses: Vec<SocketAddr> = match host {
            Host::Domain(name) => {
                let found = tokio::net::lookup_host((name.as_str(), port)).await;
                let found = found.map_err(|error| Error::Failed(error.to_string()))?;
                found.collect()
            }
            Host::Ipv4(address) => vec![SocketAddr::from((*address, port))],
            Host::Ipv6(address) => vec![SocketAddr::from((*address, port))],
        };
        let outwards =
            |address: &SocketAddr| self.config.private_addresses || is_public(address.ip());
        if addresses.is_empty() || !addresses.iter().all(outwards) {
            return Err(Error::Inwards);
        }
        Ok(addresses)
    }
}

fn failed(error: reqwest::Error) -> Error {
    Error::Failed(error.without_url().to_string())
}

/// Whether an address is one of the Internet (RFC 6890 and its registries), and not this machine's, this network's or one that leads there.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 127 | 224..=255, ..)
            | (100, 64..=127, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !(special || address.is_private() || address.is_link_local())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Only 2000::/3 is given out. In it lie documentation, and tunnels that end at an address of version 4.
    match address.segments() {
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x2002, ..] | [0x3fff, ..] => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_not_everybodys_is_not_public() {
        for inwards in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(inwards.parse().unwrap()), "{inwards}");
        }
        for outwards in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "2606:4700::1111",
            "2001:4860::8888",
        ] {
            assert!(is_public(outwards.parse().unwrap()), "{outwards}");
        }
    }

    #[test]
    fn a_place_is_registered_when_it_begins_as_one_that_is() {
        let registered = [
            "https://app.example/told/".to_owned(),
            "https://other.example:8443/".to_owned(),
        ];
        for place in [
            "https://app.example/told/",
            "https://app.example/told/1?x=y",
            "https://other.example:8443/a",
        ] {
            assert!(is_registered(place, &registered), "{place}");
        }
        for place in [
            "http://app.example/told/",
            "https://app.example/",
            "https://app.example/told/../secret",
            "https://app.example.evil/told/",
            "https://app.example@evil.example/told/",
            "https://user@app.example/told/",
            "https://app.example:444/told/",
            "https://other.example/",
            "https://app.example/told/#x",
            "app.example/told/",
            "",
        ] {
            assert!(!is_registered(place, &registered), "{place}");
        }
    }
}
