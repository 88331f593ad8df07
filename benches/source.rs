//! What one look at a metrics server costs this side, and how many requests it takes.
//!
//! The server is made up and stands in another thread, so that only what the source does is counted: asking, reading
//! and counting.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use canary_core::ports::{Call, MetricSource as _};
use canary_core::value::{EffectId, Epoch, Query, Signal, Timestamp};
use canary_prometheus::{LatencyUnit, Prometheus};

/// How many looks are taken: the mean of their times is told.
const LOOKS: u32 = 400;

/// When the newest sample was scraped, in seconds.
const NEWEST: u64 = 1_700_000_000;

/// How often is scraped, in seconds.
const SCRAPE: u64 = 15;

/// The pods of each side, each with five counters and five buckets.
const PODS: u64 = 10;
const CODES: [&str; 5] = ["200", "201", "404", "500", "503"];
const BUCKETS: [&str; 5] = ["0.05", "0.1", "0.5", "1", "+Inf"];

/// The numbers that are asked for beside requests and latency.
const NUMBERS: [&str; 6] = ["pool", "cache", "cpu", "memory", "restarts", "refunds"];

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn main() -> Result<(), Box<dyn Error>> {
    let asked = Arc::new(Asked::default());
    let address = serve(Arc::clone(&asked))?;
    let mut builder = Prometheus::builder(format!("http://{address}"))
        .requests(
            r#"requests_total{variant="{{ variant }}"}"#,
            r#"requests_total{variant="{{ variant }}", code=~"5.."}"#,
        )
        .latency(r#"seconds_bucket{variant="{{ variant }}"}"#, LatencyUnit::Seconds);
    for name in NUMBERS {
        builder = builder.value(name, format!("{name}{{variant=\"{{{{ variant }}}}\"}}"));
    }
    let source = builder.build()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;

    // Once without counting, so that it is known how often is scraped.
    runtime.block_on(look(&source))?;
    let before = (asked.requests.load(Ordering::SeqCst), asked.bytes.load(Ordering::SeqCst));
    let (cpu, begin) = (own_cpu(), Instant::now());
    for _ in 0..LOOKS {
        runtime.block_on(look(&source))?;
    }
    let cpu = own_cpu().zip(cpu).map(|(now, before)| now.saturating_sub(before) / LOOKS);
    let each =
        |now: &AtomicU64, before: u64| (now.load(Ordering::SeqCst) - before) / u64::from(LOOKS);
    println!("series                {:>10}", 2 * PODS * (CODES.len() + BUCKETS.len()) as u64);
    println!("requests a look       {:>10}", each(&asked.requests, before.0));
    println!("bytes a look          {:>10}", each(&asked.bytes, before.1));
    match cpu {
        Some(cpu) => println!("own CPU a look        {:>7} µs", cpu.as_micros()),
        None => println!("own CPU a look        not known on this system"),
    }
    println!("time a look           {:>7} µs", (begin.elapsed() / LOOKS).as_micros());
    Ok(())
}

/// Asks what ten checks look at: two at counts, two at latency, and six at a number each.
async fn look(source: &Prometheus) -> Result<(), Box<dyn Error>> {
    let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
    let (now, after) = (at(NEWEST + 1), at(NEWEST - SCRAPE));
    let id = "checkout-42".parse()?;
    let deadline = now + Duration::from_secs(60);
    let call = Call::new(id, Epoch::new(1), EffectId::new(1), 1, now, deadline);
    let numbers = NUMBERS.into_iter().map(|name| Signal::Custom(name.into()));
    let signals = [Signal::Requests, Signal::Latency].into_iter().chain(numbers);
    let queries: Vec<_> = signals.map(|signal| Query::new(signal, after)).collect();
    for answer in source.measure(&call, &queries, now).await {
        let measured = answer?;
        assert!(!measured.covered.is_empty(), "{measured:?}");
    }
    Ok(())
}

/// Returns how long this thread has computed, where the system tells.
fn own_cpu() -> Option<Duration> {
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    told.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

#[derive(Debug, Default)]
struct Asked {
    requests: AtomicU64,
    bytes: AtomicU64,
}

fn serve(asked: Arc<Asked>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let asked = Arc::clone(&asked);
            // It ends when the client hangs up.
            thread::spawn(move || converse(stream, &asked));
        }
    });
    Ok(address)
}

/// Answers one query after the other.
fn converse(stream: TcpStream, asked: &Asked) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut query = vec![0; length];
        reader.read_exact(&mut query)?;
        let body = answer(&String::from_utf8_lossy(&query));
        asked.requests.fetch_add(1, Ordering::SeqCst);
        asked.bytes.fetch_add(body.len() as u64, Ordering::SeqCst);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        reader.get_mut().write_all((head + &body).as_bytes())?;
    }
}

fn answer(query: &str) -> String {
    let range = query.split_once("%5B").and_then(|(_, rest)| rest.split_once("ms%5D"));
    let Some(millis) = range.and_then(|(millis, _)| millis.parse::<u64>().ok()) else {
        let one = |i: usize| format!(r#"{{"metric":{{"canary_query":"{i}"}},"value":[1,"0.5"]}}"#);
        let all: Vec<_> = (0..2 * NUMBERS.len()).map(one).collect();
        return success("vector", &all);
    };
    let samples = millis / (SCRAPE * 1000);
    let labels: &[&str] = if query.contains("bucket") { &BUCKETS } else { &CODES };
    let label = if query.contains("bucket") { "le" } else { "code" };
    let mut all = Vec::new();
    for pod in 0..PODS {
        for (i, value) in labels.iter().enumerate() {
            let names = format!(
                r#""__name__":"requests_total","namespace":"shop","job":"checkout","instance":"10.0.0.{pod}:8080","pod":"checkout-6d8f7c9b5-{pod:05}","variant":"canary","{label}":"{value}""#
            );
            let sample = |n: u64| {
                let at = NEWEST - (samples - 1 - n) * SCRAPE;
                format!(r#"[{at}.{pod:03},"{}"]"#, 1_000_000 + n * 37 * (i as u64 + 1))
            };
            let samples: Vec<_> = (0..samples).map(sample).collect();
            all.push(format!(r#"{{"metric":{{{names}}},"values":[{}]}}"#, samples.join(",")));
        }
    }
    success("matrix", &all)
}

fn success(kind: &str, result: &[String]) -> String {
    let result = result.join(",");
    format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":[{result}]}}}}"#)
}
