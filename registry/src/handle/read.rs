//! What comes out of a graph: only by something whose types were decided, by a permit for it.

use std::ops::ControlFlow;
use std::sync::Arc;

use language::Value;
use language::plan::Plan;
use policy::{Action, Authorized};
use storage_engine::Snapshot;
use storage_engine::executor::{self, ExecuteError, Limits, Operator, Parameters};
use storage_engine::export::{self, ExportError, Selection};

use super::{AccessError, Reader};

/// The operators of each part that `UNION` joins, in the order in which rows flow through them.
pub type Operators = Vec<Vec<Operator>>;

impl Reader {
    /// Whether everything that the plan needs is in memory, so that running it blocks on no disk.
    #[must_use]
    pub fn is_warm(&self, plan: &Authorized<Arc<Plan>>) -> bool {
        self.snapshot.is_warm(plan.plan())
    }

    /// Comes to have in memory what a plan needs whose types were decided, and holds nothing else while
    /// memory is short. Waits a little for room. Blocks.
    pub fn prepared(self, plan: &Authorized<Arc<Plan>>) -> Result<Self, AccessError<ExecuteError>> {
        self.check(plan.permit(), Action::Query)?;
        let prepared = self.snapshot.prepared(plan.plan());
        let snapshot = prepared.map_err(|error| AccessError::Engine(error.into()))?;
        Ok(Self { snapshot, ..self })
    }

    /// Runs a plan whose types were decided. `sink` gets each row with the snapshot that its nodes
    /// and relationships are of.
    pub fn query(
        &self,
        plan: &Authorized<Arc<Plan>>,
        parameters: &Parameters,
        limits: &Limits,
        sink: &mut dyn FnMut(&Snapshot, &[Value]) -> ControlFlow<()>,
    ) -> Result<(), AccessError<ExecuteError>> {
        self.check(plan.permit(), Action::Query)?;
        let mut sink = |row: &[Value]| sink(&self.snapshot, row);
        executor::read(plan.plan(), parameters, &self.snapshot, limits, &mut sink)
            .map_err(AccessError::Engine)
    }

    /// The operators of a plan whose types were decided. Nothing is carried out, so that the plan may
    /// also be one that writes, for whoever may carry it out.
    pub fn explain(
        &self,
        plan: &Authorized<Arc<Plan>>,
        parameters: &Parameters,
        limits: &Limits,
    ) -> Result<Operators, AccessError<ExecuteError>> {
        let writes = plan.plan().writes();
        let action = if writes {
            Action::Mutate
        } else {
            Action::Query
        };
        self.check(plan.permit(), action)?;
        executor::explain(plan.plan(), parameters, &self.snapshot, limits)
            .map_err(AccessError::Engine)
    }

    /// The operators of a plan whose types were decided, after a run of it whose rows are counted and
    /// given to nobody.
    pub fn profile(
        &self,
        plan: &Authorized<Arc<Plan>>,
        parameters: &Parameters,
        limits: &Limits,
    ) -> Result<(Operators, u64), AccessError<ExecuteError>> {
        self.check(plan.permit(), Action::Query)?;
        executor::profile(plan.plan(), parameters, &self.snapshot, limits)
            .map_err(AccessError::Engine)
    }

    /// Whether what was selected, its types decided, can be exported.
    pub fn check_export(
        &self,
        selection: &Authorized<Selection>,
    ) -> Result<(), AccessError<ExportError>> {
        self.check(selection.permit(), Action::Export)?;
        export::check(&self.snapshot, selection.plan()).map_err(AccessError::Engine)
    }

    /// Gives what was selected, its types decided.
    pub fn export(
        &self,
        selection: &Authorized<Selection>,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), AccessError<ExportError>> {
        self.check(selection.permit(), Action::Export)?;
        export::write(&self.snapshot, selection.plan(), sink).map_err(AccessError::Engine)
    }
}
