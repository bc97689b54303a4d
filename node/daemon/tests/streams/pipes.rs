//! Pipes, FIFOs, links and devices, with a daemon and without.

use super::*;

const ROWS: &[u8] = b"{\"id\":1}\n{\"id\":2}\n";

/// Creates a FIFO.
fn fifo(path: &Path) {
    assert!(Process::new("mkfifo").arg(path).status().expect("it runs").success());
}

fn all_doors(world: &World) {
    let import = |file: &str, collection: &str, input: &[u8]| {
        let arguments = ["import", file, "--format", "ndjson", "-c", collection, "--id-column", "id"];
        count(&finished(&arguments, &world.fed(&arguments, input)), "documents")
    };
    assert_eq!(import("-", "stdin", ROWS), 2);
    assert_eq!(import("/dev/stdin", "device", ROWS), 2);
    let long: String = (0..3_000).map(|row| format!("{{\"id\":{row},\"t\":\"{}\"}}\n", "x".repeat(100))).collect();
    assert_eq!(import("-", "long", long.as_bytes()), 3_000);
    let path = world.path("fifo");
    fifo(&path);
    let writer = std::thread::spawn({
        let path = path.clone();
        move || fs::write(path, ROWS).expect("it writes")
    });
    assert_eq!(import("fifo", "fifo", b""), 2);
    writer.join().expect("written");

    assert_eq!(world.done(&["export", "long", "-"]).lines().count(), 3_000);
    let reader = std::thread::spawn({
        let path = path.clone();
        move || fs::read(path).expect("it reads")
    });
    let arguments = ["export", "long", "fifo", "--format", "csv"];
    assert_eq!(count(&world.done(&arguments), "documents"), 3_000);
    assert_eq!(reader.join().expect("read").iter().filter(|byte| **byte == b'\n').count(), 3_001);
    assert!(world.done(&["export", "stdin", "/dev/stdout", "--format", "ndjson"]).contains("{\"id\":1}\n"));
    world.done(&["export", "stdin", "/dev/null", "--format", "json"]);

    fs::write(world.path("pass"), "long enough\n").expect("written");
    let pass = ["--passphrase-file", "pass"];
    let backup = |rest: &[&str]| world.run(&[&["backup"], rest, &pass].concat());
    let streamed = backup(&["create", "-"]);
    assert!(streamed.status.success() && streamed.stdout.len() > 1_000);
    let reader = std::thread::spawn(move || fs::read(path).expect("it reads"));
    assert!(backup(&["create", "fifo"]).status.success());
    for (name, bytes) in [("stdin", streamed.stdout), ("fifo", reader.join().expect("read"))] {
        let verify = world.fed(&[&["backup", "verify", "-"][..], &pass].concat(), &bytes);
        let printed = finished(&["verify"], &verify);
        assert_eq!(count(&printed, "spaces"), 1, "{name}");
        let mut restore = Process::new(env!("CARGO_BIN_EXE_cosmicsync"));
        fs::write(world.path("copy"), &bytes).expect("written");
        restore.current_dir(world.root.path()).args(["--dir", "restored", "backup", "restore", "copy"]).args(pass);
        assert!(restore.output().expect("it runs").status.success(), "{name}");
        fs::remove_dir_all(world.path("restored")).expect("removed");
    }
    fs::remove_file(world.path("fifo")).expect("removed");
}

#[test]
fn streams_are_streams_without_a_daemon() {
    all_doors(&World::new());
}

#[test]
fn streams_are_streams_with_a_daemon() {
    let world = World::new();
    let _up = world.up();
    all_doors(&world);
}

#[test]
fn a_path_is_that_of_the_command_not_of_the_daemon() {
    let world = World::new();
    let _up = world.up();
    fs::create_dir(world.path("elsewhere")).expect("made");
    fs::write(world.path("elsewhere/in.ndjson"), ROWS).expect("written");
    let run = |arguments: &[&str]| {
        let mut process = Process::new(env!("CARGO_BIN_EXE_cosmicsync"));
        let output = process.current_dir(world.path("elsewhere")).args(["--dir", "../d"]).args(arguments).output();
        finished(arguments, &output.expect("it runs"))
    };
    run(&["import", "in.ndjson", "-c", "c", "--id-column", "id"]);
    run(&["export", "c", "out.json"]);
    assert!(exists(&world.path("elsewhere/out.json")));
    assert!(world.refused(&["import", "no-such-file", "-c", "c"]).1.contains("cannot read no-such-file"));
    assert_eq!(world.refused(&["import", "elsewhere", "-c", "c"]).0, 2);
}

#[test]
fn two_exports_at_once_are_both_whole() {
    let world = World::new();
    let rows: String = (0..5_000).map(|row| format!("k{row:05},{}\n", row * 7)).collect();
    let (big, small) = (world.file("big.csv", format!("id,v\n{rows}")), world.file("small.csv", "id,x\n1,a\n"));
    world.done(&["import", &big, "-c", "big", "--id-column", "id"]);
    world.done(&["import", &small, "-c", "small", "--id-column", "id"]);
    fs::write(world.path("o.csv.partial"), "mine\n").expect("written");
    let _up = world.up();
    for _ in 0..3 {
        let exports: Vec<Child> = ["big", "small", "big", "small"]
            .iter()
            .map(|collection| {
                let mut export = world.process(&["export", collection, "o.csv", "--force"]);
                export.stdout(Stdio::null()).spawn().expect("it runs")
            })
            .collect();
        for mut export in exports {
            assert!(export.wait().expect("it ends").success());
        }
        let text = fs::read_to_string(world.path("o.csv")).expect("there");
        assert!([5_001, 2].contains(&text.lines().count()) && text.starts_with("id,"), "{}", text.len());
    }
    let names = fs::read_dir(world.root.path()).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    let partial: Vec<_> = names.filter(|name| name.to_string_lossy().contains("partial")).collect();
    assert_eq!(
        (partial.len(), fs::read_to_string(world.path("o.csv.partial")).expect("there")),
        (1, "mine\n".to_owned())
    );
    assert_eq!(world.refused(&["export", "small", "o.csv"]).0, 4);
}
