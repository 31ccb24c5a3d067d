//! Commands of the binary that talk to a broker, as child processes.

use crate::broker::{ADMIN_KEY, relay};
use crate::wait::until;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// A running command; killed when dropped.
pub struct Running {
    process: Child,
    out: Lines,
    err: Lines,
}

/// What a command that has ended wrote.
#[derive(Debug)]
pub struct Ended {
    /// None if a signal ended it.
    pub code: Option<i32>,
    pub out: Vec<String>,
    pub err: String,
}

impl Running {
    /// Starts a command with the admin key of a broker.
    pub fn start(url: &str, args: &[&str]) -> Running {
        Running::start_with(&[("RELAY_URL", url), ("RELAY_API_KEY", ADMIN_KEY)], args)
    }

    /// Starts a command with these variables set.
    pub fn start_with(environment: &[(&str, &str)], args: &[&str]) -> Running {
        let mut command = relay();
        command.args(args).envs(environment.iter().copied());
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
        Running { process, out: Lines::of(out), err: Lines::of(err) }
    }

    /// The lines of its stdout so far.
    pub fn out(&self) -> Vec<String> {
        self.out.so_far()
    }

    /// Its stderr so far.
    pub fn err(&self) -> String {
        self.err.so_far().join("\n")
    }

    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.process.id().try_into().unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Waits for its end. The test's servers go on meanwhile.
    pub async fn ended(mut self) -> Ended {
        let process = Mutex::new(&mut self.process);
        let status =
            until("the command to end", ENDS_WITHIN, async || process.lock().unwrap().try_wait().unwrap()).await;
        self.out.finish();
        self.err.finish();
        Ended { code: status.code(), out: self.out(), err: self.err() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("the command's stderr:\n{}", self.err());
        }
    }
}

struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    fn of(from: impl Read + Send + 'static) -> Lines {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            BufReader::new(from).lines().map_while(Result::ok).for_each(|line| read.lock().unwrap().push(line));
        });
        Lines { lines, reader: Some(reader) }
    }

    fn so_far(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}
