//! The broker under load: one that runs already, or one of this binary's own, started for the run.

use super::api::Api;
use super::connection::Connection;
use super::folder::TemporaryFolder;
use super::resident::{Resident, resident};
use crate::failure::Failure;
use anyhow::{Context, anyhow};
use clap::Args;
use rand::Rng;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use url::Url;

/// Which broker to use.
#[derive(Args, Clone, Debug)]
pub struct BrokerArgs {
    /// A running broker, such as http://127.0.0.1:8080; without it one is started for the run
    #[arg(long, env = "RELAY_URL", value_name = "URL")]
    pub url: Option<String>,
    /// An API key of that broker, with all grants; without it RELAY_ADMIN_KEY is used
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Data folder of the broker that is started (default: a temporary one); with --url: a folder on that broker's disk,
    /// whose fdatasync is then measured
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
}

/// A broker that a run can use.
pub struct Broker {
    /// Its API.
    pub api: Api,
    own: Option<OwnBroker>,
    data: Option<PathBuf>,
}

struct OwnBroker {
    process: Child,
    /// Its data, if nobody named a folder. Removed when the broker has ended.
    temporary: Option<TemporaryFolder>,
}

/// What a broker of our own logs: its webhooks fail because they are told to.
const LOG: &str = "warn,relay::endpoint=off";
const READY_WITHIN: Duration = Duration::from_secs(60);
/// The broker itself gives requests in progress 30 s.
const STOPPED_WITHIN: Duration = Duration::from_secs(35);

impl Broker {
    /// Starts a broker, or makes sure that the named one is there.
    ///
    /// # Errors
    /// [`Failure::Configuration`] with all that is wrong with the arguments; or if the broker does not come up.
    pub async fn open(args: &BrokerArgs) -> Result<Broker, Failure> {
        let Some(url) = &args.url else {
            return match args.key {
                None => Ok(Self::start(args.data.clone())?),
                Some(_) => Err(Failure::configuration(["--key needs --url (or RELAY_URL): the broker it is for"])),
            };
        };
        let key = args.key.clone().or_else(|| std::env::var("RELAY_ADMIN_KEY").ok()).filter(|key| !key.is_empty());
        match (parse_url(url), key) {
            (Ok(url), Some(key)) => {
                Connection::open(&url).await.with_context(|| format!("nobody answers at {url}"))?;
                Ok(Broker { api: Api::new(url, key), own: None, data: args.data.clone() })
            }
            (url, key) => {
                let no_key =
                    key.is_none().then(|| "--url needs --key or RELAY_ADMIN_KEY: a key of that broker".to_owned());
                Err(Failure::configuration(url.err().into_iter().chain(no_key)))
            }
        }
    }

    fn start(data: Option<PathBuf>) -> anyhow::Result<Broker> {
        let (folder, temporary) = match data {
            Some(folder) => (folder, None),
            None => {
                let temporary = TemporaryFolder::new("relay-run").context("no temporary folder can be made")?;
                (temporary.path().join("data"), Some(temporary))
            }
        };
        let key = format!("run-{:016x}{:016x}", random(), random());
        let mut command = Command::new(std::env::current_exe().context("the path of this binary is unknown")?);
        // Settings that were meant for another broker must not reach this one.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RELAY_")) {
            command.env_remove(name);
        }
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&folder);
        command.env("RELAY_ADMIN_KEY", &key).env("RELAY_LOG", LOG);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().context("the broker cannot be started")?;
        let said = process.stderr.take().map(listen_to);
        let own = OwnBroker { process, temporary };
        let url = match said.map(|said| said.recv_timeout(READY_WITHIN)) {
            Some(Ok(Said::Address(url))) => url,
            Some(Ok(Said::Ended(last))) => return Err(anyhow!("the broker did not start:\n{last}")),
            _ => return Err(anyhow!("the broker did not say within {} s that it listens", READY_WITHIN.as_secs())),
        };
        let url = Url::parse(&url).with_context(|| format!("the broker says that it listens on {url}"))?;
        Ok(Broker { api: Api::new(url, key), own: Some(own), data: Some(folder) })
    }

    /// True if what a run leaves behind stays: the broker is somebody else's, or its data folder is.
    #[must_use]
    pub fn outlives_run(&self) -> bool {
        self.own.as_ref().is_none_or(|own| own.temporary.is_none())
    }

    /// The folder whose disk is the broker's, if it is known.
    #[must_use]
    pub fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// The broker's resident memory, if it was started here.
    #[must_use]
    pub fn resident(&self) -> Option<Resident> {
        resident(self.own.as_ref()?.process.id())
    }

    /// Ends the broker, if it was started here, as an operator would.
    ///
    /// # Errors
    /// If it does not end well.
    pub async fn close(mut self) -> anyhow::Result<()> {
        let Some(own) = &mut self.own else {
            return Ok(());
        };
        own.ask_to_stop()?;
        let deadline = Instant::now() + STOPPED_WITHIN;
        loop {
            match own.process.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(anyhow!("the broker ended with {status}")),
                None if Instant::now() > deadline => {
                    return Err(anyhow!("the broker did not end within {} s", STOPPED_WITHIN.as_secs()));
                }
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

impl OwnBroker {
    fn ask_to_stop(&self) -> anyhow::Result<()> {
        let id = i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw);
        let id = id.context("the broker has no process id")?;
        Ok(rustix::process::kill_process(id, rustix::process::Signal::TERM)?)
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

enum Said {
    Address(String),
    Ended(String),
}

/// Reads what the broker writes, so that it never waits for a reader: passes on where it listens and, should it end
/// without ever having listened, its last words. Warnings of a running broker are shown as they come.
fn listen_to(stderr: ChildStderr) -> Receiver<Said> {
    let (tell, told): (Sender<Said>, _) = channel();
    std::thread::spawn(move || {
        let mut listening = false;
        let mut last = VecDeque::new();
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(address) = address_in(&line) {
                listening = true;
                let _ = tell.send(Said::Address(address.to_owned()));
            } else if listening && ["WARN", "ERROR", "panicked"].iter().any(|word| line.contains(word)) {
                eprintln!("broker: {line}");
            }
            last.push_back(line);
            if last.len() > 30 {
                last.pop_front();
            }
        }
        if !listening {
            let _ = tell.send(Said::Ended(last.into_iter().collect::<Vec<_>>().join("\n")));
        }
    });
    told
}

/// Where a broker says that it listens, in a line of its own or in one of JSON.
#[must_use]
pub fn address_in(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("listening on ")?;
    rest.split(['"', ' ']).next()
}

fn parse_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "http" && url.has_host() => Ok(url),
        Ok(url) if url.scheme() == "https" => {
            Err(format!("--url {text}: load over TLS is not built, use an http:// address"))
        }
        Ok(_) => Err(format!("--url {text}: is no http:// address")),
        Err(error) => Err(format!("--url {text}: {error}")),
    }
}

/// 64 random bits, to keep runs apart.
#[must_use]
pub fn random() -> u64 {
    rand::rng().random()
}
