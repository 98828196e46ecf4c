//! A statement that has types for itself, of a principal who has others under way.

use super::*;

/// Others wait for a statement that has types for itself, so it does not wait behind its principal's.
#[test]
fn what_others_wait_for_runs_first() {
    let mut fixture = Fixture::new();
    fixture.open_with(Options {
        ahead: 2,
        ..Options::default()
    });
    let graph = fixture.graph().clone();
    let (person, note) = (fixture.type_id("Person"), fixture.type_id("Note"));
    let email = fixture.property("Person", "email");
    let done = AtomicBool::new(false);
    let runs = Arc::default();
    let work = long(&[person], MS(200), &runs, move |work| {
        work.create_node(person, vec![(email, Value::from("the last"))])
    });
    let waited = runtime().block_on(async {
        let statement = async {
            let written = graph.submit(WriteRequest::by("eve"), work).await;
            done.store(true, Ordering::Release);
            written.expect("written");
        };
        // They change nothing, so each is done after one run; there are always three.
        let rest = join_all((0..3).map(|_| async {
            while !done.load(Ordering::Acquire) {
                let work = long(&[note], MS(400), &Arc::default(), |_| Ok(()));
                let read = graph.submit(WriteRequest::by("eve"), work).await;
                read.expect("nothing to do");
            }
        }));
        let others = async {
            let mut waits = Vec::new();
            while !done.load(Ordering::Acquire) {
                let work = fixture.noting(format!("{}", waits.len()), &Arc::default());
                let begun = Instant::now();
                let written = graph.write(WriteRequest::by("ann"), work).await;
                written.expect("written");
                waits.push(begun.elapsed());
                tokio::time::sleep(MS(5)).await;
            }
            waits.into_iter().max().expect("some")
        };
        let ((), _, waited) = futures::join!(statement, rest, others);
        waited
    });
    println!("ann waited {waited:?}");
    assert!(runs.load(Ordering::Relaxed) >= 5, "it had types for itself");
    assert!(waited < MS(750), "{waited:?}");
}
