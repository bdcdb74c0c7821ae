//! What the proxy says to an agent that goes beyond its job's lease, in the terms of the protocol (§9.6, §13.7).

use arcp_runtime::AgentError;
use arcp_runtime::proto::ErrorCode;

use crate::api::error_of;

/// Whether an answer of the proxy, to an agent or to the runtime, says that a budget is exhausted.
///
/// ```
/// let body = r#"{"error":{"message":"Budget has been exceeded! Current cost: 2.1, Max budget: 2.0","type":"budget_exceeded","code":"400"}}"#;
/// assert!(arcp_litellm::is_budget_error(400, body));
/// assert!(!arcp_litellm::is_budget_error(429, r#"{"error":{"message":"Rate limit","type":"throttling_error"}}"#));
/// ```
pub fn is_budget_error(status: u16, body: &str) -> bool {
    if !matches!(status, 400 | 402 | 403 | 429) {
        return false;
    }
    let Some(error) = error_of(body) else { return false };
    let text = |name: &str| error.get(name).and_then(|value| value.as_str()).unwrap_or_default();
    let message = error.as_str().unwrap_or_else(|| text("message"));
    text("type") == "budget_exceeded"
        || ["ExceededBudget", "BudgetExceeded", "Budget has been exceeded"]
            .iter()
            .any(|words| message.contains(words))
}

/// The error in which a job should end whose agent got this answer from the proxy: `BUDGET_EXHAUSTED` when the money is spent,
/// `PERMISSION_DENIED` for a model that its key may not use. `None` if the answer is about something else.
pub fn refusal(status: u16, body: &str) -> Option<AgentError> {
    if is_budget_error(status, body) {
        return Some(AgentError::new(
            ErrorCode::BudgetExhausted,
            "upstream says that the budget is exhausted",
        ));
    }
    let error = error_of(body)?;
    let kind = error.get("type").and_then(|value| value.as_str()).unwrap_or_default();
    let denied = matches!(status, 401 | 403) && kind.ends_with("_model_access_denied");
    denied.then(|| AgentError::new(ErrorCode::PermissionDenied, "upstream does not allow the model"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_codes_of_the_protocol() {
        let budget = r#"{"error":{"message":"ExceededBudget: Key over budget","type":null,"code":400}}"#;
        let model = r#"{"error":{"message":"key not allowed to access model","type":"key_model_access_denied","code":"401"}}"#;
        let code = |status, body| refusal(status, body).map(|error| error.code().to_string());
        assert_eq!(code(400, budget).as_deref(), Some("BUDGET_EXHAUSTED"));
        assert_eq!(code(429, budget).as_deref(), Some("BUDGET_EXHAUSTED"));
        assert_eq!(
            code(400, r#"{"error":"Budget has been exceeded!"}"#).as_deref(),
            Some("BUDGET_EXHAUSTED")
        );
        assert_eq!(code(401, model).as_deref(), Some("PERMISSION_DENIED"));
        for (status, body) in [
            (200, budget),
            (500, budget),
            (401, r#"{"error":{"type":"auth_error"}}"#),
            (400, "Budget has been exceeded"),
            (400, "{}"),
            (429, r#"{"error":null}"#),
        ] {
            assert_eq!(code(status, body), None, "{status} {body}");
        }
    }
}
