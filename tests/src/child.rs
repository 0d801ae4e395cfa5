use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// How many lines of output a failing scenario shows of each process.
const TAIL_LINES: usize = 40;

/// Waits for its standard input to end. If that comes without a word first, the test binary is gone,
/// and so must be the process and what it leaves behind.
const WATCHER: &str = r#"
trap "" INT TERM HUP
read -r word
[ "$word" = ended ] && exit
kill -9 "$1" 2>/dev/null
shift
rm -rf -- "$@"
"#;

/// A process with its output in a file. Dropping it kills it.
#[derive(Debug)]
pub struct Managed {
    name: String,
    child: Child,
    watcher: Child,
    output: PathBuf,
    status: Option<ExitStatus>,
}

impl Managed {
    /// Starts `command` with standard output and error appended to the file `output`.
    pub fn start(name: &str, command: &mut Command, output: &Path) -> Managed {
        command.stdout(append(output));
        Managed::start_piped(name, command, output)
    }

    /// Starts `command` with standard error appended to the file `output`; standard output is where
    /// the caller has put it.
    pub fn start_piped(name: &str, command: &mut Command, output: &Path) -> Managed {
        let program = command.get_program().to_owned();
        let child = command
            .stderr(append(output))
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", program.display()));
        let watcher = watch(child.id(), &[]);
        Managed {
            name: name.to_owned(),
            child,
            watcher,
            output: output.to_owned(),
            status: None,
        }
    }

    /// Removes these files and folders, too, if the test binary ends without dropping this handle.
    pub fn removing(mut self, paths: &[PathBuf]) -> Managed {
        let watcher = watch(self.child.id(), paths);
        dismiss(std::mem::replace(&mut self.watcher, watcher));
        self
    }

    /// What the scenario calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The underlying process, for its pipes.
    pub fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Everything it has written to its output file so far.
    #[must_use]
    pub fn output(&self) -> String {
        let bytes = std::fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines of its output.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = self.output();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("ask after a child process");
            if self.status.is_some() {
                say_ended(&mut self.watcher);
            }
        }
        self.status
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} should have ended by itself", self.name);
        wait::until(limit, what, || self.ended())
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            let pid = Pid::from_child(&self.child);
            // It may have ended just now: it is not reaped yet, so the id is still its own.
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills it as a power cut would, and waits until it is gone.
    pub fn kill_9(&mut self) {
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(10));
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- last output of {}\n{}", self.name, self.tail());
        }
        if self.ended().is_none() {
            // A destructor may run while another panic unwinds, so that nothing here may panic.
            let _ = self.child.kill();
            let _ = self.child.wait();
            say_ended(&mut self.watcher);
        }
        let _ = self.watcher.wait();
    }
}

fn append(path: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap_or_else(|error| panic!("open {}: {error}", path.display()))
}

fn watch(pid: u32, leftovers: &[PathBuf]) -> Child {
    Command::new("sh")
        .args(["-c", WATCHER, "watcher", &pid.to_string()])
        .args(leftovers)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start the watcher of a process")
}

fn say_ended(watcher: &mut Child) {
    if let Some(mut pipe) = watcher.stdin.take() {
        let _ = pipe.write_all(b"ended\n");
    }
}

fn dismiss(mut watcher: Child) {
    say_ended(&mut watcher);
    let _ = watcher.wait();
}
