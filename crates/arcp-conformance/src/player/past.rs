//! What is due of everything that came so far. Nothing is waited for here.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Player, Trouble};
use crate::case::Action;
use crate::failure::shown;
use crate::pattern::matches;
use crate::peer::Past;
use crate::variables::Variables;

impl Player<'_> {
    pub(super) fn look_back(&mut self, who: &str, action: &Action) -> Result<(), Trouble> {
        self.peer(who).take_arrived();
        let peer = self.peer(who);
        let history = std::mem::take(&mut peer.history);
        let outcome = self.judge(&history, action);
        self.peer(who).history = history;
        outcome
    }

    fn judge(&mut self, history: &[Past], action: &Action) -> Result<(), Trouble> {
        let messages = || history.iter().map(|past| &past.message);
        match action {
            Action::HasGot(pattern) => {
                let pattern = self.variables.fill(pattern)?;
                if messages().any(|message| matches(&pattern, message, &mut self.variables).is_ok()) {
                    return Ok(());
                }
                Err(Trouble::due(shown(&pattern), listed(history)))
            }
            Action::NeverGot(pattern) => {
                let pattern = self.variables.fill(pattern)?;
                match messages().find(|message| is_like(&pattern, message, &self.variables)) {
                    Some(message) => Err(Trouble::due(format!("no {}", shown(&pattern)), shown(message))),
                    None => Ok(()),
                }
            }
            Action::Got(times) => {
                let pattern = self.variables.fill(&times.of)?;
                let due = self.variables.fill(&times.times)?;
                let came = messages().filter(|message| is_like(&pattern, message, &self.variables)).count();
                if matches(&due, &came.into(), &mut self.variables).is_ok() {
                    return Ok(());
                }
                Err(Trouble::due(format!("{due} × {}", shown(&pattern)), format!("{came} of them")))
            }
            Action::GotInOrder(patterns) => {
                let mut came = messages();
                for pattern in patterns {
                    let pattern = self.variables.fill(pattern)?;
                    if !came.any(|message| matches(&pattern, message, &mut self.variables).is_ok()) {
                        let due = format!("{} after what is due before it", shown(&pattern));
                        return Err(Trouble::due(due, listed(history)));
                    }
                }
                Ok(())
            }
            Action::EachGot(each) => {
                let of =
                    self.variables.fill(each.of.as_ref().unwrap_or(&Value::Object(Default::default())))?;
                let is = self.variables.fill(&each.is)?;
                let mut any = false;
                for message in messages().filter(|message| is_like(&of, message, &self.variables)) {
                    any = true;
                    if let Err(mismatch) = matches(&is, message, &mut self.variables.clone()) {
                        let came = format!("{}: {} is {}", shown(message), mismatch.path, mismatch.came);
                        return Err(Trouble::due(format!("{} to be {}", mismatch.path, mismatch.due), came));
                    }
                }
                if any { Ok(()) } else { Err(Trouble::due(shown(&of), listed(history))) }
            }
            Action::Rises(rises) => {
                let of = self.variables.fill(&rises.of)?;
                let those = messages().filter(|message| is_like(&of, message, &self.variables));
                rising(those, &rises.at)
            }
            Action::NumbersAreContiguous => contiguous(history),
            Action::IdsAreUnique => unique(history),
            Action::RepeatsAreAlike => alike(history),
            _ => Err(Trouble::Case("this is nothing to look back at".to_owned())),
        }
    }
}

fn is_like(pattern: &Value, message: &Value, variables: &Variables) -> bool {
    matches(pattern, message, &mut variables.clone()).is_ok()
}

/// The types of what came, for somebody who looks for what is not among them.
fn listed(history: &[Past]) -> String {
    if history.is_empty() {
        return "nothing".to_owned();
    }
    let names = history.iter().map(|past| {
        let kind =
            past.message["payload"]["kind"].as_str().map(|kind| format!(" {kind}")).unwrap_or_default();
        format!("{}{kind}", past.message["type"].as_str().unwrap_or("a message without a type"))
    });
    let mut counted: Vec<(String, usize)> = Vec::new();
    for name in names {
        match counted.last_mut() {
            Some((last, times)) if *last == name => *times += 1,
            _ => counted.push((name, 1)),
        }
    }
    let told =
        counted.into_iter().map(|(name, times)| if times == 1 { name } else { format!("{name} ×{times}") });
    told.collect::<Vec<_>>().join(", ")
}

fn rising<'a>(messages: impl Iterator<Item = &'a Value>, at: &str) -> Result<(), Trouble> {
    let mut before = None;
    for message in messages {
        let number = message.pointer(at).and_then(Value::as_f64);
        match number {
            Some(number) if before.is_none_or(|before| number > before) => before = Some(number),
            _ => {
                let due =
                    before.map_or_else(|| "a number".to_owned(), |before| format!("more than {before}"));
                return Err(Trouble::due(format!("{due} at {at}"), shown(message)));
            }
        }
    }
    if before.is_some() { Ok(()) } else { Err(Trouble::due("such messages", "none")) }
}

fn contiguous(history: &[Past]) -> Result<(), Trouble> {
    let mut place = None;
    let mut any = false;
    for past in history {
        let Some(number) = past.message.get("event_seq") else { continue };
        any = true;
        let before = match place {
            Some((link, before)) if link == past.link => before,
            _ => past.from,
        };
        if *number != before + 1 {
            return Err(Trouble::due(format!("event_seq {}", before + 1), shown(&past.message)));
        }
        place = Some((past.link, before + 1));
    }
    if any { Ok(()) } else { Err(Trouble::due("numbered messages", listed(history))) }
}

fn unique(history: &[Past]) -> Result<(), Trouble> {
    let mut seen: BTreeMap<&str, &Value> = BTreeMap::new();
    for Past { message, .. } in history {
        let Some(id) = message["id"].as_str() else {
            return Err(Trouble::due("a message with an id", shown(message)));
        };
        let number = message.get("event_seq");
        if let Some(first) = seen.insert(id, message)
            && (number.is_none() || number != first.get("event_seq"))
        {
            return Err(Trouble::due(format!("an id that {} has not", shown(first)), shown(message)));
        }
    }
    if seen.is_empty() { Err(Trouble::due("messages", "nothing")) } else { Ok(()) }
}

fn alike(history: &[Past]) -> Result<(), Trouble> {
    let mut seen: BTreeMap<u64, &Value> = BTreeMap::new();
    let mut repeats = 0;
    for past in history {
        let Some(number) = past.message["event_seq"].as_u64() else { continue };
        match seen.insert(number, &past.message) {
            Some(first) if *first != past.message => {
                return Err(Trouble::due(format!("again {}", shown(first)), shown(&past.message)));
            }
            Some(_) => repeats += 1,
            None => {}
        }
    }
    if repeats > 0 { Ok(()) } else { Err(Trouble::due("a repeated message", "none")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn history(messages: Value) -> Vec<Past> {
        let Value::Array(messages) = messages else { panic!() };
        messages.into_iter().map(|message| Past { link: 1, from: 0, message }).collect()
    }

    #[test]
    fn an_id_comes_again_only_with_its_number() {
        assert!(unique(&history(json!([{"id": "a"}, {"id": "b"}]))).is_ok());
        assert!(unique(&history(json!([{"id": "a", "event_seq": 1}, {"id": "a", "event_seq": 1}]))).is_ok());
        assert!(unique(&history(json!([{"id": "a"}, {"id": "a"}]))).is_err());
        assert!(unique(&history(json!([{"id": "a", "event_seq": 1}, {"id": "a", "event_seq": 2}]))).is_err());
        assert!(unique(&history(json!([{"type": "x"}]))).is_err());
        assert!(unique(&history(json!([]))).is_err());
    }

    #[test]
    fn what_rises_neither_falls_nor_stays() {
        let rises = |numbers: Value| {
            let numbers = numbers.as_array().unwrap().iter().map(|n| json!({"n": n})).collect::<Vec<_>>();
            rising(numbers.iter(), "/n").is_ok()
        };
        assert!(rises(json!([1, 2, 5])) && rises(json!([0])));
        for bad in [json!([]), json!([2, 1]), json!([1, 1]), json!([1, null]), json!(["1"])] {
            assert!(!rises(bad.clone()), "{bad}");
        }
    }
}
