//! What somebody has changed in the config file.

use std::sync::Arc;

use api_types::ConfigDrift;
use policy::{Action, Principal};

use crate::app::{App, Error, blocking};

pub(crate) async fn run(app: &Arc<App>, principal: &Arc<Principal>) -> Result<ConfigDrift, Error> {
    let _permit = app.permit_server(principal, Action::ConfigRead)?;
    let registry = app.registry.clone();
    blocking(move || {
        let report = registry.drift_report()?;
        Ok(ConfigDrift {
            drifted: report.drifted,
            baseline_digest: report.baseline.to_string(),
            disk_digest: report.on_disk.map(|digest| digest.to_string()),
            changes: report.changes.into_iter().map(super::change).collect(),
            problems: report.problems.into_iter().map(super::problem).collect(),
        })
    })
    .await
}
