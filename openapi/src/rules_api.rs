/// What is known of a home when its rules are checked.
mod known;
/// What rules did, and would have done.
mod past;
/// The shapes of rules.
mod shapes;

use poem_openapi::{
    ApiResponse, Object, OpenApi, Tags,
    param::{Header, Path, Query},
    payload::Json,
    types::ToJSON,
};
use tarn_common::{query::when, twin::document::Section};
use tarn_rules::{check, rule::Rule as Definition};

pub use self::past::of_series;
pub(crate) use self::{
    known::{here, known_of, refused},
    past::details,
    shapes::{RuleAction, RuleGroup, RuleWhereabouts, actions_of, told},
};
use self::{
    past::{BacktestRequest, RuleFirings},
    shapes::Rule,
};
use crate::{
    access::By,
    api::Api,
    automation,
    devices::{Access, Place},
    homes_api::{put, take_away},
    problem::Failure,
};

/// Characters of the id of a rule, or of a scene.
const ID_MAX: usize = 48;
/// Firings that are listed unless more are asked for.
const FIRINGS: usize = 100;

#[derive(Tags)]
pub(crate) enum Tag {
    /// What a home does by itself, and what it warns of.
    Rules,
}

/// Rules of a home.
#[derive(Debug, Object)]
pub(crate) struct RuleList {
    /// By id.
    rules: Vec<StoredRule>,
}

/// A rule of a home.
#[derive(Debug, Object)]
pub(crate) struct StoredRule {
    /// Its id.
    rule: String,
    /// What it says.
    definition: Rule,
}

#[derive(ApiResponse)]
enum RulesOk {
    /// The rules.
    #[oai(status = 200)]
    Rules(Json<RuleList>),
}

#[derive(ApiResponse)]
enum RuleOk {
    /// The rule.
    #[oai(status = 200)]
    Rule(Json<StoredRule>),
}

#[derive(ApiResponse)]
enum FiringsOk {
    /// What rules did, or would have done.
    #[oai(status = 200)]
    Firings(Json<RuleFirings>),
}

#[derive(ApiResponse)]
enum Gone {
    /// It is gone.
    #[oai(status = 204)]
    Done,
}

/// The rules of homes. A box runs them.
#[derive(Clone, Default)]
pub(crate) struct RulesApi {
    pub(crate) access: Access,
    pub(crate) api: Api,
}

#[OpenApi]
impl RulesApi {
    /// List the rules of a home
    ///
    /// Its box runs them, with the line cut too.
    #[oai(
        path = "/v1/homes/:home/rules",
        method = "get",
        operation_id = "listRules",
        tag = "Tag::Rules"
    )]
    async fn list_rules(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
    ) -> Result<RulesOk, Failure> {
        let place = self.access.twins(&home).await?;
        let stored = place
            .twins
            .read(|replica| automation::stored_rules(replica, place.now_ms));
        let rules = stored.into_iter().filter_map(|(rule, value)| {
            let definition = Rule::of(&value)?;
            Some(StoredRule { rule, definition })
        });
        Ok(RulesOk::Rules(Json(RuleList {
            rules: rules.collect(),
        })))
    }

    /// Look at a rule
    ///
    /// What it says.
    #[oai(
        path = "/v1/homes/:home/rules/:rule",
        method = "get",
        operation_id = "getRule",
        tag = "Tag::Rules"
    )]
    async fn get_rule(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the rule.
        #[oai(validator(max_length = 48))]
        rule: Path<String>,
    ) -> Result<RuleOk, Failure> {
        let place = self.access.twins(&home).await?;
        let stored = place
            .twins
            .read(|replica| automation::stored_rules(replica, place.now_ms));
        match stored.get(&rule.0).and_then(Rule::of) {
            Some(definition) => Ok(RuleOk::Rule(Json(StoredRule {
                rule: rule.0,
                definition,
            }))),
            None => Err(no_rule(&rule)),
        }
    }

    /// Set a rule
    ///
    /// Makes it, or puts it in the place of the one that was. It is checked before: expressions and their types, devices and
    /// metrics that nobody knows, loops between rules; the detail of the problem has each fault. At the box, what is measured
    /// after the answer counts for it.
    #[oai(
        path = "/v1/homes/:home/rules/:rule",
        method = "put",
        operation_id = "putRule",
        tag = "Tag::Rules"
    )]
    async fn put_rule(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the rule: small letters, digits, `-` and `_`.
        #[oai(validator(max_length = 48))]
        rule: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
        definition: Json<Rule>,
    ) -> Result<RuleOk, Failure> {
        let by = self.access.author(&caller, author.0)?;
        check_id("rule", &rule)?;
        let place = self.access.twins(&home).await?;
        let wanted = definition.definition()?;
        self.check(&place, &rule, &wanted).await?;
        let value = definition.0.to_json().unwrap_or_default();
        put(&place, Section::Rules, &rule, value, &by).await?;
        self.access.rules_taken().await?;
        Ok(RuleOk::Rule(Json(StoredRule {
            rule: rule.0,
            definition: definition.0,
        })))
    }

    /// Remove a rule
    ///
    /// It fires no more.
    #[oai(
        path = "/v1/homes/:home/rules/:rule",
        method = "delete",
        operation_id = "deleteRule",
        tag = "Tag::Rules"
    )]
    async fn delete_rule(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the rule.
        #[oai(validator(max_length = 48))]
        rule: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
    ) -> Result<Gone, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let place = self.access.twins(&home).await?;
        take_away(&place, Section::Rules, &rule, &by).await?;
        self.access.rules_taken().await?;
        Ok(Gone::Done)
    }

    /// Try a rule on what was
    ///
    /// When it would have fired, over readings that the home has stored, and with which values. Nothing is carried out.
    /// Modes, alarms and who was there are not known of the past.
    #[oai(
        path = "/v1/homes/:home/rules/:rule/backtest",
        method = "post",
        operation_id = "backtestRule",
        tag = "Tag::Rules"
    )]
    async fn backtest_rule(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the rule; one that is not stored needs a definition in the body.
        #[oai(validator(max_length = 48))]
        rule: Path<String>,
        request: Json<BacktestRequest>,
    ) -> Result<FiringsOk, Failure> {
        check_id("rule", &rule)?;
        let place = self.access.twins(&home).await?;
        let definition = match &request.definition {
            Some(definition) => definition.definition()?,
            None => {
                let mut rules = place
                    .twins
                    .read(|replica| automation::rules(replica, place.now_ms));
                rules
                    .remove(rule.0.as_str())
                    .ok_or_else(|| no_rule(&rule))?
            }
        };
        self.check(&place, &rule, &definition).await?;
        let from = when::moment("from", &request.from, place.now_ms)?;
        let to = match &request.to {
            Some(to) => when::moment("to", to, place.now_ms)?,
            None => place.now_ms,
        };
        let service = self.access.service()?;
        let here = here(service.zone(), &place);
        let tested = past::run(&**service, &place.home, &rule, definition, here, (from, to));
        Ok(FiringsOk::Firings(Json(tested.await?)))
    }

    /// List what rules did
    ///
    /// Each time that a rule fired or a scene was started, latest first: what made it, with which values, and what was done.
    #[oai(
        path = "/v1/homes/:home/firings",
        method = "get",
        operation_id = "listFirings",
        tag = "Tag::Rules"
    )]
    async fn list_firings(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of a rule, or `scene/` and the id of a scene; all where it is not said.
        #[oai(validator(max_length = 64))]
        rule: Query<Option<String>>,
        /// From when on: RFC 3339, a date, or back from now like `-1d`; a day back where it is not said.
        #[oai(validator(max_length = 64))]
        from: Query<Option<String>>,
        /// Up to when; now where it is not said.
        #[oai(validator(max_length = 64))]
        to: Query<Option<String>>,
        /// How many at most.
        #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
        limit: Query<Option<u32>>,
    ) -> Result<FiringsOk, Failure> {
        let place = self.access.twins(&home).await?;
        let from = when::moment("from", from.as_deref().unwrap_or("-1d"), place.now_ms)?;
        let to = match &*to {
            Some(to) => when::moment("to", to, place.now_ms)?,
            None => place.now_ms.saturating_add(1),
        };
        let wanted = past::Wanted {
            rule: rule.as_deref(),
            from,
            to,
            limit: limit.map_or(FIRINGS, |limit| limit as usize),
        };
        let service = self.access.service()?;
        let firings = past::list(&**service, &place.home, &wanted).await?;
        Ok(FiringsOk::Firings(Json(firings)))
    }
}

impl RulesApi {
    /// Hold a rule against what is known of the home.
    async fn check(&self, place: &Place, id: &str, rule: &Definition) -> Result<(), Failure> {
        let known = known_of(&self.api, place).await?;
        let rules = place
            .twins
            .read(|replica| automation::rules(replica, place.now_ms));
        check::check(&rules, &id.into(), rule, &known).map_err(|faults| refused(&faults))
    }
}

fn no_rule(id: &str) -> Failure {
    Failure::not_found(format!(
        "there is no rule {id:?}; GET …/rules lists those that are"
    ))
}

pub(crate) fn check_id(what: &str, id: &str) -> Result<(), Failure> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if (1..=ID_MAX).contains(&id.len()) && id.bytes().all(is_plain) {
        return Ok(());
    }
    Err(Failure::bad_request(format!(
        "{what}: {id:?} is no id; use 1 to {ID_MAX} small letters, digits, - and _"
    )))
}
