use std::{collections::BTreeSet, fmt, sync::Arc};

use poem_openapi::Enum;
use serde::{Deserialize, Serialize};
use tarn_common::ids::HomeId;

/// What somebody is to a home, and so what he may do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum Role {
    /// Everything, and who else may do what.
    Owner,
    /// Whoever lives there: sees and sets everything, and names devices and rooms.
    Member,
    /// Sees what is now, and uses devices; sees nothing of the past.
    Guest,
    /// Sees everything, the past above all, and changes nothing.
    Analyst,
    /// A program: sees everything, uses devices, synchronises twins, and reads metrics.
    Service,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 5] = [
        Role::Owner,
        Role::Member,
        Role::Guest,
        Role::Analyst,
        Role::Service,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Member => "member",
            Role::Guest => "guest",
            Role::Analyst => "analyst",
            Role::Service => "service",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        let found = Role::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| {
            format!("{text:?} is no role: use owner, member, guest, analyst or service")
        })
    }
}

/// The word for all homes.
const ALL_HOMES: &str = "*";

/// The homes that a caller may ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Homes {
    /// All, those to come included.
    All,
    /// These.
    Some(Arc<BTreeSet<HomeId>>),
}

impl Homes {
    /// From names, where `*` alone means all.
    ///
    /// # Errors
    /// A name that is none, or none at all.
    pub fn parse<S: AsRef<str>>(names: &[S]) -> Result<Homes, String> {
        match names {
            [] => Err("homes: name at least one, or \"*\" for all".into()),
            [all] if all.as_ref() == ALL_HOMES => Ok(Homes::All),
            names => {
                let homes = names.iter().map(|name| name.as_ref().parse::<HomeId>());
                let homes = homes.collect::<Result<BTreeSet<_>, _>>();
                homes
                    .map(|homes| Homes::Some(Arc::new(homes)))
                    .map_err(|e| e.to_string())
            }
        }
    }

    /// As names.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match self {
            Homes::All => vec![ALL_HOMES.to_owned()],
            Homes::Some(homes) => homes.iter().map(HomeId::to_string).collect(),
        }
    }

    /// Those that are named; none where it is all.
    #[must_use]
    pub fn named(&self) -> Option<Arc<BTreeSet<HomeId>>> {
        match self {
            Homes::All => None,
            Homes::Some(homes) => Some(homes.clone()),
        }
    }

    /// Whether a home is among them.
    #[must_use]
    pub fn has(&self, home: &str) -> bool {
        match self {
            Homes::All => true,
            Homes::Some(homes) => homes.iter().any(|own| own.as_str() == home),
        }
    }

    /// Whether all of them are among others.
    #[must_use]
    pub fn are_within(&self, others: &Homes) -> bool {
        match (self, others) {
            (_, Homes::All) => true,
            (Homes::All, Homes::Some(_)) => false,
            (Homes::Some(own), Homes::Some(others)) => own.is_subset(others),
        }
    }
}

impl Serialize for Homes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.names().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Homes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Homes::parse(&names).map_err(serde::de::Error::custom)
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name, of a person or of a program.
    pub name: String,
    /// What he is to his homes.
    pub role: Role,
    /// His homes.
    pub homes: Homes,
    /// Id of the token or session by which he is known.
    pub token: String,
    /// When that ends, milliseconds since 1970 UTC.
    pub expires_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_within_others() {
        let homes = |names: &[&str]| Homes::parse(names).expect("names");
        assert!(homes(&["a"]).are_within(&homes(&["a", "b"])));
        assert!(!homes(&["a", "c"]).are_within(&homes(&["a", "b"])));
        assert!(homes(&["a"]).are_within(&homes(&["*"])));
        assert!(!homes(&["*"]).are_within(&homes(&["a"])));
        assert!(homes(&["*"]).are_within(&Homes::All));
        assert!(Homes::parse::<&str>(&[]).is_err());
        assert!(Homes::parse(&["*", "a"]).is_err());
        assert!(Homes::parse(&["../a"]).is_err());
    }
}
