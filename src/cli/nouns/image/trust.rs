//! `--disable-content-trust`: there is no notary to ask, so only its default is possible.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::nouns::container::refuse;

/// What was typed of it.
#[derive(Debug, Args)]
pub(super) struct TrustOption {
    /// Skip image verification, which there is none of.
    #[arg(long, hide = true, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_content_trust: bool,
}

impl TrustOption {
    /// Refuses to verify.
    pub(super) fn check(&self) -> Result<(), CliError> {
        match self.disable_content_trust {
            true => Ok(()),
            false => Err(refuse(
                "disable-content-trust=false",
                "there is no notary to ask; name images by digest instead",
            )),
        }
    }
}
