//! What whoever submits a job may ask for at most: a lease that bounds other leases, and what is left of them below it.

use arcp_proto::{Budget, Lease, namespace};

use super::authority::{ModelPolicy, parse};
use super::denied::Denied;
use super::grants::Grants;

/// The most that a job may be granted, as a lease.
///
/// What a job is given is the intersection of what was asked for and this: of patterns the [`intersection`](super::intersection)
/// with each one here, the smaller amount of each currency, the models here for who asked for any. A pattern of which nothing would be
/// left is refused, and so is one for which what is left cannot be written as patterns.
///
/// ```
/// use arcp_core::lease::{Ceiling, ModelPolicy};
/// use arcp_proto::Lease;
///
/// let ceiling = Lease::empty().grant("fs.read", "/data/**").grant("cost.budget", "USD:5");
/// let ceiling = Ceiling::new(&ceiling).unwrap();
///
/// let asked = Lease::empty().grant("fs.read", "/data/reports/*").grant("cost.budget", "USD:20");
/// let given = ceiling.cap(&asked, ModelPolicy::Optional).unwrap();
/// assert_eq!(given.patterns("fs.read"), ["/data/reports/*"]);
/// assert_eq!(given.patterns("cost.budget"), ["USD:5"]);
///
/// let given = ceiling.cap(&Lease::empty().grant("fs.read", "/*/reports/**"), ModelPolicy::Optional).unwrap();
/// assert_eq!(given.patterns("fs.read"), ["/data/reports/**"]);
///
/// let denied = ceiling.cap(&Lease::empty().grant("fs.read", "/etc/*"), ModelPolicy::Optional).unwrap_err();
/// assert_eq!(denied.code().as_str(), "PERMISSION_DENIED");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    grants: Grants,
    budget: Budget,
}

impl Ceiling {
    /// The ceiling that a lease draws. Capabilities that it does not name may not be asked for; but without `cost.budget` it is
    /// no bound on money, and without `model.use` none on models.
    ///
    /// # Errors
    /// [`Denied::Invalid`], naming the place, for what is no lease.
    pub fn new(lease: &Lease) -> Result<Self, Denied> {
        let (grants, budget) = parse(lease)?;
        Ok(Self { grants, budget })
    }

    /// What a job is given that asks for `lease`: that, or less.
    ///
    /// # Errors
    /// [`Denied::Ceiling`] names the first pattern of which nothing is left, or nothing that can be written down, or too much;
    /// [`Denied::Invalid`] what is no lease.
    pub fn cap(&self, lease: &Lease, models: ModelPolicy) -> Result<Lease, Denied> {
        let (asked, budget) = parse(lease)?;
        let mut given = lease.clone();
        let any_model = models == ModelPolicy::Optional && !self.grants.names(namespace::MODEL_USE);
        let asked = if any_model { &asked.without(namespace::MODEL_USE) } else { &asked };
        for (capability, patterns) in asked.narrowed(&self.grants)? {
            given = given.with(capability, patterns);
        }
        let asks_any = models == ModelPolicy::Optional && !lease.names(namespace::MODEL_USE);
        if asks_any && !any_model {
            let models = self.grants.patterns(namespace::MODEL_USE).iter().map(ToString::to_string);
            given = given.with(namespace::MODEL_USE, models);
        }
        if self.budget.is_empty() {
            return Ok(given);
        }
        let mut least = budget;
        for (currency, most) in self.budget.iter() {
            if least.remaining(currency.as_str()).is_none_or(|asked| asked > most) {
                least.set(currency.clone(), most);
            }
        }
        Ok(given.with(namespace::COST_BUDGET, least.patterns()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn lease(lease: Value) -> Lease {
        serde_json::from_value(lease).unwrap()
    }

    /// What is given, or why it is not.
    fn cap(ceiling: Value, asked: Value, models: ModelPolicy) -> Result<Value, String> {
        let ceiling = Ceiling::new(&lease(ceiling)).unwrap();
        let given = ceiling.cap(&lease(asked), models).map_err(|denied| {
            assert_eq!(denied.code().as_str(), "PERMISSION_DENIED");
            denied.to_string()
        })?;
        Ok(serde_json::to_value(given).unwrap())
    }

    #[test]
    fn patterns_are_given_as_far_as_they_go_or_refused_by_name() {
        let ceiling = json!({ "fs.read": ["/a/**", "/b/*"], "tool.call": ["search.*"] });
        let cap = |asked| cap(ceiling.clone(), asked, ModelPolicy::Optional);
        for asked in [
            json!({}),
            json!({ "fs.read": ["/a/x/*", "/b/c"] }),
            json!({ "tool.call": [] }),
            json!({ "fs.read": ["/a/**"], "tool.call": ["search.web"] }),
        ] {
            assert_eq!(cap(asked.clone()), Ok(asked));
        }
        for (asked, given) in [
            (json!({ "fs.read": ["/**"] }), json!({ "fs.read": ["/a/**", "/b/*"] })),
            (json!({ "fs.read": ["/b/**", "/a/./x"] }), json!({ "fs.read": ["/a/x", "/b/*"] })),
            // What is given already is not given twice, nor what a wider pattern covers.
            (json!({ "fs.read": ["/b/c", "/b/**", "/**/c"] }), json!({ "fs.read": ["/b/*", "/a/**/c"] })),
            (json!({ "fs.read": ["/*/*"] }), json!({ "fs.read": ["/a/*", "/b/*"] })),
            (
                json!({ "tool.call": ["*.web"], "fs.read": ["/a"] }),
                json!({ "tool.call": ["search.web", "search.*.web"], "fs.read": ["/a"] }),
            ),
        ] {
            assert_eq!(cap(asked), Ok(given));
        }
        for (asked, place) in [
            (json!({ "fs.read": ["/a/x", "/c/**"] }), "[\"fs.read\"][1]: nothing of it is allowed"),
            (json!({ "fs.read": ["/b"] }), "[\"fs.read\"][0]"),
            (
                json!({ "fs.read": ["/**/y**z"] }),
                "[\"fs.read\"][0]: what both patterns allow cannot be written",
            ),
            (json!({ "fs.write": ["/a/x"] }), "[\"fs.write\"][0]"),
            (json!({ "x-vendor.acme.thing": ["x"] }), "[\"x-vendor.acme.thing\"][0]"),
        ] {
            assert!(cap(asked).unwrap_err().contains(place), "{place}");
        }
    }

    #[test]
    fn what_is_left_is_no_more_than_a_lease_may_have() {
        let names = |count: u8, letter: char| -> Vec<String> {
            (0..count).map(|number| format!("{letter}{number:03}*")).collect()
        };
        let ends: Vec<String> = (0..40).map(|number| format!("*{number:03}z")).collect();
        let asked = json!({ "tool.call": ends });
        assert!(cap(json!({ "tool.call": names(2, 'a') }), asked.clone(), ModelPolicy::Optional).is_ok());
        let error = cap(json!({ "tool.call": names(40, 'a') }), asked, ModelPolicy::Optional).unwrap_err();
        assert!(error.contains("too many patterns"), "{error}");
    }

    #[test]
    fn money_is_the_smaller_amount_of_each_currency() {
        let ceiling = json!({ "cost.budget": ["USD:5", "EUR:2"] });
        for (asked, given) in [
            (json!({}), json!(["EUR:2", "USD:5"])),
            (json!({ "cost.budget": ["USD:3", "USD:1"] }), json!(["EUR:2", "USD:4"])),
            (json!({ "cost.budget": ["USD:3", "USD:3", "EUR:9"] }), json!(["EUR:2", "USD:5"])),
            (json!({ "cost.budget": ["GBP:1"] }), json!(["EUR:2", "GBP:1", "USD:5"])),
        ] {
            let capped = cap(ceiling.clone(), asked, ModelPolicy::Optional);
            assert_eq!(capped, Ok(json!({ "cost.budget": given })));
        }
        let asked = json!({ "cost.budget": ["USD:7"] });
        assert_eq!(cap(json!({}), asked.clone(), ModelPolicy::Optional), Ok(asked));
    }

    #[test]
    fn who_asks_for_any_model_is_given_those_of_the_ceiling() {
        let some = json!({ "model.use": ["fast/*"] });
        let none = json!({ "model.use": [] });
        for ceiling in [&some, &none] {
            assert_eq!(cap(ceiling.clone(), json!({}), ModelPolicy::Optional), Ok(ceiling.clone()));
            // Where a lease must name its models this one asks for none.
            assert_eq!(cap(ceiling.clone(), json!({}), ModelPolicy::Required), Ok(json!({})));
        }
        for models in [ModelPolicy::Optional, ModelPolicy::Required] {
            assert_eq!(cap(some.clone(), none.clone(), models), Ok(none.clone()));
            assert!(cap(some.clone(), json!({ "model.use": ["slow"] }), models).is_err());
            assert!(cap(none.clone(), some.clone(), models).is_err());
        }
        assert_eq!(cap(json!({}), some.clone(), ModelPolicy::Optional), Ok(some.clone()));
        assert!(cap(json!({}), some, ModelPolicy::Required).is_err());
    }

    #[test]
    fn what_is_no_lease_is_no_ceiling() {
        for bad in [json!({ "fs.read": ["a"] }), json!({ "fs": [] }), json!({ "cost.budget": [] })] {
            assert!(matches!(Ceiling::new(&lease(bad)), Err(Denied::Invalid(_))));
        }
    }
}
