use std::sync::Arc;

use poem::Request;
use poem_openapi::{
    ApiResponse, Object, OpenApi, Tags,
    param::{Path, Query},
    payload::Json,
};
use tarn_common::{
    event::Outcome,
    ids::{EdgeId, HomeId, InvalidId, Seq},
    query::{AuditPlace, AuditQuery, when},
};

use crate::{
    access::{
        Access, AccessError, By, COOKIE, Homes, Issued, Role, SESSION_TIME, TOKEN_TIME_MAX,
        TokenRecord, TokenRequest, address, cookie,
    },
    devices::duration,
    problem::Failure,
    service::Service,
    types::moment,
};

/// Audit rows of one answer, unless asked.
const AUDIT_LIMIT: usize = 100;
/// Audit rows of one answer at most.
const AUDIT_LIMIT_MAX: usize = 1_000;
/// How long a token lasts, unless said.
const TOKEN_TIME: &str = "90d";

#[derive(Tags)]
enum Tag {
    /// Who may do what, and who did.
    Access,
}

/// Operations on who may do what. Without a host they only describe themselves.
#[derive(Clone, Default)]
pub(crate) struct AccessApi {
    pub(crate) host: Option<Arc<dyn Service>>,
}

/// A login, or what a token stands for.
#[derive(Debug, Object)]
pub(crate) struct Session {
    /// Who it is.
    pub(crate) name: String,
    /// What he is to his homes.
    pub(crate) role: Role,
    /// The homes; `*` alone stands for all, those to come included.
    pub(crate) homes: Vec<String>,
    /// When it ends, RFC 3339 in UTC.
    pub(crate) expires: String,
    /// What every change needs as the header `tarn-csrf` beside the cookie; none where a token was sent instead.
    pub(crate) csrf: Option<String>,
}

/// Name and password of a person.
#[derive(Debug, Object)]
pub(crate) struct LoginRequest {
    /// The name of the account.
    #[oai(validator(min_length = 1, max_length = 64))]
    name: String,
    /// The password.
    #[oai(validator(min_length = 1, max_length = 1024))]
    password: String,
}

/// The code of a setup link, and the account to make with it.
#[derive(Debug, Object)]
pub(crate) struct SetupRequest {
    /// The code: the end of the link.
    #[oai(validator(min_length = 1, max_length = 128))]
    code: String,
    /// The name that the account is to have: 1 to 64 printable ASCII characters.
    #[oai(validator(min_length = 1, max_length = 64))]
    name: String,
    /// The password that it is to have: 10 characters or more.
    #[oai(validator(min_length = 10, max_length = 1024))]
    password: String,
}

/// A token that was issued, or a login. The token itself is not kept.
#[derive(Debug, Object)]
pub(crate) struct Token {
    /// Its id.
    id: String,
    /// Who has it.
    name: String,
    /// What its holder is to the homes.
    role: Role,
    /// The homes; `*` alone stands for all.
    homes: Vec<String>,
    /// When it was issued, RFC 3339 in UTC.
    created: String,
    /// Who had it issued.
    created_by: String,
    /// When it ends, RFC 3339 in UTC.
    expires: String,
    /// Whether it is good no more.
    revoked: bool,
    /// Whether a person has it by logging in.
    session: bool,
}

/// Tokens, the newest first.
#[derive(Debug, Object)]
pub(crate) struct Tokens {
    /// The tokens.
    tokens: Vec<Token>,
}

/// A token to be made.
#[derive(Debug, Object)]
pub(crate) struct NewToken {
    /// Who is to have it: 1 to 64 printable ASCII characters.
    #[oai(validator(min_length = 1, max_length = 64))]
    name: String,
    /// What its holder is to the homes.
    role: Role,
    /// The homes; `*` alone stands for all, those to come included.
    #[oai(validator(min_items = 1, max_items = 1000))]
    homes: Vec<String>,
    /// How long it lasts, like `12h` or `90d`; 90 days unless said, 366 at most.
    #[oai(validator(max_length = 32))]
    expires_in: Option<String>,
}

/// A token that was just made.
#[derive(Debug, Object)]
pub(crate) struct TokenCreated {
    /// The token. It is told here and never again.
    token: String,
    /// What is kept of it.
    record: Token,
}

/// Who changed what, or was refused.
#[derive(Debug, Object)]
#[oai(rename = "AuditEntry")]
pub(crate) struct AuditRow {
    /// When, RFC 3339 in UTC.
    ts: String,
    /// Who asked; none where nobody known did.
    actor: Option<String>,
    /// The role of who asked.
    role: Option<String>,
    /// Id of the token or session that was used.
    token: Option<String>,
    /// What was asked for, by its `operationId`.
    operation: String,
    /// The path of the request.
    path: String,
    /// The device concerned.
    device: Option<String>,
    /// `done`; `refused`, because whoever asked may not; or `failed`.
    #[oai(validator(pattern = "^(done|refused|failed)$"))]
    outcome: String,
    /// The HTTP status that was answered.
    status: u16,
    /// Why it was refused.
    reason: Option<String>,
    /// The network address that it came from.
    address: Option<String>,
    /// Further refused requests that only this row tells, because there were too many.
    more: u64,
}

/// Audit rows, the newest first.
#[derive(Debug, Object)]
pub(crate) struct AuditPage {
    /// The rows.
    entries: Vec<AuditRow>,
    /// Pass it as `cursor` for the next page; none at the end.
    cursor: Option<String>,
    /// Chunks of events that could not be read, so that rows may be absent.
    missing_chunks: u64,
}

#[derive(ApiResponse)]
enum SessionCreated {
    /// The session. The cookie is for browsers, which send it by themselves.
    #[oai(status = 201)]
    Session(
        Json<Session>,
        /// The session's cookie: HttpOnly, SameSite=Strict.
        #[oai(header = "Set-Cookie")]
        String,
    ),
}

#[derive(ApiResponse)]
enum SessionOk {
    /// Who you are.
    #[oai(status = 200)]
    Session(Json<Session>),
}

#[derive(ApiResponse)]
enum SessionEnded {
    /// The session is over.
    #[oai(status = 204)]
    Ended(
        /// Takes the cookie away.
        #[oai(header = "Set-Cookie")]
        String,
    ),
}

#[derive(ApiResponse)]
enum TokensOk {
    /// The tokens.
    #[oai(status = 200)]
    Tokens(Json<Tokens>),
}

#[derive(ApiResponse)]
enum TokenMade {
    /// The token, which nobody can have again.
    #[oai(status = 201)]
    Token(Json<TokenCreated>),
}

#[derive(ApiResponse)]
enum Revoked {
    /// It is good no more: here at once, at other services on the same stores within seconds.
    #[oai(status = 204)]
    Revoked,
}

#[derive(ApiResponse)]
enum AuditOk {
    /// The rows.
    #[oai(status = 200)]
    Rows(Json<AuditPage>),
}

#[OpenApi]
impl AccessApi {
    /// Make an account with a setup link
    ///
    /// A service without an account logs a link when it starts, which is good for a day and for one account. Logs the
    /// new account in.
    #[oai(
        path = "/v1/setup",
        method = "post",
        operation_id = "setUp",
        tag = "Tag::Access"
    )]
    async fn set_up(
        &self,
        http: &Request,
        request: Json<SetupRequest>,
    ) -> Result<SessionCreated, Failure> {
        let made = self
            .access()?
            .set_up(
                &request.code,
                &request.name,
                &request.password,
                address(http),
            )
            .await?;
        Ok(created(&made, http))
    }

    /// Log in
    ///
    /// For people, with a browser. Programs send a token with each request instead.
    #[oai(
        path = "/v1/session",
        method = "post",
        operation_id = "createSession",
        tag = "Tag::Access"
    )]
    async fn create_session(
        &self,
        http: &Request,
        request: Json<LoginRequest>,
    ) -> Result<SessionCreated, Failure> {
        let made = self
            .access()?
            .log_in(&request.name, &request.password, address(http))
            .await?;
        Ok(created(&made, http))
    }

    /// Who am I
    ///
    /// What a session or a token stands for, and what a session's changes need beside the cookie.
    #[oai(
        path = "/v1/session",
        method = "get",
        operation_id = "getSession",
        tag = "Tag::Access"
    )]
    async fn get_session(&self, by: By, http: &Request) -> Result<SessionOk, Failure> {
        let is_cookie = http.header("authorization").is_none();
        let csrf = cookie(http).filter(|_| is_cookie).map(Access::csrf);
        Ok(SessionOk::Session(Json(Session {
            name: by.0.name.clone(),
            role: by.0.role,
            homes: by.0.homes.names(),
            expires: moment(by.0.expires_ms),
            csrf,
        })))
    }

    /// Log out
    ///
    /// Ends the session, or revokes the token that is sent.
    #[oai(
        path = "/v1/session",
        method = "delete",
        operation_id = "deleteSession",
        tag = "Tag::Access"
    )]
    async fn delete_session(&self, by: By, http: &Request) -> Result<SessionEnded, Failure> {
        self.access()?.revoke(&by.0.token, &by.0.name).await?;
        Ok(SessionEnded::Ended(set_cookie("", 0, http)))
    }

    /// List tokens and logins
    ///
    /// Those for homes that are all among your own.
    #[oai(
        path = "/v1/tokens",
        method = "get",
        operation_id = "listTokens",
        tag = "Tag::Access"
    )]
    async fn list_tokens(&self, by: By) -> Result<TokensOk, Failure> {
        let tokens = self.access()?.tokens().into_iter();
        let own = tokens.filter(|(token, _)| token.homes.are_within(&by.0.homes));
        let tokens = own
            .map(|(token, revoked)| Token::of(token, revoked))
            .collect();
        Ok(TokensOk::Tokens(Json(Tokens { tokens })))
    }

    /// Make a token
    ///
    /// For a program, which sends it as `Authorization: Bearer`. It is for homes among your own.
    #[oai(
        path = "/v1/tokens",
        method = "post",
        operation_id = "createToken",
        tag = "Tag::Access"
    )]
    async fn create_token(&self, by: By, request: Json<NewToken>) -> Result<TokenMade, Failure> {
        let NewToken {
            name,
            role,
            homes,
            expires_in,
        } = request.0;
        let homes = Homes::parse(&homes).map_err(Failure::bad_request)?;
        if !homes.are_within(&by.0.homes) {
            return Err(Failure::forbidden(
                "a token cannot be for homes that are not your own",
            ));
        }
        let expires_in = expires_in.as_deref().unwrap_or(TOKEN_TIME);
        let lifetime = duration("expires_in", Some(expires_in), TOKEN_TIME_MAX)?;
        let request = TokenRequest {
            name,
            role,
            homes,
            lifetime: lifetime.unwrap_or_default(),
            by: by.0.name.clone(),
        };
        let Issued { token, record } = self.access()?.issue(request).await?;
        Ok(TokenMade::Token(Json(TokenCreated {
            token,
            record: Token::of(record, false),
        })))
    }

    /// Revoke a token
    ///
    /// Ends a login, too. Doing it again changes nothing.
    #[oai(
        path = "/v1/tokens/:token",
        method = "delete",
        operation_id = "revokeToken",
        tag = "Tag::Access"
    )]
    async fn revoke_token(
        &self,
        by: By,
        /// Id of the token.
        #[oai(validator(max_length = 64))]
        token: Path<String>,
    ) -> Result<Revoked, Failure> {
        let access = self.access()?;
        let known = access.token(&token);
        // Whose homes are others' is not told from one that is not there.
        let own = known.filter(|known| known.homes.are_within(&by.0.homes));
        let own = own.ok_or_else(|| AccessError::NoToken(token.0.clone()))?;
        access.revoke(&own.id, &by.0.name).await?;
        Ok(Revoked::Revoked)
    }

    /// Look at who changed what
    ///
    /// Every change and every refused request that was about a home, the newest first. What was about none (stores, tokens,
    /// logins) is under the home `_fleet` of a cloud service, for owners of all homes. The rows lie in the events of the
    /// home, so that analysts find them in the stores as well.
    #[oai(
        path = "/v1/homes/:home/audit",
        method = "get",
        operation_id = "listAudit",
        tag = "Tag::Access"
    )]
    async fn list_audit(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Rows at this time or later: RFC 3339, milliseconds since 1970, or ago like `-24h`.
        #[oai(validator(max_length = 64))]
        from: Query<Option<String>>,
        /// Rows before this time.
        #[oai(validator(max_length = 64))]
        to: Query<Option<String>>,
        /// Rows of one answer at most.
        #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
        limit: Query<Option<u64>>,
        /// Where to go on, from the answer before.
        #[oai(validator(max_length = 128))]
        cursor: Query<Option<String>>,
    ) -> Result<AuditOk, Failure> {
        let service = self.service()?;
        let home: HomeId = home
            .parse()
            .map_err(|e: InvalidId| Failure::bad_request(e.to_string()))?;
        let now_ms = service.clock().now_ms();
        let moment_of = |name: &str, text: &Option<String>| match text {
            Some(text) => when::moment(name, text, now_ms).map(Some),
            None => Ok(None),
        };
        let limit = limit.0.map_or(AUDIT_LIMIT, |limit| limit as usize);
        let query = AuditQuery {
            home,
            from: moment_of("from", &from.0)?,
            to: moment_of("to", &to.0)?,
            after: cursor.0.as_deref().map(place).transpose()?,
            limit: limit.clamp(1, AUDIT_LIMIT_MAX),
        };
        let audit = service.engine().audit(&query).await?;
        let last = audit.entries.last().map(|(place, _)| *place);
        let rows = audit.entries.into_iter();
        Ok(AuditOk::Rows(Json(AuditPage {
            cursor: last.filter(|_| audit.more).map(cursor_of),
            missing_chunks: audit.missing.len() as u64,
            entries: rows.map(|(_, entry)| AuditRow::of(entry)).collect(),
        })))
    }
}

impl AccessApi {
    fn service(&self) -> Result<&Arc<dyn Service>, Failure> {
        let host = self.host.as_ref();
        host.ok_or_else(|| Failure::unavailable("nothing is served here"))
    }

    fn access(&self) -> Result<&Arc<Access>, Failure> {
        Ok(self.service()?.access())
    }
}

impl Token {
    fn of(record: TokenRecord, revoked: bool) -> Token {
        Token {
            id: record.id,
            name: record.name,
            role: record.role,
            homes: record.homes.names(),
            created: moment(record.created_ms),
            created_by: record.created_by,
            expires: moment(record.expires_ms),
            revoked,
            session: record.session,
        }
    }
}

impl AuditRow {
    fn of(entry: tarn_common::event::AuditEntry) -> AuditRow {
        let outcome: Outcome = entry.outcome;
        AuditRow {
            ts: moment(entry.at_ms),
            actor: entry.actor,
            role: entry.role,
            token: entry.token,
            operation: entry.operation,
            path: entry.path,
            device: entry.device,
            outcome: outcome.as_str().to_owned(),
            status: entry.status,
            reason: entry.reason,
            address: entry.address,
            more: entry.more,
        }
    }
}

fn created(made: &Issued, http: &Request) -> SessionCreated {
    let session = Session {
        name: made.record.name.clone(),
        role: made.record.role,
        homes: made.record.homes.names(),
        expires: moment(made.record.expires_ms),
        csrf: Some(Access::csrf(&made.token)),
    };
    let cookie = set_cookie(&made.token, SESSION_TIME.as_secs(), http);
    SessionCreated::Session(Json(session), cookie)
}

/// The session's cookie. Scripts cannot read it, other sites cannot have it sent, and where there is TLS it goes nowhere else.
fn set_cookie(token: &str, seconds: u64, http: &Request) -> String {
    let is_secure = *http.scheme() == poem::http::uri::Scheme::HTTPS;
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

fn cursor_of(place: AuditPlace) -> String {
    format!("{}.{}.{}.{}", place.ts, place.edge, place.seq.0, place.nth)
}

fn place(cursor: &str) -> Result<AuditPlace, Failure> {
    let read = || {
        let mut parts = cursor.split('.');
        let place = AuditPlace {
            ts: parts.next()?.parse().ok()?,
            edge: parts.next()?.parse::<EdgeId>().ok()?,
            seq: Seq(parts.next()?.parse().ok()?),
            nth: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(place)
    };
    read().ok_or_else(|| Failure::bad_request(format!("cursor: {cursor:?} is none of an answer")))
}
