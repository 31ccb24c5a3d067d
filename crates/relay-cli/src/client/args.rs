//! Which broker, and with what key: from flags, environment and a file.

use super::Client;
use crate::failure::Failure;
use anyhow::Context;
use clap::Args;
use http::HeaderValue;
use std::path::{Path, PathBuf};
use url::Url;

const LOCAL: &str = "http://127.0.0.1:8080";
/// Where a key is looked for, the first one set wins.
const KEY_VARIABLES: [&str; 2] = ["RELAY_API_KEY", "RELAY_ADMIN_KEY"];

/// Which broker to ask.
#[derive(Args, Clone, Debug)]
pub struct ClientArgs {
    /// The broker
    #[arg(long, env = "RELAY_URL", value_name = "URL", default_value = LOCAL)]
    url: String,
    /// File with an API key in it, and nothing else; without it RELAY_API_KEY is used, or RELAY_ADMIN_KEY
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl ClientArgs {
    /// A client of that broker. It does not connect yet.
    ///
    /// # Errors
    /// [`Failure::Configuration`] with all that is wrong.
    pub fn open(&self) -> Result<Client, Failure> {
        self.open_with(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn open_with(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Client, Failure> {
        match (parse_url(&self.url), self.authorization(variable)) {
            (Ok(url), Ok(authorization)) => Ok(Client::new(&url, authorization).context("TLS cannot be used")?),
            (url, key) => Err(Failure::configuration(url.err().into_iter().chain(key.err()))),
        }
    }

    /// The `Authorization` header.
    fn authorization(&self, variable: impl Fn(&str) -> Option<String>) -> Result<HeaderValue, String> {
        let (key, origin) = match &self.key_file {
            Some(file) => (read_key(file)?, format!("--key-file {}", file.display())),
            None => {
                let set =
                    |name: &&str| variable(name).filter(|key| !key.is_empty()).map(|key| (key, (*name).to_owned()));
                KEY_VARIABLES
                    .iter()
                    .find_map(set)
                    .ok_or("which key? Set RELAY_API_KEY to one, or name a file with --key-file")?
            }
        };
        let key = key.trim();
        let header = HeaderValue::try_from(format!("Bearer {key}"));
        match header {
            Ok(mut header) if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()) => {
                header.set_sensitive(true);
                Ok(header)
            }
            _ => Err(format!("{origin}: is no API key: one has visible ASCII characters only, and no blanks")),
        }
    }
}

fn read_key(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("--key-file {}: {error}", file.display()))
}

fn parse_url(text: &str) -> Result<Url, String> {
    let text = if text.is_empty() { LOCAL } else { text };
    let fault = |what: &str| format!("--url (RELAY_URL) {text}: {what}");
    match Url::parse(text) {
        Ok(url) if !["http", "https"].contains(&url.scheme()) || !url.has_host() => {
            Err(fault("is no http:// or https:// address"))
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            Err(fault("is more than the broker's address: it has a query or a fragment"))
        }
        // Not repeated in the message: it may well be a secret.
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("--url (RELAY_URL): a broker takes no user or password, set RELAY_API_KEY".to_owned())
        }
        Ok(url) => Ok(url),
        Err(error) => Err(fault(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::folder::TemporaryFolder;

    fn args(url: &str, key_file: Option<PathBuf>) -> ClientArgs {
        ClientArgs { url: url.to_owned(), key_file }
    }

    fn key_of(args: &ClientArgs, set: &[(&str, &str)]) -> Result<String, String> {
        let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        args.authorization(variable).map(|header| header.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_key_comes_from_the_file_or_else_from_the_environment() {
        let folder = TemporaryFolder::new("relay-key").unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "rk_file\n").unwrap();
        let set = [("RELAY_ADMIN_KEY", "rk_admin"), ("RELAY_API_KEY", "rk_api")];
        assert_eq!(key_of(&args(LOCAL, Some(file.clone())), &set).unwrap(), "Bearer rk_file");
        assert_eq!(key_of(&args(LOCAL, None), &set).unwrap(), "Bearer rk_api");
        assert_eq!(key_of(&args(LOCAL, None), &[set[0], ("RELAY_API_KEY", "")]).unwrap(), "Bearer rk_admin");
        std::fs::write(&file, "two words").unwrap();
        let fault = key_of(&args(LOCAL, Some(file)), &set).unwrap_err();
        assert!(fault.starts_with("--key-file") && !fault.contains("two words"), "{fault}");
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let fault = args("ftp://there", None).open_with(|_| None).unwrap_err().to_string();
        assert!(fault.contains("RELAY_URL) ftp://there") && fault.contains("RELAY_API_KEY"), "{fault}");
    }

    #[test]
    fn a_broker_is_named_by_its_address_alone() {
        for good in ["", "http://127.0.0.1:8080", "https://relay.example.com/base/", "http://[::1]:80"] {
            assert!(parse_url(good).is_ok(), "{good}");
        }
        for bad in ["127.0.0.1:8080", "unix:/tmp/x", "http://", "https://a/?x=1", "https://a/#x"] {
            assert!(parse_url(bad).unwrap_err().contains(bad), "{bad}");
        }
        assert!(!parse_url("https://me:secret@a").unwrap_err().contains("secret"));
    }
}
