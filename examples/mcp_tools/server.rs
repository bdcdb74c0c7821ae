//! A small MCP server on stdin and stdout. It knows nothing of leases: whoever can speak with it may call all of its tools.

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::schemars::{self, JsonSchema};
use rmcp::{ServerHandler, ServiceExt, tool, tool_handler, tool_router};
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Text {
    /// Any text.
    text: String,
}

#[derive(Clone)]
struct Tools {
    tool_router: ToolRouter<Self>,
}

#[tool_router(router = tool_router)]
impl Tools {
    #[tool(description = "Counts words")]
    fn text_words(&self, Parameters(Text { text }): Parameters<Text>) -> String {
        eprintln!("server: counting words");
        text.split_whitespace().count().to_string()
    }

    #[tool(description = "Deletes files; here it only says so")]
    fn files_delete(&self, Parameters(Text { text }): Parameters<Text>) -> String {
        eprintln!("server: deleting {text}");
        format!("{text} is gone")
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Tools {}

/// Serves until stdin ends.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let tools = Tools { tool_router: Tools::tool_router() };
    tools.serve(rmcp::transport::stdio()).await?.waiting().await?;
    Ok(())
}
