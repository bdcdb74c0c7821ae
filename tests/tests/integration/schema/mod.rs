//! The published schema: it takes the drafts' examples and whatever `arcp-proto` writes, refuses what is off by one thing,
//! and knows of everything that `arcp-proto` knows of, no more and no less.

mod complete;
mod drafts;
mod mutations;
mod samples;

use serde_json::Value;

use self::samples::messages;
use crate::support::Dice;
use crate::support::schema::{DOCUMENT, HOUSE, PUBLISHED, Side};

/// Which side says a message; the first, where both do.
fn side_of(message: &Value) -> Side {
    let clients = DOCUMENT["$defs"]["client_message"]["properties"]["type"]["enum"].as_array().unwrap();
    if clients.contains(&message["type"]) { Side::Client } else { Side::Runtime }
}

#[test]
fn the_document_is_a_schema() {
    jsonschema::meta::validate(&DOCUMENT).unwrap();
}

#[test]
fn whatever_is_written_is_taken() {
    let mut dice = vec![Dice::full()];
    dice.extend((0..300).map(Dice::seeded));
    for (seed, mut dice) in dice.into_iter().enumerate() {
        for message in messages(&mut dice) {
            let side = side_of(&message);
            for schema in [&PUBLISHED, &HOUSE] {
                assert_eq!(schema.violations(side, &message), [], "seed {seed}: {message:#}");
            }
        }
    }
}

#[test]
fn each_side_says_its_own() {
    for message in messages(&mut Dice::full()) {
        let both = matches!(message["type"].as_str(), Some("session.ping" | "session.pong" | "session.bye"));
        let other = if side_of(&message) == Side::Client { Side::Runtime } else { Side::Client };
        let violations = PUBLISHED.violations(other, &message);
        assert_eq!(violations.is_empty(), both, "{message:#}");
        assert!(violations.iter().all(|violation| violation.place == "/type"), "{violations:#?}");
    }
}
