//! Lets boxes of the home into this box's broker, and keeps all others out of what they say to each other.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;
use tarn_broker::auth::{
    Access, Authenticator, Denied, Identity as Client, Login, Users,
    acl::{Acl, AclError},
};
use tarn_common::{
    clock::Clock,
    ids::{EdgeId, HomeId},
};
use tarn_link::topic;

use crate::{home_key::HomeKey, identity::Identity};

/// What the user names of boxes begin with. No other user can have such a name here.
const PREFIX: &str = "tarn:";

/// The user name of a box: `tarn:<home>:<edge id>`.
#[must_use]
pub fn user(home: &HomeId, edge: EdgeId) -> String {
    format!("{PREFIX}{home}:{edge}")
}

/// See the module. Who is no box is dealt with as before.
pub struct Door {
    users: Users,
    key: HomeKey,
    identity: Identity,
    clock: Arc<dyn Clock>,
    /// What boxes may do.
    rules: Arc<Acl>,
    /// What others may not.
    exchange: Arc<str>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("users", &self.users)
            .finish_non_exhaustive()
    }
}

impl Door {
    /// A door beside that of these users.
    ///
    /// # Errors
    /// Rules cannot be made of the home's name.
    pub fn new(
        users: Users,
        key: HomeKey,
        identity: Identity,
        clock: Arc<dyn Clock>,
    ) -> Result<Door, AclError> {
        let all = topic::of_a_home(&identity.home);
        Ok(Door {
            users,
            key,
            rules: Arc::new(Acl::parse(&format!("pattern readwrite {all}"))?),
            exchange: topic::exchange_of_a_home(&identity.home).into(),
            identity,
            clock,
        })
    }

    fn box_of_the_home(&self, named: &str, login: Login<'_>) -> Option<Client> {
        let (home, edge) = named.split_once(':')?;
        let (home, edge) = (home.parse::<HomeId>().ok()?, edge.parse::<EdgeId>().ok()?);
        let Identity {
            home: own_home,
            edge: own,
            ..
        } = &self.identity;
        // One box cannot take the session of another.
        let is_its_own = login.client_id == format!("tarn-{home}-{edge}");
        let token = login.password.unwrap_or_default();
        let is_good = &home == own_home
            && is_its_own
            && (self.key).is_good(token, &home, edge, *own, self.clock.now_ms());
        is_good.then(|| Client {
            user: login.user.map(str::to_owned),
            access: Access::by(self.rules.clone(), login.user, login.client_id),
        })
    }
}

impl Authenticator for Door {
    fn authenticate<'a>(&'a self, login: Login<'a>) -> BoxFuture<'a, Result<Client, Denied>> {
        Box::pin(async move {
            if let Some(named) = login.user.and_then(|user| user.strip_prefix(PREFIX)) {
                return (self.box_of_the_home(named, login)).ok_or(Denied::BadCredentials);
            }
            let Client { user, access } = self.users.authenticate(login).await?;
            Ok(Client {
                user,
                access: access.without(&self.exchange),
            })
        })
    }

    fn refresh(&self) {
        self.users.refresh();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tarn_broker::auth::{Anonymous, UsersSettings};
    use tarn_common::clock::ManualClock;

    use super::*;

    const A: EdgeId = EdgeId(1);
    const B: EdgeId = EdgeId(2);
    const NOW: i64 = 1_750_000_000_000;

    fn home() -> HomeId {
        "lake".parse().expect("a home")
    }

    /// The door of box B, which has rules of its own for others.
    fn door(folder: &std::path::Path) -> Door {
        let acl_file = folder.join("rules");
        std::fs::write(
            &acl_file,
            "topic #\nuser tarn:lake:0000000000000001\ntopic #\n",
        )
        .expect("write rules");
        let users = Users::open(UsersSettings {
            fixed: HashMap::from([("tarn:lake:0000000000000001".to_owned(), "guest".to_owned())]),
            password_file: None,
            acl_file: Some(acl_file),
            anonymous: Anonymous::Always,
            certificate_names: true,
            tokens: None,
        });
        let identity = Identity::new(B, home(), 1);
        let key = HomeKey::new("of the lake".to_owned());
        let clock = Arc::new(ManualClock::at(NOW));
        Door::new(users.expect("users"), key, identity, clock).expect("a door")
    }

    async fn knock(
        door: &Door,
        user: Option<&str>,
        client_id: &str,
        token: &str,
    ) -> Result<Client, Denied> {
        let login = Login {
            user,
            password: Some(token.as_bytes()),
            client_id,
            peer: ([10, 0, 0, 1], 1).into(),
            certificate: None,
        };
        door.authenticate(login).await
    }

    #[tokio::test]
    async fn a_box_of_the_home_may_do_what_boxes_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let door = door(folder.path());
        let key = HomeKey::new("of the lake".to_owned());
        let token = key.token(&home(), A, B, NOW);
        let user = user(&home(), A);
        let client = knock(&door, Some(&user), "tarn-lake-0000000000000001", &token).await;
        let access = client.expect("it is let in").access;
        assert!(access.may_subscribe("tarn/lake/sync/all"));
        assert!(access.may_read("tarn/lake/sync/all") && access.may_write("tarn/lake/sync/all"));
        // Whatever the file gives to a user of that name.
        for topic in ["tarn/hill/sync/all", "tarn/lakes", "home/lamp", "$SYS/x"] {
            assert!(
                !access.may_read(topic) && !access.may_write(topic),
                "{topic}"
            );
        }
        assert!(!access.may_subscribe("#") && !access.may_subscribe("tarn/+/sync/all"));
    }

    #[tokio::test]
    async fn who_is_none_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let door = door(folder.path());
        let key = HomeKey::new("of the lake".to_owned());
        let good = key.token(&home(), A, B, NOW);
        let hill = "hill".parse().expect("a home");
        let of_hill = key.token(&hill, A, B, NOW);
        let elsewhere = key.token(&home(), A, EdgeId(3), NOW);
        let wrong = HomeKey::new("of the hill".to_owned()).token(&home(), A, B, NOW);
        let (own, id) = ("tarn:lake:0000000000000001", "tarn-lake-0000000000000001");
        for (user, client_id, token) in [
            (own, id, wrong.as_str()),
            (own, id, &elsewhere),
            (own, id, "guest"),
            (own, id, ""),
            (own, "tarn-lake-0000000000000003", &good),
            (
                "tarn:lake:0000000000000003",
                "tarn-lake-0000000000000003",
                &good,
            ),
            (
                "tarn:hill:0000000000000001",
                "tarn-hill-0000000000000001",
                &of_hill,
            ),
            ("tarn:lake", "tarn-lake", &good),
            ("tarn:", "", &good),
        ] {
            let got = knock(&door, Some(user), client_id, token).await;
            assert_eq!(
                got.map(|client| client.user),
                Err(Denied::BadCredentials),
                "{user} {token}"
            );
        }
    }

    #[tokio::test]
    async fn others_come_in_as_before_and_have_no_word_among_boxes() {
        let folder = tempfile::tempdir().expect("a folder");
        let door = door(folder.path());
        let access = knock(&door, None, "c", "").await.expect("let in").access;
        assert!(access.may_write("home/lamp") && access.may_read("tarn/lake/box/x/state"));
        assert!(!access.may_write("tarn/lake/sync/all") && !access.may_read("tarn/lake/sync/all"));
    }
}
