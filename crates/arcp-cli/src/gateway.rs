//! Who issues credentials for the jobs of `arcp serve` (§9.8).

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use arcp::litellm::{LiteLlm, MasterKey};
use arcp::runtime::RuntimeBuilder;
use arcp::runtime::credentials::{FileLedger, MemoryLedger};
use arcp_testing::FixtureGateway;

use crate::exit::{self, Failure};

/// Where the key of the LiteLLM proxy's administrator is taken from: anybody can read a command line.
const MASTER_KEY: &str = "ARCP_LITELLM_KEY";

#[derive(clap::Args)]
pub(crate) struct Gateway {
    /// Give every job a credential of a pretended upstream, which appends a line of JSON to this file for each call.
    #[arg(long, value_name = "FILE", requires = "fixtures", conflicts_with = "litellm_url")]
    fixture_gateway: Option<PathBuf>,

    /// Have the first N revocations at the pretended upstream fail.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "fixture_gateway")]
    fixture_gateway_fail: u64,

    /// Give jobs virtual keys of the LiteLLM proxy at this URL, bounded by their leases. The administrator's key is taken from
    /// ARCP_LITELLM_KEY.
    #[arg(long, value_name = "URL", requires = "credential_ledger")]
    litellm_url: Option<String>,

    /// Say that clients reach this runtime by TLS only, which something in front of it ends. Without that, or --tls-cert, credentials
    /// are given out to clients on this machine only (§14), and to none whose requests a proxy on it has handed on.
    #[arg(long)]
    behind_tls: bool,

    /// Where it is written down which credentials may still be good at the upstream, so that they are revoked after a crash.
    #[arg(long, value_name = "FILE")]
    credential_ledger: Option<PathBuf>,
}

impl Gateway {
    /// Whether clients come through something in front.
    pub(crate) fn is_behind_tls(&self) -> bool {
        self.behind_tls
    }

    /// Says what it means to listen where others can listen too.
    pub(crate) fn warn_of(&self, address: SocketAddr) {
        if self.behind_tls || address.ip().is_loopback() {
            return;
        }
        tracing::warn!(%address, "tokens cross the network in the clear: give --tls-cert and --tls-key, or put TLS in front, and say --behind-tls (§4, §14)");
        if self.fixture_gateway.is_some() || self.litellm_url.is_some() {
            tracing::warn!("credentials are given out to clients on this machine only");
        }
    }
}

/// Has jobs given credentials, if that is wanted.
pub(crate) fn add<A>(
    mut builder: RuntimeBuilder<A>,
    gateway: &Gateway,
) -> Result<RuntimeBuilder<A>, Failure> {
    if gateway.behind_tls {
        builder = builder.behind_tls();
    }
    let ledger = gateway.credential_ledger.as_ref().map(FileLedger::open).transpose();
    let ledger = ledger.map_err(|error| Failure::new(exit::USAGE, error))?;
    if let Some(path) = &gateway.fixture_gateway {
        let fixture = FixtureGateway::open(path);
        let fixture = fixture.with_context(|| format!("cannot write {}", path.display()));
        let fixture = fixture.map_err(|error| Failure::new(exit::USAGE, error))?;
        let fixture = fixture.failing_revocations(gateway.fixture_gateway_fail);
        return Ok(match ledger {
            Some(ledger) => builder.credentials(fixture, ledger),
            None => {
                tracing::warn!(
                    "which credentials are good is forgotten with this process, and they stay good at the pretended \
                     upstream then: --credential-ledger FILE writes it down (§14)"
                );
                builder.credentials(fixture, MemoryLedger::dangerous())
            }
        });
    }
    match (&gateway.litellm_url, ledger) {
        (Some(url), Some(ledger)) => Ok(builder.credentials(litellm(url)?, ledger)),
        (None, Some(_)) => {
            Err(Failure::usage("--credential-ledger: nobody issues credentials: give --litellm-url URL"))
        }
        (_, None) => Ok(builder),
    }
}

fn litellm(url: &str) -> Result<LiteLlm, Failure> {
    let key = std::env::var(MASTER_KEY).ok().filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| Failure::usage(format!("--litellm-url: {MASTER_KEY} is not set")))?;
    let proxy = LiteLlm::new(url, MasterKey::new(key)).context("--litellm-url");
    proxy.map_err(|error| Failure::new(exit::USAGE, error))
}
