//! The fixture whose input has a schema: `typed`.

use arcp_runtime::schemars::{self, JsonSchema};
use arcp_runtime::{AgentError, JobContext};
use serde::{Deserialize, Serialize};

/// What is measured.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Measure {
    /// How many.
    #[schemars(range(min = 1, max = 9))]
    count: u8,
    /// Of what; metres, if nothing is said.
    #[serde(default)]
    unit: Unit,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Unit {
    #[default]
    M,
    S,
}

pub(crate) async fn typed(_: JobContext, measure: Measure) -> Result<Measure, AgentError> {
    Ok(measure)
}
