//! `tarn user`: who may connect by MQTT.

use std::{
    io::{self, BufRead, IsTerminal},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use tarn_broker::auth::password_file;

use crate::exit::Failure;

/// `tarn user`.
#[derive(Debug, Args)]
pub(crate) struct UserCommand {
    /// File of users, as given to `tarn edge`; made if absent
    #[arg(long, env = "TARN_PASSWORD_FILE", value_name = "FILE", global = true)]
    password_file: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a user, or change its password; asks for the password, or reads it from the first line of stdin
    Add {
        /// User name
        name: String,
    },
    /// Take a user away; connections that it has go on until they end
    Remove {
        /// User name
        name: String,
    },
    /// Print the names of all users
    List,
}

/// A running box sees the change within a second.
pub(crate) fn run(command: UserCommand) -> Result<(), Failure> {
    let path = command.password_file.ok_or_else(|| {
        Failure::usage("--password-file is missing (or TARN_PASSWORD_FILE)".into())
    })?;
    let failed =
        |e: password_file::PasswordFileError| Failure::usage(format!("{}: {e}", path.display()));
    match command.action {
        Action::Add { name } => {
            let password = ask_password(&name)?;
            let new = password_file::add(&path, &name, password.as_bytes()).map_err(failed)?;
            println!("{} {name}", if new { "added" } else { "changed" });
        }
        Action::Remove { name } => {
            if !password_file::remove(&path, &name).map_err(failed)? {
                return Err(Failure::usage(format!(
                    "{}: there is no user {name:?}",
                    path.display()
                )));
            }
            println!("removed {name}");
        }
        Action::List => {
            let file = password_file::read(&path).map_err(failed)?;
            file.names().for_each(|name| println!("{name}"));
        }
    }
    Ok(())
}

fn ask_password(name: &str) -> Result<String, Failure> {
    let unread = |e: io::Error| Failure::usage(format!("cannot read the password: {e}"));
    let password = if io::stdin().is_terminal() {
        let password =
            rpassword::prompt_password(format!("Password of {name}: ")).map_err(unread)?;
        if rpassword::prompt_password("Again: ").map_err(unread)? != password {
            return Err(Failure::usage("the passwords differ".into()));
        }
        password
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(unread)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    if password.is_empty() {
        return Err(Failure::usage("the password is empty".into()));
    }
    Ok(password)
}
