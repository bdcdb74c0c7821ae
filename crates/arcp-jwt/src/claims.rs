//! What a token must claim, and whom it makes of its holder. The time is an argument.

use std::time::{Duration, SystemTime};

use arcp_runtime::proto::{Lease, Timestamp};
use arcp_runtime::{Caller, Ceiling, Principal};
use serde_json::{Map, Value};

use crate::token::Refusal;

/// The longest name of a principal, in bytes.
const MAX_PRINCIPAL: usize = 256;

/// What tokens are held to.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) issuer: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) skew: Duration,
    pub(crate) scopes: Vec<String>,
    pub(crate) principal_claim: String,
    pub(crate) issuer_in_principal: bool,
    pub(crate) lease_claim: String,
    pub(crate) lease_required: bool,
}

impl Rules {
    /// The rules if nothing else is said.
    pub(crate) fn new(issuer: String, audience: String) -> Self {
        Self {
            issuer,
            audiences: vec![audience],
            skew: Duration::from_secs(30),
            scopes: Vec::new(),
            principal_claim: "sub".to_owned(),
            issuer_in_principal: false,
            lease_claim: "arcp_lease".to_owned(),
            lease_required: false,
        }
    }

    /// Who holds a token with these claims, `now` seconds after 1970.
    pub(crate) fn caller(&self, claims: &Map<String, Value>, now: f64) -> Result<Caller, Refusal> {
        let expires_at = self.check_time(claims, now)?;
        if text(claims, "iss")? != self.issuer {
            return Err(Refusal::Issuer);
        }
        let audiences = words(claims.get("aud"), false).ok_or_else(|| wrong("aud"))?;
        if !audiences.iter().any(|audience| self.audiences.iter().any(|here| here == audience)) {
            return Err(Refusal::Audience);
        }
        self.check_scopes(claims)?;
        let mut caller = Caller::new(self.principal(claims)?);
        caller.expires_at = expires_at;
        Ok(match self.ceiling(claims)? {
            Some(ceiling) => caller.with_ceiling(ceiling),
            None => caller,
        })
    }

    /// The moment from which on the token is refused; `None` if it is too far away to be written down.
    fn check_time(&self, claims: &Map<String, Value>, now: f64) -> Result<Option<Timestamp>, Refusal> {
        let skew = self.skew.as_secs_f64();
        let time =
            |name: &str| claims.get(name).map(|time| time.as_f64().ok_or_else(|| wrong(name))).transpose();
        let end = time("exp")?.ok_or_else(|| wrong("exp"))? + skew;
        if end <= now {
            return Err(Refusal::Expired);
        }
        if time("nbf")?.is_some_and(|from| from - skew > now) {
            return Err(Refusal::Early);
        }
        let end = Duration::try_from_secs_f64(end).ok();
        Ok(end.and_then(|end| SystemTime::UNIX_EPOCH.checked_add(end)).map(Timestamp::from))
    }

    fn check_scopes(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let mut granted = Vec::new();
        for name in ["scope", "scp"] {
            if let Some(scopes) = claims.get(name) {
                granted.extend(words(Some(scopes), true).ok_or_else(|| wrong(name))?);
            }
        }
        match self.scopes.iter().find(|scope| !granted.contains(&scope.as_str())) {
            Some(missing) => Err(Refusal::Scope(missing.clone())),
            None => Ok(()),
        }
    }

    fn principal(&self, claims: &Map<String, Value>) -> Result<Principal, Refusal> {
        let name = text(claims, &self.principal_claim)?;
        if name.is_empty() || name.len() > MAX_PRINCIPAL || name.chars().any(char::is_control) {
            return Err(wrong(&self.principal_claim));
        }
        Ok(match self.issuer_in_principal {
            true => Principal::new(format!("{}#{name}", self.issuer)),
            false => Principal::new(name),
        })
    }

    /// A ceiling that cannot be read refuses the token: without it there would be none.
    fn ceiling(&self, claims: &Map<String, Value>) -> Result<Option<Ceiling>, Refusal> {
        let bad = || wrong(&self.lease_claim);
        let lease = match claims.get(&self.lease_claim) {
            Some(lease) => lease,
            None if self.lease_required => return Err(bad()),
            None => return Ok(None),
        };
        // In a lease null stands for a capability that is not named, which for money and models would be no bound.
        if lease.as_object().is_none_or(|grants| grants.values().any(Value::is_null)) {
            return Err(bad());
        }
        let lease: Lease = serde_json::from_value(lease.clone()).map_err(|_| bad())?;
        Ceiling::new(&lease).map(Some).map_err(|_| bad())
    }
}

fn wrong(claim: &str) -> Refusal {
    Refusal::Claim(claim.to_owned())
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    claims.get(name).and_then(Value::as_str).ok_or_else(|| wrong(name))
}

/// A list of texts, or one text, which may be several words.
fn words(value: Option<&Value>, split: bool) -> Option<Vec<&str>> {
    match value? {
        Value::String(text) if split => Some(text.split(' ').filter(|word| !word.is_empty()).collect()),
        Value::String(text) => Some(vec![text]),
        Value::Array(texts) => texts.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: f64 = 1_800_000_000.0;

    fn rules() -> Rules {
        let mut rules = Rules::new("https://id.example".to_owned(), "arcp".to_owned());
        rules.audiences.push("other".to_owned());
        rules
    }

    /// Good claims with some that are others, or not there if they are null.
    fn claims(others: &Value) -> Map<String, Value> {
        let good = json!({ "iss": "https://id.example", "aud": "arcp", "sub": "alice", "exp": NOW + 60.0 });
        let mut claims = good.as_object().unwrap().clone();
        for (name, value) in others.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.remove(name)),
                value => drop(claims.insert(name.clone(), value.clone())),
            }
        }
        claims
    }

    fn caller(rules: &Rules, others: Value) -> Result<String, Refusal> {
        rules.caller(&claims(&others), NOW).map(|caller| caller.principal.to_string())
    }

    fn refusal(others: Value) -> Refusal {
        caller(&rules(), others.clone()).expect_err(&others.to_string())
    }

    #[test]
    fn good_claims_are_a_principal() {
        for good in [
            json!({}),
            json!({ "aud": ["x", "arcp"] }),
            json!({ "aud": "other" }),
            json!({ "nbf": NOW }),
            json!({ "exp": NOW + 0.5 }),
        ] {
            assert_eq!(caller(&rules(), good).as_deref(), Ok("alice"));
        }
    }

    #[test]
    fn what_is_missing_or_of_another_kind_is_named() {
        for name in ["iss", "aud", "sub", "exp"] {
            for bad in [Value::Null, json!(true), json!({}), json!([1])] {
                assert_eq!(refusal(json!({ name: bad })), wrong(name));
            }
        }
        for name in ["nbf", "scope", "scp"] {
            assert_eq!(refusal(json!({ name: { "a": 1 } })), wrong(name));
        }
        assert_eq!(refusal(json!({ "exp": "1800000060" })), wrong("exp"));
    }

    #[test]
    fn times_are_held_to_with_the_skew_and_not_beyond() {
        assert!(caller(&rules(), json!({ "exp": NOW - 29.0 })).is_ok());
        assert_eq!(refusal(json!({ "exp": NOW - 30.0 })), Refusal::Expired);
        assert_eq!(refusal(json!({ "exp": 0 })), Refusal::Expired);
        assert_eq!(refusal(json!({ "exp": -1 })), Refusal::Expired);
        assert!(caller(&rules(), json!({ "nbf": NOW + 30.0 })).is_ok());
        assert_eq!(refusal(json!({ "nbf": NOW + 31.0 })), Refusal::Early);
        let strict = Rules { skew: Duration::ZERO, ..rules() };
        assert_eq!(caller(&strict, json!({ "exp": NOW })), Err(Refusal::Expired));
        assert!(caller(&strict, json!({ "exp": NOW + 1.0 })).is_ok());
    }

    #[test]
    fn a_caller_is_let_in_until_the_skew_after_the_end() {
        let until = |exp: Value| rules().caller(&claims(&json!({ "exp": exp })), NOW).unwrap().expires_at;
        assert_eq!(until(json!(NOW + 60.0)), Some(Timestamp::from_millis((NOW as i64 + 90) * 1_000)));
        assert_eq!(until(json!(NOW + 0.25)), Some(Timestamp::from_millis(NOW as i64 * 1_000 + 30_250)));
        assert_eq!(until(json!(1e300)), None);
    }

    #[test]
    fn issuer_and_audience_are_compared_as_they_are() {
        for issuer in ["https://id.example/", "HTTPS://id.example", "https://evil.example", ""] {
            assert_eq!(refusal(json!({ "iss": issuer })), Refusal::Issuer);
        }
        for audience in [json!("ARCP"), json!("arcp other"), json!([]), json!(["arc"])] {
            assert_eq!(refusal(json!({ "aud": audience })), Refusal::Audience);
        }
    }

    #[test]
    fn scopes_come_in_three_shapes_and_all_of_them_are_needed() {
        let rules = Rules { scopes: vec!["arcp".to_owned(), "run".to_owned()], ..rules() };
        for good in [
            json!({ "scope": "openid arcp run" }),
            json!({ "scp": "run arcp" }),
            json!({ "scp": ["arcp", "run"] }),
            json!({ "scope": "arcp", "scp": ["run"] }),
        ] {
            assert!(caller(&rules, good).is_ok());
        }
        for bad in [
            json!({}),
            json!({ "scope": "arcp" }),
            json!({ "scope": "arcp running" }),
            json!({ "scp": ["arcp run"] }),
        ] {
            assert!(matches!(caller(&rules, bad), Err(Refusal::Scope(_))));
        }
    }

    #[test]
    fn a_principal_is_a_claim_and_may_be_told_from_those_of_others() {
        let by_email = Rules { principal_claim: "email".to_owned(), ..rules() };
        assert_eq!(caller(&by_email, json!({ "email": "a@b" })).as_deref(), Ok("a@b"));
        assert_eq!(caller(&by_email, json!({})), Err(wrong("email")));
        let prefixed = Rules { issuer_in_principal: true, ..rules() };
        assert_eq!(caller(&prefixed, json!({})).as_deref(), Ok("https://id.example#alice"));
        for bad in [json!(""), json!("a\nb"), json!("x".repeat(257)), json!(7)] {
            assert_eq!(refusal(json!({ "sub": bad })), wrong("sub"));
        }
    }

    #[test]
    fn a_ceiling_that_cannot_be_read_is_not_the_lack_of_one() {
        let ceiling =
            |rules: &Rules, others: Value| rules.caller(&claims(&others), NOW).map(|caller| caller.ceiling);
        let lease = json!({ "fs.read": ["/data/**"], "cost.budget": ["USD:1"] });
        let expected = Ceiling::new(&serde_json::from_value(lease.clone()).unwrap()).unwrap();
        assert_eq!(ceiling(&rules(), json!({ "arcp_lease": lease })).unwrap().as_deref(), Some(&expected));
        assert_eq!(ceiling(&rules(), json!({})), Ok(None));
        for bad in [
            json!("all"),
            json!([]),
            json!({ "fs.read": null }),
            json!({ "fs.read": "/x" }),
            json!({ "fs.read": ["x"] }),
            json!({ "nonsense": [] }),
            json!({ "cost.budget": ["lots"] }),
            json!({ "cost.budget": [] }),
        ] {
            assert_eq!(ceiling(&rules(), json!({ "arcp_lease": bad })), Err(wrong("arcp_lease")));
        }
        let mut null = claims(&json!({}));
        null.insert("arcp_lease".to_owned(), Value::Null);
        assert_eq!(rules().caller(&null, NOW), Err(wrong("arcp_lease")));
        let required = Rules { lease_required: true, ..rules() };
        assert_eq!(ceiling(&required, json!({})), Err(wrong("arcp_lease")));
    }
}
