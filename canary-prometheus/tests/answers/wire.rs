//! What the source makes of servers that misbehave below HTTP, within limits of time and memory.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use canary_core::value::FailureKind;
use canary_prometheus::{Limits, Prometheus};
use futures::future::join_all;

use super::{PATIENT, measure, pool, source};

/// Answers each connection on a thread of its own, after the request's head was read.
fn serve(answer: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), Arc::clone(&answer));
            thread::spawn(move || {
                let mut head = [0; 4096];
                // That the client gives up is what is tested.
                let _ = stream.read(&mut head).and_then(|_| answer(stream));
            });
        }
    });
    address
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
const BODY: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1.0,"0.5"]}}"#;

#[tokio::test]
async fn an_answer_that_breaks_off_may_work_at_another_try() {
    let announced = serve(|mut stream| {
        write!(stream, "{HEAD}Content-Length: {}\r\n\r\n{}", BODY.len(), &BODY[..40])
    });
    let unannounced = serve(|mut stream| write!(stream, "{HEAD}\r\n{}", &BODY[..40]));
    for address in [announced, unannounced] {
        let source = source(&format!("http://{address}"));
        let error = measure(&source, pool(), PATIENT).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Unavailable, "{error}");
        assert!(error.to_string().contains("broke its answer off"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_drips_costs_no_more_than_a_query_may() {
    let address = serve(|mut stream| {
        write!(stream, "{HEAD}Content-Length: 1000000\r\n\r\n")?;
        stream.set_read_timeout(Some(Duration::from_millis(5)))?;
        loop {
            stream.write_all(b" ")?;
            // Nothing comes, until the client hangs up.
            if stream.read(&mut [0]).is_ok() {
                return Ok(());
            }
        }
    });
    let source = Prometheus::builder(format!("http://{address}"))
        .value("pool", r#"pool{variant="{{ variant }}"}"#)
        .limits(Limits::default().time(Duration::from_millis(100)))
        .build()
        .unwrap();
    let error = measure(&source, pool(), PATIENT).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Timeout, "{error}");
    assert!(error.to_string().contains("did not answer in time"), "{error}");
}

#[tokio::test]
async fn of_an_answer_that_is_far_too_long_little_is_taken() {
    const ALL: usize = 100 << 20;
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let address = serve(move |mut stream| {
        write!(stream, "{HEAD}\r\n")?;
        while counter.load(Ordering::SeqCst) < ALL {
            counter.fetch_add(stream.write(&[b' '; 1 << 16])?, Ordering::SeqCst);
        }
        Ok(())
    });
    let one = |address: SocketAddr| {
        Prometheus::builder(format!("http://{address}")).value("pool", "pool").build().unwrap()
    };
    let error = measure(&one(address), pool(), PATIENT).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Invalid);
    assert!(error.to_string().contains("answers with more than 16777216 bytes"), "{error}");
    // What is on its way when the client hangs up is the kernel's.
    assert!(sent.load(Ordering::SeqCst) < ALL / 2, "{sent:?} bytes were taken");

    let announced = serve(|mut stream| write!(stream, "{HEAD}Content-Length: {ALL}\r\n\r\n"));
    let error = measure(&one(announced), pool(), PATIENT).await.unwrap_err();
    assert!(error.to_string().contains("answers with more than"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_source_asks_eight_things_at_a_time_however_many_rollouts_share_it() {
    const ROLLOUTS: usize = 20;
    const AT_ONCE: usize = 8;
    /// How many came so far, how many are there, and how many were there at a time.
    type Crowd = (usize, usize, usize);
    let crowd = Arc::new((Mutex::new(Crowd::default()), Condvar::new()));
    let seen = Arc::clone(&crowd);
    let address = serve(move |mut stream| {
        let (crowd, more) = &*seen;
        let mut here = crowd.lock().unwrap();
        *here = (here.0 + 1, here.1 + 1, here.2.max(here.1 + 1));
        more.notify_all();
        // Nobody is answered before as many are there as may be.
        let enough = here.0.next_multiple_of(AT_ONCE).min(ROLLOUTS);
        here = more.wait_while(here, |(came, ..)| *came < enough).unwrap();
        here.1 -= 1;
        drop(here);
        write!(stream, "{HEAD}Content-Length: {}\r\n\r\n{BODY}", BODY.len())
    });
    let source = Prometheus::builder(format!("http://{address}")).value("pool", "pool").build();
    let rollouts = vec![source.unwrap(); ROLLOUTS];
    let answers = join_all(rollouts.iter().map(|source| measure(source, pool(), PATIENT))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(crowd.0.lock().unwrap().2, AT_ONCE);
}
