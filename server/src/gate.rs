//! What the config file says beyond its graphs, read before a new version of it is served: tokens,
//! groups, the server's policy, limits.

use std::sync::{Arc, Weak};

use registry::config::{Finding, Sections};
use registry::{Gate, Install};

use crate::access::{access, limits};
use crate::app::App;

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
    fn prepare(&self, next: Sections<'_>) -> Result<Install, Vec<Finding>> {
        let Some(app) = self.app.upgrade() else {
            return Ok(Box::new(|publish| publish()));
        };
        let file = app.registry.file();
        let (mut access, _, notes) =
            access(next, file, self.unauthenticated).map_err(|errors| {
                let findings = errors.iter().map(|error| error.finding(next));
                findings.collect::<Vec<_>>()
            })?;
        // It was there for the access to be made.
        let limits = next.server.map(limits).ok_or_else(Vec::new)?;
        // A refusal can still be asked about, and counts only grow.
        access.authorizer = access.authorizer.succeeding(&app.access.load().authorizer);
        Ok(Box::new(move |publish| {
            notes.log();
            app.install(access, limits, publish);
        }))
    }
}
