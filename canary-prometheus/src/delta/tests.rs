use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn window(after: u64, until: u64) -> Window {
    Window::new(at(after), at(until))
}

fn samples(samples: &[(u64, u64)]) -> Samples {
    let mut seen = Samples::of(1);
    samples.iter().for_each(|&(ms, value)| seen.push(at(ms), &[value]));
    seen
}

fn track(seen: &[(u64, u64)]) -> Track {
    Track::new(&[samples(seen)])
}

fn rise(tracks: &[Track], window: Window) -> u64 {
    tally(tracks, window).rises.map_or(0, |rises| rises[0])
}

/// Covers two sides with the same tracks.
fn cover_both(window: Window, tracks: &[Track]) -> Cover {
    let main = BySide { stable: tracks, canary: tracks };
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
    let mut samples = Samples::of(3);
    samples.push(at(0), &[5, 50, 100]);
    samples.push(at(1_000), &[9, 60, 60]);
    let histogram = Track::new(&[samples]);
    let tally = tally(&[histogram], window(0, 1_000));
    assert_eq!(tally.rises, Some(vec![9, 60, 60]));
    assert_eq!(tally.remarks.resets, 1);
}

#[test]
fn a_window_ends_at_the_oldest_of_the_newest_samples() {
    let tracks = [track(&[(0, 1), (15_000, 2), (30_000, 3)]), track(&[(7_000, 1), (22_000, 2)])];
    assert_eq!(cover_both(window(7_000, 36_000), &tracks), Cover::Known(window(7_000, 22_000)));
    assert_eq!(cover_both(window(22_000, 36_000), &tracks), Cover::Pending);
    assert_eq!(cover_both(window(0, 136_000), &[]), Cover::Nothing);
}

#[test]
fn a_process_that_is_gone_holds_the_others_up_for_one_interval_only() {
    let tracks = [
        track(&[(0, 1), (15_000, 2), (30_000, 3), (45_000, 4), (60_000, 5)]),
        track(&[(0, 1), (15_000, 2)]),
        track(&[(12_000, 1)]),
    ];
    assert_eq!(cover_both(window(15_000, 61_000), &tracks), Cover::Known(window(15_000, 45_000)));
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
    let main = BySide { stable: &total[..], canary: &total[..] };
    assert_eq!(cover(window(0, 31_000), main, &[&bad]), Cover::Known(window(0, 15_000)));
}

#[test]
fn a_step_over_a_missed_scrape_counts_whole_and_is_told() {
    let tracks = [track(&[(0, 0), (1_000, 1), (2_000, 2), (12_000, 30), (13_000, 31)])];
    let tally = tally(&tracks, window(2_000, 13_000));
    assert_eq!(tally.rises, Some(vec![29]));
    let longest = Duration::from_secs(10);
    assert_eq!(tally.remarks, Remarks { resets: 0, gaps: 1, longest });
}

#[test]
fn a_series_that_appears_in_a_known_process_begins_at_zero() {
    let mut total = samples(&[(0, 100), (15_000, 110), (30_000, 120)]);
    let mut errors = samples(&[(15_000, 2), (30_000, 5)]);
    // Another process, scraped at other times, says nothing of this one.
    let mut other = samples(&[(1_000, 7), (16_000, 9)]);
    let mut stranger = samples(&[(15_000, 70), (30_000, 71)]);
    let all = [("a", &mut total), ("a", &mut errors), ("b", &mut other), ("b", &mut stranger)];
    begin_at_zero(all.into_iter());
    let rises = |seen: Samples| rise(&[Track::new(&[seen])], window(0, 30_000));
    assert_eq!([rises(total), rises(errors), rises(stranger)], [20, 5, 1]);
}

#[test]
fn a_series_that_appears_after_a_long_silence_only_starts_its_clock() {
    let mut total = samples(&[(0, 100), (300_001, 110), (315_000, 120)]);
    let mut errors = samples(&[(300_001, 50), (315_000, 51)]);
    begin_at_zero([((), &mut total), ((), &mut errors)].into_iter());
    assert_eq!(rise(&[Track::new(&[errors])], window(0, 315_000)), 1);
}

#[test]
fn two_servers_see_one_counter_and_one_reset() {
    let one = samples(&[(0, 10), (15_000, 20), (30_000, 5), (45_000, 15)]);
    let other = samples(&[(7_000, 14), (22_000, 25), (37_000, 9), (52_000, 18)]);
    let tracks = [Track::new(&[one, other])];
    let tally = tally(&tracks, window(0, 60_000));
    // 10 to 25, then from zero to 18.
    assert_eq!((tally.rises, tally.remarks.resets), (Some(vec![15 + 18]), 1));
}

#[test]
fn a_server_whose_clock_is_ahead_tells_nothing_of_the_time_before_a_reset() {
    let one = samples(&[(0, 10), (15_000, 20), (30_000, 5), (45_000, 15)]);
    let ahead = samples(&[(1_000, 9), (16_000, 19), (31_000, 29), (46_000, 14), (61_000, 21)]);
    let tally = tally(&[Track::new(&[one, ahead])], window(0, 61_000));
    assert_eq!((tally.rises, tally.remarks.resets), (Some(vec![10 + 21]), 1));
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
    samples: Vec<(u64, u64)>,
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
                let seen = process.samples.last().map_or(0, |sample| sample.1);
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
        process.samples.push((ms, value));
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
    let oldest = (window.until - reach(window)).as_millis();
    let shown = (process.samples.iter().zip(&process.visible)).filter(|((ms, _), visible)| {
        **visible <= now && *ms > oldest && *ms <= window.until.as_millis()
    });
    track(&shown.map(|(sample, _)| *sample).collect::<Vec<_>>())
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
    fn what_two_servers_scrape_adds_up_to_what_either_saw_last(
        rises in prop::collection::vec(0_u64..50, 8..40),
        reset in 2_usize..6,
        offset in 1_u64..14_999,
        skew in 0_u64..900,
        mut cuts in prop::collection::vec(0_u64..700_000, 0..20),
    ) {
        // What the process stood at every millisecond, rising evenly, reset once between two scrapes of each server.
        let reset_ms = reset as u64 * 15_000 + 7_000;
        let stood = |ms: u64| {
            let lived = |from: u64| {
                rises.iter().enumerate().map(|(i, rise)| {
                    let (begin, end) = (i as u64 * 15_000, (i as u64 + 1) * 15_000);
                    let served = ms.clamp(begin, end) - from.clamp(begin, end).min(ms.clamp(begin, end));
                    rise * served / 15_000
                }).sum::<u64>()
            };
            if ms < reset_ms { 10_000 + lived(0) } else { lived(reset_ms) }
        };
        let scrapes = rises.len() as u64;
        let one: Vec<_> = (0..scrapes).map(|i| (i * 15_000, stood(i * 15_000))).collect();
        // The other server's clock is ahead.
        let other: Vec<_> =
            (0..scrapes).map(|i| i * 15_000 + offset).map(|ms| (ms + skew, stood(ms))).collect();
        let tracks = [Track::new(&[samples(&one), samples(&other)])];
        cuts.extend([0, 700_000]);
        cuts.sort_unstable();
        let sum: u64 = cuts.windows(2).map(|cut| rise(&tracks, window(cut[0], cut[1]))).sum();
        let last = stood((scrapes - 1) * 15_000).max(stood((scrapes - 1) * 15_000 + offset));
        let before = one.iter().chain(&other).map(|sample| sample.1).filter(|v| *v >= 10_000).max();
        prop_assert_eq!(sum, before.unwrap() - 10_000 + last);
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
        let newest = tracks.iter().filter_map(|track| track.newest).max();
        let longest = longest_interval(tracks.iter());
        if let (Some(newest), Some(longest)) = (newest, longest) {
            let known = known_until(|| tracks.iter()).unwrap();
            prop_assert!(newest.since(known) <= longest, "{known} is far behind {newest}");
        }
    }
}
