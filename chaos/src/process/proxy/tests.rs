use super::*;
use std::io::{Read as _, Write as _};

/// Longest wait for bytes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts a node that sends back whatever comes, and a proxy that leads to it.
fn echo() -> Proxy {
    let node = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let proxy = Proxy::listen(1, 64 * 1024).unwrap();
    proxy.lead_to(Some(node.local_addr().unwrap()));
    thread::spawn(move || {
        for stream in node.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut bytes = [0; 1024];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    stream.write_all(&bytes[..count]).unwrap();
                }
            });
        }
    });
    proxy
}

fn dial(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a word; returns the answer.
fn said(mut stream: &TcpStream, word: &str) -> io::Result<String> {
    stream.write_all(word.as_bytes())?;
    let mut answer = vec![0; word.len()];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn bytes_pass_both_ways_and_take_their_time() {
    let proxy = echo();
    let stream = dial(&proxy);
    assert_eq!(said(&stream, "at once").unwrap(), "at once");
    proxy.quality(Duration::from_millis(30), Duration::ZERO, 0);
    let began = Instant::now();
    assert_eq!(said(&stream, "later").unwrap(), "later");
    assert!(began.elapsed() >= Duration::from_millis(60), "{:?}", began.elapsed());
    // 100 bytes at 1,000 a second, there and back.
    proxy.quality(Duration::ZERO, Duration::ZERO, 1_000);
    let began = Instant::now();
    assert_eq!(said(&stream, &"x".repeat(100)).unwrap().len(), 100);
    assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());
    assert_eq!(proxy.carried().connections, 1);
}

#[test]
fn held_bytes_come_once_the_link_is_repaired() {
    let proxy = echo();
    let stream = dial(&proxy);
    assert_eq!(said(&stream, "before").unwrap(), "before");
    proxy.hold([false, true], Duration::from_secs(3600));
    (&stream).write_all(b"held").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!((&stream).read(&mut [0; 4]).is_err(), "nothing comes");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    proxy.repair();
    let mut answer = [0; 4];
    (&stream).read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"held");
}

#[test]
fn a_link_that_is_cut_refused_or_down_ends_connections() {
    let proxy = echo();
    let stream = dial(&proxy);
    assert_eq!(said(&stream, "before").unwrap(), "before");
    proxy.reset(0);
    assert!(said(&stream, "after").is_err());
    proxy.refuse(Duration::from_secs(3600));
    assert!(said(&dial(&proxy), "refused").is_err());
    proxy.repair();
    assert_eq!(said(&dial(&proxy), "again").unwrap(), "again");
    proxy.take_down(true);
    assert!(said(&dial(&proxy), "down").is_err());
    proxy.repair();
    proxy.reset(8);
    assert!(said(&dial(&proxy), "more than eight bytes").is_err());
}

#[test]
fn bytes_are_changed_once_where_the_plan_says() {
    let proxy = echo();
    let stream = dial(&proxy);
    proxy.tamper(Tampering::Swap(2), 0, 1);
    assert_eq!(said(&stream, "abcdef").unwrap(), "adebcf");
    assert_eq!(said(&stream, "abcdef").unwrap(), "abcdef");
    proxy.tamper(Tampering::Flip(0), 1, 0);
    assert_eq!(said(&stream, "a").unwrap(), "`");
    proxy.split(1);
    assert_eq!(said(&stream, "in pieces").unwrap(), "in pieces");
    proxy.gather(Duration::from_millis(20));
    assert_eq!(said(&stream, "in lumps").unwrap(), "in lumps");
}
