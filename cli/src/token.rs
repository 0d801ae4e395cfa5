//! `tarn token`: who may use the REST interface. Works on the data directory of a box, or on the stores of a fleet; services
//! see a change within seconds.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, Subcommand};
use serde_json::json;
use tarn_common::{
    clock::{Clock, SystemClock},
    fleet::Fleet,
    store::{Store, mirror::Mirror},
};
use tarn_openapi::{
    Access, AccessSettings,
    access::{AccessError, Homes, Issued, KEY_FILE, RateSettings, Role, SigningKey, TokenRequest},
    types::moment,
};

use crate::{exit::Failure, store_args::StoreArgs, stores::table};

/// Whoever has the files of a box, or the keys of a store, owns it.
const BY: &str = "tarn token";
/// How long one request to a store may take.
const STORE_TIME: Duration = Duration::from_secs(30);

/// `tarn token`.
#[derive(Debug, Args)]
pub(crate) struct TokenCommand {
    /// Data directory of a box
    #[arg(long, env = "TARN_DATA", value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// Stores of a fleet, as for `tarn cloud`; may be repeated
    #[arg(
        long,
        env = "TARN_STORE",
        value_name = "URL",
        value_delimiter = ' ',
        global = true
    )]
    store: Vec<String>,
    /// File of the key to sign with; made if absent [default: that of the box; for stores a new one that is not kept]
    #[arg(long, env = "TARN_SIGNING_KEY", value_name = "FILE", global = true)]
    key: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a token and print it
    Create(CreateArgs),
    /// List tokens and logins, the newest first
    List,
    /// Let a token, or a login, be good no more
    Revoke {
        /// Its id, as list tells it
        id: String,
    },
    /// Make a link with which somebody can make an account: for the first one, or when a password is lost
    SetupLink {
        /// Where the dashboard is
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
        url: String,
        /// What the account is to be
        #[arg(long, value_name = "ROLE", default_value = "owner")]
        role: Role,
        /// The homes that it is for, with commas between; * for all, those to come included
        #[arg(long, value_name = "HOMES", default_value = "*", value_delimiter = ',')]
        homes: Vec<String>,
    },
    /// Print the public key that tokens are signed with, as a JWK set for --token-keys
    Keys,
}

/// What a token is to be.
#[derive(Debug, Args)]
struct CreateArgs {
    /// Who is to have it
    #[arg(long, value_name = "NAME")]
    name: String,
    /// owner, member, guest, analyst or service
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// The homes that it is for, with commas between; * for all, those to come included
    #[arg(long, value_name = "HOMES", default_value = "*", value_delimiter = ',')]
    homes: Vec<String>,
    /// How long it lasts
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = humantime::parse_duration)]
    expires: Duration,
}

impl CreateArgs {
    fn request(&self) -> Result<TokenRequest, Failure> {
        Ok(TokenRequest {
            name: self.name.clone(),
            role: self.role,
            homes: parse_homes(&self.homes)?,
            lifetime: self.expires,
            by: BY.into(),
        })
    }
}

pub(crate) async fn run(command: TokenCommand) -> Result<(), Failure> {
    let stores = StoreArgs {
        store: command.store.clone(),
    };
    let stores = stores.open()?;
    let box_key = command.data.as_ref().map(|data| data.join(KEY_FILE));
    let key = command.key.clone().or(box_key);
    // A key needs no place.
    let is_alone = command.data.is_none() && stores.is_empty();
    match (&command.action, &key) {
        (Action::Keys, Some(key)) => {
            println!("{}", json!({"keys": [open_key(key)?.public_jwk()]}));
            return Ok(());
        }
        (Action::Create(create), Some(key)) if is_alone => {
            let issued = open_key(key)?.issue(create.request()?, SystemClock.now_ms());
            show(&issued.map_err(failure)?, command.json);
            return Ok(());
        }
        _ => {}
    }
    let place = Place::open(command.data.as_deref(), stores, key)?;
    let access = &place.access;
    access.look().await.map_err(Failure::unreachable)?;
    match command.action {
        Action::Create(create) => {
            let issued = access.issue(create.request()?).await.map_err(failure)?;
            show(&issued, command.json);
        }
        Action::List => list(access, command.json),
        Action::Revoke { id } => {
            access.revoke(&id, BY).await.map_err(failure)?;
            println!("revoked {id}");
        }
        Action::SetupLink { url, role, homes } => {
            let homes = parse_homes(&homes)?;
            let code = access.offer(role, homes, false).await.map_err(failure)?;
            println!("{}/#/setup/{code}", url.trim_end_matches('/'));
        }
        Action::Keys => {
            return Err(Failure::usage(
                "give --key, or --data for the key of a box".into(),
            ));
        }
    }
    Ok(())
}

fn open_key(file: &Path) -> Result<SigningKey, Failure> {
    SigningKey::open(file).map_err(|e| Failure::usage(format!("{}: {e}", file.display())))
}

fn show(issued: &Issued, json: bool) {
    if !json {
        println!("{}", issued.token);
        return;
    }
    let (id, expires) = (&issued.record.id, moment(issued.record.expires_ms));
    println!(
        "{}",
        json!({"token": issued.token, "id": id, "expires": expires})
    );
}

/// Where tokens are kept.
struct Place {
    access: Access,
    /// Goes with a key that is not kept.
    _key: Option<tempfile::TempDir>,
}

impl Place {
    fn open(
        data: Option<&Path>,
        stores: Vec<Store>,
        key: Option<PathBuf>,
    ) -> Result<Place, Failure> {
        let store = match data {
            Some(data) if stores.is_empty() => {
                if !data.join("box.json").exists() {
                    return Err(Failure::usage(format!(
                        "--data {}: there is no box; `tarn edge --data` makes one",
                        data.display()
                    )));
                }
                Store::directory(data).map_err(Failure::broken)?
            }
            None if !stores.is_empty() => {
                let fleet = Fleet::new(stores, None, None, STORE_TIME).reading_any();
                Mirror::of(fleet.pool().clone())
            }
            _ => {
                return Err(Failure::usage(
                    "give --data for a box, or --store for the stores of a fleet".into(),
                ));
            }
        };
        let (key_file, own) = match key {
            Some(file) => (file, None),
            None => {
                let own = tempfile::tempdir().map_err(Failure::broken)?;
                (own.path().join(KEY_FILE), Some(own))
            }
        };
        let settings = AccessSettings {
            store,
            key_file,
            trusted: Vec::new(),
            rate: RateSettings::default(),
        };
        Ok(Place {
            access: Access::new(settings, Arc::new(SystemClock)),
            _key: own,
        })
    }
}

fn list(access: &Access, json: bool) {
    let tokens = access.tokens();
    if json {
        let rows = tokens.iter().map(|(token, revoked)| {
            json!({
                "id": token.id, "name": token.name, "role": token.role, "homes": token.homes,
                "created": moment(token.created_ms), "created_by": token.created_by,
                "expires": moment(token.expires_ms), "session": token.session, "revoked": revoked,
            })
        });
        println!("{}", json!({"tokens": rows.collect::<Vec<_>>()}));
        return;
    }
    let now_ms = SystemClock.now_ms();
    let mut shown = table(&["id", "name", "role", "homes", "made", "ends", ""], 0..0);
    for (token, revoked) in tokens {
        let state = match (revoked, token.expires_ms <= now_ms, token.session) {
            (true, _, _) => "revoked",
            (_, true, _) => "ended",
            (_, _, true) => "login",
            _ => "",
        };
        shown.add_row([
            token.id,
            token.name,
            token.role.to_string(),
            token.homes.names().join(" "),
            moment(token.created_ms),
            moment(token.expires_ms),
            state.to_owned(),
        ]);
    }
    println!("{shown}");
}

fn parse_homes(names: &[String]) -> Result<Homes, Failure> {
    Homes::parse(names).map_err(|e| Failure::usage(format!("--homes: {e}")))
}

fn failure(error: AccessError) -> Failure {
    match error {
        AccessError::Store(error) => Failure::unreachable(error),
        AccessError::Key(_) => Failure::broken(error),
        other => Failure::usage(other.to_string()),
    }
}
