//! What the config file says beyond its graphs, read before a new version of it is served: tokens,
//! groups, the server's policy, limits.

use std::sync::{Arc, Weak};

use registry::{Finding, Gate, Install, Snapshot, environment, with_causes};

use crate::app::App;
use crate::boot::{self, AccessError};

/// The server's side of a reload.
pub(crate) struct ServerGate {
    app: Weak<App>,
    unauthenticated: bool,
}

impl ServerGate {
    /// Takes part in every reload of the app's registry from now on, as long as it is kept.
    pub(crate) fn set(app: &Arc<App>, unauthenticated: bool) -> Arc<Self> {
        let gate = Arc::new(Self {
            app: Arc::downgrade(app),
            unauthenticated,
        });
        let weak: Weak<Self> = Arc::downgrade(&gate);
        app.registry.set_gate(weak);
        gate
    }
}

impl Gate for ServerGate {
    fn prepare(&self, next: &Snapshot) -> Result<Install, Vec<Finding>> {
        let Some(app) = self.app.upgrade() else {
            return Ok(Box::new(|publish| publish()));
        };
        let file = app.registry.file();
        let (mut access, _, notes) = boot::access(&next.config, file, self.unauthenticated)
            .map_err(|error| {
                // The value of a variable is nobody's business.
                let written = next.config.auth.tokens_file.as_deref();
                let told = environment::hide(written.unwrap_or_default(), with_causes(&error));
                vec![(path(&error), told)]
            })?;
        // A refusal can still be asked about, and counts only grow.
        access.authorizer = access.authorizer.succeeding(&app.access.load().authorizer);
        let limits = boot::limits(&next.config);
        Ok(Box::new(move |publish| {
            notes.log();
            app.install(access, limits, publish);
        }))
    }
}

/// Where in the file the matter stands.
fn path(error: &AccessError) -> Vec<String> {
    let path: &[&str] = match error {
        AccessError::TokensFile(_) | AccessError::Tokens(_) | AccessError::Variable(_) => {
            &["auth", "tokens_file"]
        }
        AccessError::Policy(_) => &["server", "policy"],
        AccessError::NotUnicode | AccessError::NothingConfigured(_) => &[],
    };
    path.iter().map(|part| (*part).to_owned()).collect()
}
