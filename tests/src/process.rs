use std::ffi::OsStr;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::child::Managed;
use crate::{access, ports, s3, tools, wait};

/// How long a service may take until it serves.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How long a service may take to stop after a SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// How to start the program: its arguments and surroundings.
///
/// Variables named `TARN_…` and `AWS_…` of the developer's shell are kept away from it.
#[derive(Debug, Clone)]
pub struct Launch {
    name: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    folder: PathBuf,
    mqtt_port: Option<u16>,
    /// A directory that is a small disk of its own for this program, and its bytes.
    disk: Option<(PathBuf, u64)>,
}

impl Launch {
    /// A box that keeps its data in `<folder>/<home>`. It comes back on the same MQTT port after a
    /// restart, as clients expect.
    #[must_use]
    pub fn edge(folder: &Path, home: &str) -> Launch {
        let data = folder.join(home);
        Launch::service(&format!("edge-{home}"), folder, "edge", Some(ports::free()))
            .arg("--data", data.display())
            .arg("--home", home)
    }

    /// A cloud service. Its cache is `<folder>/cache`. It comes back on the same MQTT port after a restart.
    #[must_use]
    pub fn cloud(folder: &Path) -> Launch {
        let cache = folder.join("cache");
        Launch::service("cloud", folder, "cloud", Some(ports::free()))
            .arg("--cache", cache.display())
    }

    /// A directory, `<folder>/<name>`, that is served by the S3 protocol with the keys of the tests. It comes back on the same port.
    #[must_use]
    pub fn store_server(folder: &Path, name: &str) -> Launch {
        Launch::service(name, folder, "store", None)
            .arg("--dir", folder.join(name).display())
            .arg("--listen", format!("127.0.0.1:{}", ports::free()))
            .arg("--access-key", s3::ACCESS_KEY)
            .arg("--secret-key", s3::SECRET_KEY)
    }

    /// A simulator that publishes to `mqtt`, an address such as `127.0.0.1:1883`.
    #[must_use]
    pub fn simulate(folder: &Path, name: &str, mqtt: &str) -> Launch {
        Launch::command(
            folder,
            name,
            &["simulate", "--mqtt", &format!("mqtt://{mqtt}")],
        )
    }

    /// Any other command of the program.
    #[must_use]
    pub fn command(folder: &Path, name: &str, arguments: &[&str]) -> Launch {
        Launch {
            name: name.to_owned(),
            arguments: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
            variables: Vec::new(),
            folder: folder.to_owned(),
            mqtt_port: None,
            disk: None,
        }
    }

    /// Gives it a directory as a disk of its own with so many bytes: a file system in memory that nobody else sees, and
    /// that is gone when it ends. [`Service::own_path`] is the way to it from outside.
    #[must_use]
    pub fn on_small_disk(mut self, directory: &Path, bytes: u64) -> Launch {
        self.disk = Some((directory.to_owned(), bytes));
        self
    }

    /// Adds `--flag value`.
    #[must_use]
    pub fn arg(mut self, flag: &str, value: impl ToString) -> Launch {
        self.arguments.extend([flag.to_owned(), value.to_string()]);
        self
    }

    /// Adds a flag that takes no value.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Launch {
        self.arguments.push(flag.to_owned());
        self
    }

    /// Adds words that are no flags.
    #[must_use]
    pub fn words(mut self, words: &[&str]) -> Launch {
        self.arguments
            .extend(words.iter().map(|&word| word.to_owned()));
        self
    }

    /// Adds a store, reached with these `AWS_…` variables.
    #[must_use]
    pub fn store(self, url: &str, variables: &[(String, String)]) -> Launch {
        self.arg("--store", url).variables(variables)
    }

    /// Adds variables of its environment.
    #[must_use]
    pub fn variables(mut self, variables: &[(String, String)]) -> Launch {
        self.variables.extend_from_slice(variables);
        self
    }

    /// The MQTT port that it will have, if it is a service.
    #[must_use]
    pub fn mqtt_port(&self) -> Option<u16> {
        self.mqtt_port
    }

    /// Starts a service and waits until it serves.
    #[must_use]
    pub fn serve(self) -> Service {
        let child = self.start_service();
        let mut service = Service {
            launch: self,
            child,
            ready: Value::Null,
        };
        service.wait_ready();
        service
    }

    /// Starts a command that goes on for a while. Standard error goes to `<folder>/<name>.log`.
    #[must_use]
    pub fn start(&self) -> Managed {
        let mut command = self.to_command();
        Managed::start(&self.name, &mut command, &self.log())
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn run(&self) -> Finished {
        Finished::of(&mut self.to_command())
    }

    /// Runs a command to its end, with `input` on its standard input.
    #[must_use]
    pub fn run_with_input(&self, input: &str) -> Finished {
        let mut file = tempfile::tempfile().expect("make a temporary file");
        file.write_all(input.as_bytes())
            .and_then(|()| file.rewind())
            .expect("write a temporary file");
        Finished::of(self.to_command().stdin(file))
    }

    fn service(name: &str, folder: &Path, kind: &str, mqtt_port: Option<u16>) -> Launch {
        let mut launch = Launch::command(folder, name, &[kind]);
        launch.mqtt_port = mqtt_port;
        let ready = launch.ready_file();
        let launch = launch.arg("--ready-file", ready.display());
        match mqtt_port {
            Some(port) => launch.arg("--mqtt", format!("127.0.0.1:{port}")),
            None => launch,
        }
    }

    fn start_service(&self) -> Managed {
        // A file that an earlier start left would pass for this one's.
        let ready = self.ready_file();
        if let Err(error) = std::fs::remove_file(&ready) {
            let is_absent = error.kind() == std::io::ErrorKind::NotFound;
            assert!(is_absent, "remove {}: {error}", ready.display());
        }
        let mut command = self.to_command();
        // A store has no REST interface.
        if self.arguments[0] != "store" {
            command.args(["--http", "127.0.0.1:0"]);
            command.arg("--token-keys").arg(access::keys());
        }
        Managed::start(&self.name, &mut command, &self.log())
    }

    fn to_command(&self) -> Command {
        let mut command = match &self.disk {
            None => Command::new(tools::tarn()),
            Some((directory, bytes)) => {
                let mut command = Command::new("unshare");
                let script = r#"mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@""#;
                command.args(["-rm", "sh", "-c", script, "sh", &bytes.to_string()]);
                command.arg(directory).arg(tools::tarn());
                command
            }
        };
        without_own_variables(&mut command);
        command
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("NO_COLOR", "1")
            .env("TARN_HTTP_RATE", "0")
            .env("TARN_TOKEN", access::owner())
            .stdin(Stdio::null());
        command
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    fn ready_file(&self) -> PathBuf {
        self.folder.join(format!("{}.ready", self.name))
    }
}

/// A box or a cloud that serves. Dropping it kills it.
#[derive(Debug)]
pub struct Service {
    launch: Launch,
    child: Managed,
    ready: Value,
}

impl Service {
    /// Where its MQTT clients connect, as `address:port`.
    #[must_use]
    pub fn mqtt(&self) -> &str {
        self.address("mqtt")
    }

    /// The port of [`Service::mqtt`].
    #[must_use]
    pub fn mqtt_port(&self) -> u16 {
        self.port("mqtt")
    }

    /// The port of a wire that the ready file names: `mqtt`, `mqtts`, `ws`, `wss`, `http` or `s3`.
    #[must_use]
    pub fn port(&self, wire: &str) -> u16 {
        let address = self.address(wire);
        let port = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        port.expect("an address ends in a port")
    }

    /// The URL of a path of its HTTP interface; `path` begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address("http"))
    }

    /// Where it serves S3.
    #[must_use]
    pub fn s3_endpoint(&self) -> String {
        format!("http://{}", self.address("s3"))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// A path as it sees it, also on a disk of its own.
    #[must_use]
    pub fn own_path(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Kills it as a power cut would (the disk's cache survives), and waits until it is gone.
    pub fn kill_9(&mut self) {
        assert!(
            self.child.ended().is_none(),
            "{} had ended before it was to be killed",
            self.child.name()
        );
        self.child.kill_9();
    }

    /// Stops it as an operator does, by SIGTERM, and gives its exit code.
    pub fn terminate(&mut self) -> i32 {
        self.child.signal(Signal::TERM);
        let status = self.child.wait(STOP_LIMIT);
        status
            .code()
            .unwrap_or_else(|| panic!("{} did not stop by itself: {status}", self.launch.name))
    }

    /// Starts it again with the same arguments, and waits until it serves. A box has the same MQTT
    /// port as before; the other ports may differ.
    pub fn restart(&mut self) {
        assert!(
            self.child.ended().is_some(),
            "{} is still running",
            self.launch.name
        );
        self.child = self.launch.start_service();
        self.wait_ready();
    }

    /// The lines of its log, over all its starts.
    #[must_use]
    pub fn log_lines(&self) -> Vec<String> {
        self.child.output().lines().map(str::to_owned).collect()
    }

    /// The lines of its log, over all its starts, that are WARN, ERROR or a panic and contain none of
    /// the `allowed` texts.
    #[must_use]
    pub fn unexpected_warnings(&self, allowed: &[&str]) -> Vec<String> {
        let log = self.child.output();
        let bad = |line: &&str| {
            // The level stands after the time, so that a message that merely quotes the word is fine.
            let level = line
                .split_whitespace()
                .take(2)
                .any(|word| matches!(word, "WARN" | "ERROR"));
            (level || line.contains("panicked at"))
                && !allowed.iter().any(|text| line.contains(text))
        };
        log.lines().filter(bad).map(str::to_owned).collect()
    }

    /// Fails the scenario if [`Service::unexpected_warnings`] finds any.
    pub fn assert_quiet(&self, allowed: &[&str]) {
        let lines = self.unexpected_warnings(allowed);
        assert!(
            lines.is_empty(),
            "{} logged what it should not:\n{}",
            self.launch.name,
            lines.join("\n")
        );
    }

    fn address(&self, wire: &str) -> &str {
        self.ready[wire]
            .as_str()
            .unwrap_or_else(|| panic!("the ready file has no {wire}: {}", self.ready))
    }

    fn wait_ready(&mut self) {
        let file = self.launch.ready_file();
        let what = format!("{} should write {}", self.launch.name, file.display());
        let child = &mut self.child;
        self.ready = wait::until(READY_LIMIT, what, || {
            if let Some(status) = child.ended() {
                panic!(
                    "{} ended before it served: {status}\n{}",
                    child.name(),
                    child.tail()
                );
            }
            // While it is being written it is no JSON yet.
            serde_json::from_slice(&std::fs::read(&file).ok()?).ok()
        });
    }
}

/// What a command that has ended said.
#[derive(Debug)]
pub struct Finished {
    command: String,
    status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// Runs `command` to its end.
    pub fn of(command: &mut Command) -> Finished {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let command_line = words
            .map(OsStr::to_string_lossy)
            .collect::<Vec<_>>()
            .join(" ");
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("run {command_line}: {error}"));
        Finished {
            command: command_line,
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The exit code; 128 and the signal's number if a signal ended it, as shells say.
    #[must_use]
    pub fn code(&self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        self.status
            .code()
            .unwrap_or_else(|| 128 + self.status.signal().unwrap_or_default())
    }

    /// Its standard output, if it exited with 0; otherwise the scenario has failed.
    #[must_use]
    pub fn succeeded(self) -> String {
        assert!(self.status.success(), "{self}");
        self.stdout
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "`{}` ended with {}", self.command, self.status)?;
        write!(
            f,
            "---- its output\n{}---- its errors\n{}",
            self.stdout, self.stderr
        )
    }
}

/// Every flag of the program is also a variable, and the harness has some of its own.
fn without_own_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("TARN_") || text.starts_with("AWS_") {
            command.env_remove(&name);
        }
    }
}
