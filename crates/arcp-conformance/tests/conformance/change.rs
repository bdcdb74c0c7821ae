//! Words for what a fault does to a message that passes. Which faults there are is in `faults.rs`, here for runtimes and in `arcp-cli` for
//! clients.

use serde_json::Value;

use crate::tap::To;

/// Changes what goes one way.
macro_rules! changes {
    ($way:ident, |$known:pat_param, $message:ident| $change:expr) => {
        |known: &mut Known, to: To, mut $message: Value| {
            if to == To::$way && $message.is_object() {
                let $known = known;
                $change;
            }
            pass(to, $message)
        }
    };
}

/// Swallows what goes one way and is like this.
macro_rules! swallows {
    ($way:ident, |$message:ident| $which:expr) => {
        |_: &mut Known, to: To, $message: Value| {
            if to == To::$way && $message.is_object() && $which { Vec::new() } else { pass(to, $message) }
        }
    };
}

pub(crate) use {changes, swallows};

pub(crate) fn pass(to: To, mut message: Value) -> Vec<(To, Value)> {
    prune(&mut message);
    vec![(to, message)]
}

/// Takes away what is marked as gone.
fn prune(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, member| *member != GONE);
        members.values_mut().for_each(prune);
    }
}

/// Marks a member that is to go.
const GONE: &str = "\u{0}gone";

pub(crate) fn is(message: &Value, kind: &str) -> bool {
    message["type"] == kind
}

pub(crate) fn is_kind(message: &Value, kind: &str) -> bool {
    message["payload"]["kind"] == kind
}

/// Replaces a member, if it is there.
pub(crate) fn replace(value: &mut Value, pointer: &str, with: impl Into<Value>) {
    if let Some(member) = value.pointer_mut(pointer) {
        *member = with.into();
    }
}

pub(crate) fn remove(value: &mut Value, pointer: &str) {
    replace(value, pointer, GONE);
}
