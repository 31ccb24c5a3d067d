//! Which addresses a webhook may live at.
//!
//! The rule is default-deny for IPv6 (only global unicast, minus what is carved out of it) and a list of special-purpose
//! ranges for IPv4, after the IANA registries:
//! <https://www.iana.org/assignments/iana-ipv4-special-registry> and
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Special-purpose IPv4 ranges, as network and prefix length.
const FORBIDDEN_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),        // "this network", unspecified
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // carrier-grade NAT
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32), // the platform's own service on Azure machines, though publicly numbered
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local, with the metadata services
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 31, 196, 0), 24),  // AS112
    (Ipv4Addr::new(192, 52, 193, 0), 24),  // automatic multicast tunnelling
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(192, 175, 48, 0), 24),  // AS112
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarking
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),      // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),      // reserved, broadcast
];

/// What is carved out of IPv6 global unicast, 2000::/3. All that is outside of 2000::/3 is forbidden anyway.
const FORBIDDEN_V6: &[(Ipv6Addr, u8)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments: Teredo, benchmarking, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// What a policy says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A public address: `https` may go there.
    Public,
    /// Named by an allowed range or the loopback rule: `https` and `http` may go there.
    Admitted,
    /// Nothing may go there.
    Forbidden,
}

/// The addresses that webhooks may live at: public ones, and those that the operator admits.
///
/// Addresses that stand for an IPv4 address (mapped `::ffff:0:0/96`, and `64:ff9b::/96`, which a NAT64 gateway translates)
/// are judged as that IPv4 address. The other transition forms (IPv4-compatible, 6to4, Teredo, local NAT64) are refused
/// whatever they embed, since nobody publishes a service there, unless an allowed range names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    allowed: Vec<IpNet>,
    allow_loopback: bool,
}

/// Reads comma-separated networks, such as `10.1.0.0/16`; a lone address is a network of one. Beside them stands what is
/// none.
#[must_use]
pub fn parse_networks(text: &str) -> (Vec<IpNet>, Vec<&str>) {
    let (mut networks, mut bad) = (Vec::new(), Vec::new());
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        match entry.parse().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from)) {
            Ok(network) => networks.push(network),
            Err(_) => bad.push(entry),
        }
    }
    (networks, bad)
}

impl AddressPolicy {
    /// Admits public addresses only.
    #[must_use]
    pub fn public_only() -> Self {
        Self::default()
    }

    /// Admits these ranges too, whatever else is said of them, and lets plain `http` go to them.
    #[must_use]
    pub fn with_allowed(mut self, ranges: impl IntoIterator<Item = IpNet>) -> Self {
        self.allowed.extend(ranges);
        self
    }

    /// Admits 127.0.0.0/8 and ::1 too, for a broker that itself listens on loopback only.
    #[must_use]
    pub fn with_loopback(mut self, allow: bool) -> Self {
        self.allow_loopback = allow;
        self
    }

    /// Whether a connection to `address` may be made at all. Plain `http` asks for more: see
    /// [`check_url`](Self::check_url).
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        self.judge(address) != Verdict::Forbidden
    }

    pub(crate) fn judge(&self, address: IpAddr) -> Verdict {
        let address = address.to_canonical();
        if self.admits(address) {
            return Verdict::Admitted;
        }
        match address {
            IpAddr::V4(v4) => judge_v4(v4),
            IpAddr::V6(v6) => match translated(v6) {
                Some(v4) => self.judge(IpAddr::V4(v4)),
                None => judge_v6(v6),
            },
        }
    }

    /// Whether anything beyond public addresses is admitted.
    pub(crate) fn admits_some(&self) -> bool {
        self.allow_loopback || !self.allowed.is_empty()
    }

    /// Whether some address that the name `localhost` stands for is admitted.
    pub(crate) fn admits_localhost(&self) -> bool {
        self.admits(Ipv4Addr::LOCALHOST.into()) || self.admits(Ipv6Addr::LOCALHOST.into())
    }

    fn admits(&self, address: IpAddr) -> bool {
        (self.allow_loopback && address.is_loopback()) || self.allowed.iter().any(|range| range.contains(&address))
    }
}

/// The IPv4 address that a NAT64 gateway turns this one into.
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.octets() {
        [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d)),
        _ => None,
    }
}

fn judge_v4(address: Ipv4Addr) -> Verdict {
    let bits = address.to_bits();
    let within = |&(network, prefix): &(Ipv4Addr, u8)| (bits ^ network.to_bits()) >> (32 - u32::from(prefix)) == 0;
    if FORBIDDEN_V4.iter().any(within) { Verdict::Forbidden } else { Verdict::Public }
}

fn judge_v6(address: Ipv6Addr) -> Verdict {
    let bits = address.to_bits();
    let within = |&(network, prefix): &(Ipv6Addr, u8)| (bits ^ network.to_bits()) >> (128 - u32::from(prefix)) == 0;
    let global_unicast = bits >> 125 == 0b001;
    if global_unicast && !FORBIDDEN_V6.iter().any(within) { Verdict::Public } else { Verdict::Forbidden }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judge(policy: &AddressPolicy, address: &str) -> Verdict {
        policy.judge(address.parse().unwrap())
    }

    #[test]
    fn special_addresses_are_forbidden_by_default() {
        let policy = AddressPolicy::public_only();
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.254",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::808:808",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "64:ff9b:1:ffff::808:808",
            "100::1",
            "100:0:0:1::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2002:808:808::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ] {
            assert_eq!(judge(&policy, address), Verdict::Forbidden, "{address}");
        }
    }

    #[test]
    fn public_addresses_are_public_in_every_form_that_reaches_them() {
        let policy = AddressPolicy::public_only();
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "168.63.129.17",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "2001:200::1",
        ] {
            assert_eq!(judge(&policy, address), Verdict::Public, "{address}");
        }
    }

    #[test]
    fn an_allowed_range_admits_its_addresses_and_their_embedded_forms_only() {
        let policy = AddressPolicy::public_only().with_allowed(["10.1.0.0/16".parse().unwrap()]);
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"] {
            assert_eq!(judge(&policy, address), Verdict::Admitted, "{address}");
        }
        for address in ["10.2.0.1", "127.0.0.1", "::1", "2002:a01:203::1"] {
            assert_eq!(judge(&policy, address), Verdict::Forbidden, "{address}");
        }
        assert!(!policy.admits_localhost());
        assert!(policy.allows("8.8.8.8".parse().unwrap()));
    }

    #[test]
    fn an_allowed_range_of_ipv6_admits_what_is_otherwise_refused() {
        let policy = AddressPolicy::public_only().with_allowed(["fd12::/16".parse().unwrap()]);
        assert_eq!(judge(&policy, "fd12::1"), Verdict::Admitted);
        assert_eq!(judge(&policy, "fd13::1"), Verdict::Forbidden);
    }

    #[test]
    fn the_loopback_rule_admits_loopback_only() {
        let policy = AddressPolicy::public_only().with_loopback(true);
        for address in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(judge(&policy, address), Verdict::Admitted, "{address}");
        }
        for address in ["0.0.0.0", "::", "10.0.0.1", "169.254.169.254"] {
            assert_eq!(judge(&policy, address), Verdict::Forbidden, "{address}");
        }
        assert!(policy.admits_localhost());
    }

    proptest! {
        #[test]
        fn a_mapped_address_is_judged_as_the_one_it_maps(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let policy = AddressPolicy::public_only();
            prop_assert_eq!(policy.judge(v4.into()), policy.judge(v4.to_ipv6_mapped().into()));
        }

        #[test]
        fn only_global_unicast_is_public(bits: u128) {
            let v6 = Ipv6Addr::from_bits(bits);
            let policy = AddressPolicy::public_only();
            if policy.judge(v6.into()) == Verdict::Public {
                prop_assert!(bits >> 125 == 1 || v6.to_ipv4_mapped().is_some() || translated(v6).is_some());
            }
        }
    }
}
