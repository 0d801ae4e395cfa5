//! Who may do what, in one table. What is not in it, nobody may.

use poem::http::Method;

use super::role::{Caller, Homes, Role};

/// What an operation needs its caller to be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// Nothing: it is for everybody, also for those whom nobody knows.
    Nothing,
    /// To be known.
    Known,
    /// To see what a home is and does now.
    See,
    /// To see what was.
    History,
    /// To use devices.
    Control,
    /// To name, order and merge things, and to settle conflicts.
    Arrange,
    /// To say who may do what, and to see who did what.
    Administer,
    /// To exchange twins as another node does.
    Sync,
    /// To watch over the service itself.
    Operate,
    /// To see and change the stores of all homes together.
    Fleet,
}

/// Whether the role allows it, in the homes that it is for.
#[must_use]
pub fn allows(role: Role, need: Need) -> bool {
    use Need::{Administer, Arrange, Control, Fleet, History, Known, Nothing, Operate, See, Sync};
    match role {
        Role::Owner => true,
        Role::Member => matches!(need, Nothing | Known | See | History | Control | Arrange),
        Role::Guest => matches!(need, Nothing | Known | See | Control),
        Role::Analyst => matches!(need, Nothing | Known | See | History),
        Role::Service => match need {
            Nothing | Known | See | History | Control | Sync | Operate => true,
            Arrange | Administer | Fleet => false,
        },
    }
}

/// What each operation needs, by its name in the OpenAPI document. None for an operation that is not in the table.
#[must_use]
pub fn need(operation: &str) -> Option<Need> {
    Some(match operation {
        "getHealth" | "getReadiness" | "createSession" | "setUp" => Need::Nothing,
        "getSession" | "deleteSession" => Need::Known,
        "listHomes" | "getHome" | "listBoxes" | "listDevices" | "getDevice" | "listCommands"
        | "getCommand" | "listLatest" | "listenLive" | "listRules" | "getRule" | "listAlarms"
        | "getMode" | "getPlace" | "listScenes" => Need::See,
        "listReadings" | "listGaps" | "listHistory" | "listConflicts" | "listMembers"
        | "querySql" | "backtestRule" | "listFirings" | "listInsights" | "listInsightPacks"
        | "runInsightPack" => Need::History,
        "setDesired" | "callDevice" | "acknowledgeAlarm" | "setMode" | "startScene"
        | "setGroup" | "setPresence" => Need::Control,
        "updateDevice" | "mergeDevices" | "splitDevice" | "resolveConflict" | "putRoom"
        | "deleteRoom" | "putRule" | "deleteRule" | "putScene" | "deleteScene" | "setPlace"
        | "putInsightPack" | "listDeliveries" | "retryDelivery" => Need::Arrange,
        "putMember" | "deleteMember" | "listTokens" | "createToken" | "revokeToken"
        | "listAudit" | "listClients" | "disconnectClient" => Need::Administer,
        "syncTwins" => Need::Sync,
        "getMetrics" => Need::Operate,
        "listStores" | "addStore" | "changeStore" | "removeStore" | "planStores"
        | "rebalanceStores" | "getScrub" => Need::Fleet,
        _ => return None,
    })
}

/// Whether requests of this method change nothing.
#[must_use]
pub fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Whether something is another after it. Questions that are posted change nothing, and twins tell themselves who changed
/// what.
#[must_use]
pub fn is_change(operation: &str, method: &Method) -> bool {
    !is_read(method)
        && !matches!(
            operation,
            "querySql" | "backtestRule" | "runInsightPack" | "syncTwins"
        )
}

/// Whether a request is let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is.
    Allowed,
    /// Whoever asks has to say first who he is.
    Unknown,
    /// He may not, for this reason.
    Forbidden(String),
}

/// Decide on a request for an operation, on a home where it is about one.
#[must_use]
pub fn decide(caller: Option<&Caller>, operation: &str, home: Option<&str>) -> Decision {
    let Some(need) = need(operation) else {
        return Decision::Forbidden(format!("nobody may {operation}"));
    };
    if need == Need::Nothing {
        return Decision::Allowed;
    }
    let Some(caller) = caller else {
        return Decision::Unknown;
    };
    if !allows(caller.role, need) {
        return Decision::Forbidden(format!("{} may not {operation}", article(caller.role)));
    }
    if need == Need::Fleet && caller.homes != Homes::All {
        return Decision::Forbidden(format!("{operation} is for owners of all homes"));
    }
    match home {
        Some(home) if !caller.homes.has(home) => {
            Decision::Forbidden(format!("{} has no part in home {home}", caller.name))
        }
        _ => Decision::Allowed,
    }
}

fn article(role: Role) -> String {
    match role {
        Role::Owner | Role::Analyst => format!("an {role}"),
        Role::Member | Role::Guest | Role::Service => format!("a {role}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(role: Role, homes: &[&str]) -> Caller {
        Caller {
            name: "ada".into(),
            role,
            homes: Homes::parse(homes).expect("homes"),
            token: "t".into(),
            expires_ms: 0,
        }
    }

    #[test]
    fn roles_may_what_the_table_says() {
        // One operation for each need, and who may: owner, member, guest, analyst, service.
        for (operation, may) in [
            ("getHealth", [true, true, true, true, true]),
            ("getSession", [true, true, true, true, true]),
            ("listDevices", [true, true, true, true, true]),
            ("querySql", [true, true, false, true, true]),
            ("setDesired", [true, true, true, false, true]),
            ("putRoom", [true, true, false, false, false]),
            ("createToken", [true, false, false, false, false]),
            ("syncTwins", [true, false, false, false, true]),
            ("getMetrics", [true, false, false, false, true]),
            ("addStore", [true, false, false, false, false]),
        ] {
            for (role, may) in Role::ALL.into_iter().zip(may) {
                let decision = decide(Some(&caller(role, &["*"])), operation, None);
                assert_eq!(decision == Decision::Allowed, may, "{role} {operation}");
            }
        }
    }

    #[test]
    fn other_homes_are_closed_and_what_is_not_listed_is_too() {
        let ada = caller(Role::Owner, &["a"]);
        assert_eq!(decide(Some(&ada), "getHome", Some("a")), Decision::Allowed);
        for (operation, home) in [
            ("getHome", Some("b")),
            ("addStore", None),
            ("inventedYesterday", Some("a")),
        ] {
            let decision = decide(Some(&ada), operation, home);
            assert!(matches!(decision, Decision::Forbidden(_)), "{operation}");
        }
        assert_eq!(decide(None, "getHome", Some("a")), Decision::Unknown);
        assert_eq!(decide(None, "getHealth", None), Decision::Allowed);
    }
}
