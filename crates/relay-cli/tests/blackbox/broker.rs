//! `relay serve` as a child process.

use crate::client::Client;
use crate::wait::until;
use relay_cli::load::broker::address_in;
use relay_cli::load::folder::TemporaryFolder;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub const ADMIN_KEY: &str = "black-box-admin-key-0123456789";
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Requests in progress are given 30 s.
const STOPPED_WITHIN: Duration = Duration::from_secs(40);

/// The binary under test, with nothing of this process's environment that is meant for it.
pub fn relay() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RELAY_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// A data folder and the brokers that run on it, one after another.
pub struct Site {
    folder: TemporaryFolder,
    environment: Vec<(String, String)>,
}

impl Site {
    pub fn new() -> Site {
        Site::with_environment(Vec::new())
    }

    /// A site whose brokers have these variables set.
    pub fn with_environment(environment: Vec<(String, String)>) -> Site {
        Site { folder: TemporaryFolder::new("relay-black-box").unwrap(), environment }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts a broker and waits until it listens.
    pub fn start(&self) -> Broker {
        let site = self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Broker::start(&self.data(), &site.chain([("RELAY_ADMIN_KEY", ADMIN_KEY)]).collect::<Vec<_>>())
    }
}

/// A running broker; killed when dropped.
pub struct Broker {
    process: Mutex<Child>,
    address: String,
    said: Arc<Mutex<Vec<String>>>,
    listening: Receiver<String>,
}

impl Broker {
    /// Starts one and waits until it listens.
    pub fn start(data: &Path, environment: &[(&str, &str)]) -> Broker {
        let mut broker = Broker::spawn(data, environment);
        match broker.listening.recv_timeout(READY_WITHIN) {
            Ok(address) => broker.address = address,
            Err(_) => panic!("the broker did not say that it listens:\n{}", broker.log()),
        }
        broker
    }

    /// Starts one that may well not come to listen.
    pub fn spawn(data: &Path, environment: &[(&str, &str)]) -> Broker {
        let mut command = relay();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.envs(environment.iter().copied()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let listening = listen_to(&mut process, Arc::clone(&said));
        Broker { process: Mutex::new(process), address: String::new(), said, listening }
    }

    pub fn url(&self) -> &str {
        &self.address
    }

    /// A client with the admin key.
    pub fn client(&self) -> Client {
        Client::new(&self.address, ADMIN_KEY)
    }

    /// What it wrote on stderr so far.
    pub fn log(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.process.lock().unwrap().id().try_into().unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Kills it as a crash does.
    pub fn kill(self) {
        let mut process = self.process.lock().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// True if the process has ended and all that it wrote is in the log.
    pub fn has_ended(&self) -> bool {
        self.process.lock().unwrap().try_wait().unwrap().is_some() && Arc::strong_count(&self.said) == 1
    }

    /// Tells it to stop, and waits for its end.
    pub async fn stop(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits for its end. The test's webhooks go on meanwhile.
    pub async fn ended(self) -> ExitStatus {
        let ended = async || self.process.lock().unwrap().try_wait().unwrap();
        until("the broker to end", STOPPED_WITHIN, ended).await
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let process = self.process.get_mut().unwrap();
        let _ = process.kill();
        let _ = process.wait();
        if thread::panicking() {
            eprintln!("the broker's log:\n{}", self.log());
        }
    }
}

fn listen_to(process: &mut Child, said: Arc<Mutex<Vec<String>>>) -> Receiver<String> {
    let (tell, told) = channel();
    let stderr = BufReader::new(process.stderr.take().unwrap());
    thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            if let Some(address) = address_in(&line) {
                // Nobody waits for a second one.
                let _ = tell.send(address.to_owned());
            }
            said.lock().unwrap().push(line);
        }
    });
    told
}
