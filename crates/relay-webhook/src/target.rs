//! A webhook's URL: what it must look like, and what of it a request needs.

use crate::address::{AddressPolicy, Verdict};
use http::{HeaderValue, Uri};
use std::net::IpAddr;
use url::Url;

/// Why a URL cannot be a webhook's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// It is not an absolute URL.
    #[error("the URL cannot be read: {0}")]
    Unreadable(String),
    /// It has another scheme than `https` or `http`.
    #[error("the URL's scheme must be https, or http where that is allowed")]
    Scheme,
    /// It carries a user name or a password.
    #[error("the URL must not carry a user name or a password; use the endpoint's headers for credentials")]
    UserInfo,
    /// It has a fragment, which would never be sent.
    #[error("the URL must not have a fragment (`#…`)")]
    Fragment,
    /// Its port is 0.
    #[error("the URL's port must not be 0")]
    Port,
    /// Its host is an address, or `localhost`, that webhooks may not live at.
    #[error(
        "webhooks may not live at {0}, which is not a public address; the operator can admit a network with RELAY_ALLOW_ENDPOINT_CIDRS"
    )]
    ForbiddenAddress(String),
    /// It is plain `http` to what no allowed range or loopback rule admits.
    #[error(
        "the URL's scheme must be https: http is only for addresses admitted by RELAY_ALLOW_ENDPOINT_CIDRS or the loopback rule"
    )]
    PlainHttp,
}

impl AddressPolicy {
    /// Checks what can be known of a webhook's URL without resolving its host.
    ///
    /// `https` may go to any host that is not a forbidden address; `http` only to an address that an allowed range or the
    /// loopback rule admits. A host name is judged by its addresses when a connection is made; here it only fails if no
    /// address that it could have would do.
    ///
    /// # Errors
    /// The first [`UrlFault`] found.
    pub fn check_url(&self, url: &str) -> Result<(), UrlFault> {
        Target::parse(url, self).map(drop)
    }
}

/// A checked URL, in the parts that a request is made of.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) origin: Origin,
    /// The value of the `host` header.
    pub(crate) authority: HeaderValue,
    /// Path and query: the form in which a request names its resource to the origin.
    pub(crate) resource: Uri,
}

/// Where connections go. Requests of equal origins share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

/// A host, as the URL standard normalised it: `0x7f.1` and `2130706433` have become 127.0.0.1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    Name(String),
    Address(IpAddr),
}

impl Target {
    pub(crate) fn parse(text: &str, policy: &AddressPolicy) -> Result<Self, UrlFault> {
        // The parser would drop these without a word; then what is shown is not what is used.
        if text.contains(|c: char| c.is_ascii_control() || c.is_whitespace()) {
            return Err(UrlFault::Unreadable("it contains white space or control characters".into()));
        }
        let url = Url::parse(text).map_err(|fault| UrlFault::Unreadable(fault.to_string()))?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(UrlFault::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlFault::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlFault::Fragment);
        }
        let port = url.port_or_known_default().filter(|&port| port != 0).ok_or(UrlFault::Port)?;
        let (host, shown) = match (url.host(), url.host_str()) {
            (Some(url::Host::Domain(name)), Some(shown)) => (Host::Name(name.to_owned()), shown),
            (Some(url::Host::Ipv4(address)), Some(shown)) => (Host::Address(address.into()), shown),
            (Some(url::Host::Ipv6(address)), Some(shown)) => (Host::Address(address.into()), shown),
            _ => return Err(UrlFault::Unreadable("it has no host".into())),
        };
        judge(policy, tls, &host, shown)?;

        let unreadable = |part: &str| UrlFault::Unreadable(format!("its {part} cannot be sent"));
        let authority = url.port().map_or_else(|| shown.to_owned(), |port| format!("{shown}:{port}"));
        let resource = &url[url::Position::BeforePath..url::Position::AfterQuery];
        Ok(Self {
            origin: Origin { tls, host, port },
            authority: authority.try_into().map_err(|_| unreadable("host"))?,
            resource: resource.try_into().map_err(|_| unreadable("path"))?,
        })
    }
}

fn judge(policy: &AddressPolicy, tls: bool, host: &Host, shown: &str) -> Result<(), UrlFault> {
    let verdict = match host {
        Host::Address(address) => policy.judge(*address),
        Host::Name(name) if is_localhost(name) && policy.admits_localhost() => Verdict::Admitted,
        Host::Name(name) if is_localhost(name) => Verdict::Forbidden,
        // The name's addresses decide, at each connection; without any range that is admitted, http cannot ever pass.
        Host::Name(_) if tls || policy.admits_some() => return Ok(()),
        Host::Name(_) => Verdict::Public,
    };
    match verdict {
        Verdict::Forbidden => Err(UrlFault::ForbiddenAddress(shown.to_owned())),
        Verdict::Public if !tls => Err(UrlFault::PlainHttp),
        Verdict::Public | Verdict::Admitted => Ok(()),
    }
}

/// `localhost` and names under it are loopback by RFC 6761, whatever a resolver makes of them.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault(policy: &AddressPolicy, url: &str) -> Option<UrlFault> {
        policy.check_url(url).err()
    }

    #[test]
    fn https_to_a_public_host_passes() {
        let policy = AddressPolicy::public_only();
        for url in [
            "https://example.com",
            "https://example.com:8443/hook?a=b",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/x",
            "https://bücher.example/straße?q=ü",
            "HTTPS://EXAMPLE.com/A|B^C{d}'\"`?<x>",
        ] {
            assert_eq!(fault(&policy, url), None, "{url}");
        }
    }

    #[test]
    fn forbidden_addresses_are_found_in_every_textual_form() {
        let policy = AddressPolicy::public_only();
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
            "127。0。0。1",
            "①②⑦.0.0.1",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::]",
            "0",
            "0.0.0.0",
            "[::127.0.0.1]",
            "169.254.169.254",
            "0xA9FEA9FE",
            "2852039166",
            "[::ffff:a9fe:a9fe]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::]",
            "10.0.0.1",
            "192.168.0.1",
            "172.16.0.1",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "api.localhost",
        ] {
            for scheme in ["https", "http"] {
                let url = format!("{scheme}://{host}/hook");
                assert!(
                    matches!(fault(&policy, &url), Some(UrlFault::ForbiddenAddress(_))),
                    "{url}: {:?}",
                    fault(&policy, &url)
                );
            }
        }
    }

    #[test]
    fn http_is_for_admitted_addresses_only() {
        let none = AddressPolicy::public_only();
        let some = AddressPolicy::public_only().with_allowed(["10.1.0.0/16".parse().unwrap()]);
        let local = AddressPolicy::public_only().with_loopback(true);
        assert_eq!(fault(&none, "http://example.com/"), Some(UrlFault::PlainHttp));
        assert_eq!(fault(&none, "http://8.8.8.8/"), Some(UrlFault::PlainHttp));
        assert_eq!(fault(&some, "http://8.8.8.8/"), Some(UrlFault::PlainHttp));
        assert_eq!(fault(&some, "http://10.1.2.3/"), None);
        assert_eq!(fault(&some, "http://[::ffff:10.1.2.3]/"), None);
        assert_eq!(fault(&some, "http://hooks.internal/"), None, "its addresses decide when it is connected to");
        assert!(matches!(fault(&some, "http://localhost/"), Some(UrlFault::ForbiddenAddress(_))));
        for url in [
            "http://localhost:9000/",
            "http://a.localhost/",
            "http://127.0.0.1:1/",
            "http://2130706433/",
            "http://[::1]/",
        ] {
            assert_eq!(fault(&local, url), None, "{url}");
        }
    }

    #[test]
    fn what_is_no_webhook_url_is_told_apart() {
        let policy = AddressPolicy::public_only();
        for (url, expected) in [
            ("ftp://example.com/", UrlFault::Scheme),
            ("file:///etc/passwd", UrlFault::Scheme),
            ("unix:/run/x.sock", UrlFault::Scheme),
            ("https://user@example.com/", UrlFault::UserInfo),
            ("https://:pass@example.com/", UrlFault::UserInfo),
            ("https://example.com/#top", UrlFault::Fragment),
            ("https://example.com:0/", UrlFault::Port),
        ] {
            assert_eq!(fault(&policy, url), Some(expected), "{url}");
        }
        for url in [
            "",
            "example.com/hook",
            "//example.com",
            "https://",
            "https://exa mple.com/",
            " https://example.com",
            "https://example.com/\r\nhost: x",
            "https://example.com:99999/",
            "https://256.1.1.1/",
            "https://[fe80::1%25eth0]/",
            "https://example.com\t.evil/",
        ] {
            assert!(matches!(fault(&policy, url), Some(UrlFault::Unreadable(_))), "{url:?}: {:?}", fault(&policy, url));
        }
    }

    #[test]
    fn a_request_names_its_host_and_resource_as_the_url_does() {
        let policy = AddressPolicy::public_only().with_loopback(true);
        for (url, authority, resource) in [
            ("https://example.com", "example.com", "/"),
            ("https://example.com:443/a/../b?c=d%20e", "example.com", "/b?c=d%20e"),
            ("https://example.com:8443?x", "example.com:8443", "/?x"),
            ("http://[::1]:80//two", "[::1]", "//two"),
            ("http://127.0.0.1:8080/", "127.0.0.1:8080", "/"),
        ] {
            let target = Target::parse(url, &policy).unwrap();
            assert_eq!(target.authority, authority, "{url}");
            assert_eq!(target.resource.to_string(), resource, "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,60}", path in "[!-~]{0,40}") {
            let policy = AddressPolicy::public_only();
            let _ = policy.check_url(&text);
            let _ = policy.check_url(&format!("https://example.com/{path}"));
        }
    }
}
