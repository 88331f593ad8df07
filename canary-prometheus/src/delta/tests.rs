use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn window(after: u64, until: u64) -> Window {
    Window::new(at(after), at(until))
}

fn track(samples: &[(u64, u64)]) -> Track {
    Track::new(
        (samples.iter()).map(|&(ms, value)| Sample { at: at(ms), values: vec![value] }).collect(),
    )
}

fn rise(tracks: &[Track], window: Window) -> u64 {
    tally(tracks, window).rises.map_or(0, |rises| rises[0])
}

/// Covers one side's tracks against a second side that has none.
fn cover_one(window: Window, tracks: &[Track]) -> Cover {
    let main = BySide { stable: tracks, canary: &[][..] };
    cover(window, main, &[])
}

#[test]
fn a_step_belongs_to_the_window_that_holds_its_end() {
    let tracks = [track(&[(0, 100), (15_000, 107), (30_000, 120)])];
    assert_eq!(rise(&tracks, window(0, 15_000)), 7);
    assert_eq!(rise(&tracks, window(15_000, 29_999)), 0);
    assert_eq!(rise(&tracks, window(14_999, 30_000)), 20);
}

#[test]
fn a_first_sample_only_starts_the_clock() {
    let tracks = [track(&[(10_000, 100), (20_000, 103)])];
    assert_eq!(tally(&tracks, window(0, 10_000)).rises, None);
    assert_eq!(rise(&tracks, window(0, 20_000)), 3);
    let long_silence = [track(&[(0, 100), (300_001, 900), (315_000, 905)])];
    assert_eq!(rise(&long_silence, window(0, 315_000)), 5);
}

#[test]
fn a_fall_of_one_counter_resets_the_whole_track() {
    let histogram = Track::new(vec![
        Sample { at: at(0), values: vec![5, 50, 100] },
        Sample { at: at(1_000), values: vec![9, 60, 60] },
    ]);
    let tally = tally(&[histogram], window(0, 1_000));
    assert_eq!(tally.rises, Some(vec![9, 60, 60]));
    assert_eq!(tally.resets, 1);
}

#[test]
fn a_window_ends_at_the_oldest_of_the_newest_samples() {
    let tracks = [track(&[(0, 1), (15_000, 2), (30_000, 3)]), track(&[(7_000, 1), (22_000, 2)])];
    assert_eq!(cover_one(window(7_000, 36_000), &tracks), Cover::Known(window(7_000, 22_000)));
    assert_eq!(cover_one(window(22_000, 36_000), &tracks), Cover::Pending);
    assert_eq!(cover_one(window(0, 36_000), &[]), Cover::Nothing);
}

#[test]
fn a_process_that_is_gone_holds_the_others_up_for_one_interval_only() {
    let tracks = [
        track(&[(0, 1), (15_000, 2), (30_000, 3), (45_000, 4), (60_000, 5)]),
        track(&[(0, 1), (15_000, 2)]),
        track(&[(12_000, 1)]),
    ];
    assert_eq!(cover_one(window(15_000, 61_000), &tracks), Cover::Known(window(15_000, 45_000)));
}

#[test]
fn a_side_whose_step_ends_just_behind_the_cut_is_waited_for() {
    let stable = [track(&[(0, 0), (15_000, 9), (30_000, 20)])];
    let canary = [track(&[(1_000, 0), (16_000, 4), (31_000, 8)])];
    let main = BySide { stable: &stable[..], canary: &canary[..] };
    assert_eq!(cover(window(16_500, 30_500), main, &[]), Cover::Pending);
    let known = Cover::Known(window(15_000, 30_000));
    assert_eq!(cover(window(15_000, 30_500), main, &[]), known);
}

#[test]
fn tracks_beside_the_main_ones_hold_the_cut_back_too() {
    let total = [track(&[(0, 0), (15_000, 9), (30_000, 20)])];
    let bad = [track(&[(0, 0), (15_000, 1)])];
    let main = BySide { stable: &total[..], canary: &[][..] };
    assert_eq!(cover(window(0, 31_000), main, &[&bad]), Cover::Known(window(0, 15_000)));
}

/// What a made-up process does between two scrapes.
#[derive(Clone, Debug)]
enum Life {
    Serve(u64),
    /// It restarts, then serves this many requests, fewer than it had.
    Restart(u64),
    /// The scrape fails, although requests are served.
    Miss(u64),
    /// Nobody scrapes it for longer than a series lives.
    Silence,
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let life = prop_oneof![
        8 => (0_u64..50).prop_map(Life::Serve),
        1 => (0_u64..50).prop_map(Life::Restart),
        1 => (0_u64..50).prop_map(Life::Miss),
        1 => Just(Life::Silence),
    ];
    prop::collection::vec(life, 1..40)
}

/// One process: its samples, when each becomes visible, and how many requests each step holds.
#[derive(Clone, Debug, Default)]
struct Process {
    track: Track,
    visible: Vec<u64>,
    steps: Vec<(u64, u64)>,
}

/// Lets a process live, scraped every `interval` from `begin` on, each sample visible `delay` later.
fn process(begin: u64, interval: u64, lives: &[Life], delays: &[u64]) -> Process {
    let mut process = Process::default();
    let (mut value, mut since_sample, mut last) = (100, 0, None::<u64>);
    let mut ms = begin;
    for life in lives {
        ms += interval;
        match *life {
            Life::Serve(n) => (value, since_sample) = (value + n, since_sample + n),
            Life::Restart(n) => {
                // Only a fall below the last sample can be seen as a restart.
                let seen = process.track.samples.last().map_or(0, |s| s.values[0]);
                let n = n.min(seen.saturating_sub(1));
                (value, since_sample) = if seen > 0 { (n, n) } else { (value, since_sample) };
            }
            Life::Miss(n) => {
                (value, since_sample) = (value + n, since_sample + n);
                continue;
            }
            Life::Silence => {
                (ms, value) = (ms + 300_000, value + 7);
                continue;
            }
        }
        process.track.samples.push(Sample { at: at(ms), values: vec![value] });
        process.visible.push(ms + delays[process.visible.len() % delays.len()]);
        if last.is_some_and(|last| ms - last <= LINK.as_millis() as u64) {
            process.steps.push((ms, since_sample));
        }
        (last, since_sample) = (Some(ms), 0);
    }
    process
}

fn processes() -> impl Strategy<Value = Vec<Process>> {
    // A scrape takes less than the shortest interval.
    let process = (0_u64..90_000, 5_000_u64..30_000, lives())
        .prop_flat_map(|(begin, interval, lives)| {
            let delays = prop::collection::vec(0_u64..5_000, 1..7);
            (Just(begin), Just(interval), Just(lives), delays)
        })
        .prop_map(|(begin, interval, lives, delays)| process(begin, interval, &lives, &delays));
    prop::collection::vec(process, 1..6)
}

/// Returns what a server shows of a process at `now` to someone who asks for a window.
fn shown(process: &Process, window: Window, now: u64) -> Track {
    let oldest = window.until - reach(window);
    Track::new(
        (process.track.samples.iter().zip(&process.visible))
            .filter(|(sample, visible)| {
                **visible <= now && sample.at > oldest && sample.at <= window.until
            })
            .map(|(sample, _)| sample.clone())
            .collect(),
    )
}

proptest! {
    #[test]
    fn windows_add_up_to_every_request_between_samples(
        processes in processes(),
        mut cuts in prop::collection::vec(0_u64..5_000_000, 0..20),
    ) {
        cuts.extend([0, 5_000_000]);
        cuts.sort_unstable();
        let sum: u64 = (cuts.windows(2))
            .map(|cut| {
                let window = window(cut[0], cut[1]);
                let tracks: Vec<_> = processes.iter().map(|p| shown(p, window, u64::MAX)).collect();
                rise(&tracks, window)
            })
            .sum();
        let steps: u64 = processes.iter().flat_map(|p| &p.steps).map(|step| step.1).sum();
        prop_assert_eq!(sum, steps);
    }

    #[test]
    fn a_live_cursor_misses_nothing_and_counts_nothing_twice(
        processes in processes(),
        ticks in prop::collection::vec(100_u64..40_000, 1..80),
    ) {
        let (mut cursor, mut now, mut sum) = (0, 0, 0);
        for tick in ticks {
            now += tick;
            let asked = window(cursor, now);
            let tracks: Vec<_> = processes.iter().map(|p| shown(p, asked, now)).collect();
            let (stable, canary) = tracks.split_at(tracks.len() / 2);
            match cover(asked, BySide { stable, canary }, &[]) {
                Cover::Known(known) => {
                    prop_assert_eq!(known.after, asked.after);
                    prop_assert!(asked.after < known.until && known.until <= asked.until);
                    sum += rise(&tracks, known);
                    cursor = known.until.as_millis();
                }
                Cover::Nothing => cursor = now,
                Cover::Pending => {}
            }
        }
        let steps = processes.iter().flat_map(|p| &p.steps);
        let due: u64 = steps.filter(|step| step.0 <= cursor).map(|step| step.1).sum();
        prop_assert_eq!(sum, due);
    }

    #[test]
    fn what_is_known_is_at_most_one_interval_behind_the_newest_sample(
        processes in processes(),
        now in 400_000_u64..2_000_000,
    ) {
        let asked = window(now - 90_000, now);
        let tracks: Vec<_> = processes.iter().map(|p| shown(p, asked, now)).collect();
        let newest = tracks.iter().filter_map(Track::newest).max();
        let longest = tracks.iter().filter_map(Track::usual_interval).max();
        if let (Some(newest), Some(longest)) = (newest, longest) {
            let known = known_until(|| tracks.iter()).unwrap();
            prop_assert!(newest.since(known) <= longest, "{known} is far behind {newest}");
        }
    }
}
