//! The driver in the simulator's world.

use std::io::BufReader;

use canary_core::testing::{Recorder, WorldPorts};

use crate::support::{Sink, in_world, simulation};

#[tokio::test(start_paused = true)]
async fn the_driver_gives_what_the_simulator_gives_and_its_journal_the_same_again() {
    for errors in [0.001, 0.2] {
        let simulation = simulation(errors);
        let mut simulated = Vec::new();
        let report = simulation.run_observed(|record| simulated.push(record.clone()));

        let (recorder, journal) = (Recorder::new(), Sink::default());
        let ports = WorldPorts::new(simulation.world());
        let builder = in_world(&ports).observer(recorder.clone()).journal(journal.clone());
        let handle = builder.start("simulated-3".parse().unwrap()).await.unwrap();
        let finished = handle.finished().await.unwrap();

        assert_eq!(recorder.records(), simulated);
        assert_eq!(*finished.report(), report);
        let written = journal.bytes();
        assert_eq!(canary_core::journal::replay(BufReader::new(&written[..])).unwrap(), simulated);
    }
}
