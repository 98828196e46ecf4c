//! A crash after each effect of each change, found by a restart or by another server, and a second crash
//! while the first is settled.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use registry::{Error, Registry, Step};

use crate::operations::{OPERATIONS, Operation, whole_or_absent};
use crate::place::{Place, named, permit};

/// The change, ended after the step as a crash would.
fn crash(operation: &Operation, step: Step, place: &Place) {
    let crashing = place.halting(step);
    operation.edit(place);
    let error = (operation.run)(&crashing).expect_err("halted");
    assert!(
        matches!(error, Error::Halted(found) if found == step),
        "{} {step:?}: {error:?}",
        operation.name
    );
}

/// Whether the file is another one, whatever was done to it by hand and once the graph two is in it.
fn is_replaced(place: &Place, before: &str) -> bool {
    place.text().replace("  two:\n    uri: ../data/two\n", "") != before
}

fn settled_by(operation: &Operation, step: Step, restart: bool) {
    let what = format!("{} {step:?} restart {restart}", operation.name);
    let place = operation.place();
    let other = place.open();
    let before = place.text();
    crash(operation, step, &place);
    let before = match operation.steps {
        Step::RELOAD => place.text(),
        _ => before,
    };
    let settled = if restart {
        place.open()
    } else {
        operation.follow(&other);
        other
    };
    settled.create(&permit(), named("two")).expect("created");
    settled.clean().expect("goes on with a purge");
    let replaced = is_replaced(&place, &before);
    assert_eq!(replaced, operation.has_replaced(step), "{what}");
    whole_or_absent(&place, &settled, &what);
}

#[test]
fn a_crash_at_any_step_leaves_one_of_two_states() {
    for operation in &OPERATIONS {
        for &step in operation.steps {
            for restart in [true, false] {
                settled_by(operation, step, restart);
            }
        }
    }
}

/// A crash at each step of a change, and one at each step of the restart after it.
#[test]
fn a_crash_while_a_crash_is_settled_is_settled_too() {
    let mut seconds = 0;
    for operation in &OPERATIONS {
        for &step in operation.steps {
            for second in 1.. {
                let what = format!("{} {step:?}, then {second}", operation.name);
                let place = operation.place();
                crash(operation, step, &place);
                let taken = AtomicUsize::new(0);
                let halts = move |_| taken.fetch_add(1, Ordering::Relaxed) + 1 == second;
                match place.open_with(halts) {
                    Err(Error::Halted(_)) => seconds += 1,
                    Err(error) => panic!("{what}: {error:?}"),
                    Ok(_) => break,
                }
                let settled = place.open();
                settled.create(&permit(), named("two")).expect("created");
                settled.clean().expect("goes on with a purge");
                whole_or_absent(&place, &settled, &what);
            }
        }
    }
    assert!(seconds > 40, "only {seconds} second crashes");
}

/// The steps that were taken, each with how often the disk had been changed by then.
type Seen = Arc<Mutex<Vec<(Step, u64)>>>;

fn noting(place: &Place, seen: &Seen) -> Registry {
    let noted = seen.clone();
    place
        .open_with(move |step| {
            let mut seen = noted.lock().expect("no panic");
            seen.push((step, registry::effects()));
            false
        })
        .expect("opened")
}

/// Asserts that no two effects came without a step in between, and none after the last step.
fn each_has_a_step(seen: &Seen, mut last: u64, what: &str) -> Vec<Step> {
    let seen = seen.lock().expect("no panic");
    for (step, effects) in seen.iter() {
        assert!(effects - last <= 1, "{what}: more than one before {step:?}");
        last = *effects;
    }
    assert_eq!(registry::effects(), last, "{what}: one after the last step");
    seen.iter().map(|(step, _)| *step).collect()
}

/// Every durable effect has a step of its own after it, so that no crash is left untested: of the changes,
/// and of settling what a crash left of each.
#[test]
fn every_effect_has_a_step() {
    for operation in &OPERATIONS {
        let place = operation.place();
        let seen = Seen::default();
        let registry = noting(&place, &seen);
        operation.edit(&place);
        let begun = registry::effects();
        (operation.run)(&registry).expect("done");
        let steps = each_has_a_step(&seen, begun, operation.name);
        assert_eq!(steps, operation.steps, "{}", operation.name);
        for &step in operation.steps {
            let what = format!("settling {} {step:?}", operation.name);
            let place = operation.place();
            crash(operation, step, &place);
            let (seen, begun) = (Seen::default(), registry::effects());
            let registry = noting(&place, &seen);
            registry.clean().expect("goes on with a purge");
            each_has_a_step(&seen, begun, &what);
        }
    }
}
