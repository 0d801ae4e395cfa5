use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::child::Managed;
use crate::{ports, wait};

/// Where Debian puts it: not on every user's search path.
const PROGRAM: &str = "/usr/sbin/mosquitto";

/// A mosquitto broker for anybody on the loopback, with its state in a folder.
#[derive(Debug)]
pub struct MosquittoServer {
    child: Managed,
    port: u16,
}

impl MosquittoServer {
    /// Starts one that keeps its sessions in `folder`.
    #[must_use]
    pub fn start(folder: &Path) -> MosquittoServer {
        let port = ports::free();
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
             max_queued_messages 0\nuser root\n",
            folder.display()
        );
        fs::write(&config, text).expect("write mosquitto's configuration");
        let mut command = Command::new(PROGRAM);
        command.arg("-c").arg(&config).stdin(Stdio::null());
        let child = Managed::start("mosquitto", &mut command, &folder.join("mosquitto.log"));
        let what = "mosquitto should listen (is it installed? scripts/setup.sh does it)";
        wait::until_true(Duration::from_secs(10), what, || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        MosquittoServer { child, port }
    }

    /// Where it listens on the loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }
}
