//! Resuming an import: the checkpoint matches the stored rows, and belongs to one file.

use super::*;

#[test]
fn rows_behind_a_refused_one_are_not_passed_over() {
    let world = World::new();
    let rows = |key: &str| -> String {
        let id = |row: u32| if row == 2_500 { key.to_owned() } else { format!("k{row}") };
        (0..6_000).map(|row| format!("{{\"id\":\"{}\",\"n\":{row}}}\n", id(row))).collect()
    };
    let file = world.file("f.ndjson", rows(&"x".repeat(320)));
    let import = ["import", &file, "-c", "c", "--id-column", "id"];
    let (code, said) = world.refused(&import);
    assert!(code == 2 && said.contains("line 2501 (row 2501)") && said.contains("has 320 bytes"), "{said}");
    assert!(said.contains("2500 rows before it are stored"), "{said}");
    world.file("f.ndjson", rows("short"));
    let printed = world.done(&[&import[..], &["--resume"]].concat());
    assert_eq!((count(&printed, "documents"), count(&printed, "skipped")), (3_500, 2_500));
    assert_eq!(world.values("c").len(), 6_000);
}

#[test]
fn an_import_that_ended_is_not_begun_again() {
    let world = World::new();
    let file = world.file("in.csv", "a\n1\n2\n3\n");
    let import = ["import", &file, "-c", "c"];
    let resume = [&import[..], &["--resume"]].concat();
    world.done(&import);
    for _ in 0..2 {
        let printed = world.done(&resume);
        assert!(printed.contains("nothing to go on with"), "{printed}");
        assert_eq!((count(&printed, "documents"), count(&printed, "skipped")), (0, 3));
    }
    for changed in ["a\n1\n2\n3\n4\n", "a\n1\n2\n4\n", "a\n1\n2\n", "a\n1\n2\n33\n"] {
        world.file("in.csv", changed);
        let (code, said) = world.refused(&resume);
        assert!(code == 4 && said.contains("--collection NEW_COLLECTION"), "{said}");
    }
    assert_eq!(world.values("c").len(), 3);
    // If nothing was stored yet, resuming starts from the beginning.
    let other = world.file("other.csv", "a\n1\n");
    assert_eq!(count(&world.done(&["import", &other, "-c", "o", "--resume"]), "documents"), 1);
}

#[test]
fn the_next_step_of_an_error_works() {
    let world = World::new();
    world.file("list.txt", "id\n1\n2;x,3\n");
    let import = ["import", "list.txt", "-c", "c", "--format", "csv", "--id-column", "id"];
    let (_, said) = world.refused(&import);
    let next = said.split("then: cosmicsync ").nth(1).expect("a next step").trim().to_owned();
    assert!(next.contains("--format csv"), "{next}");
    world.file("list.txt", "id\n1\n2\n");
    world.done(&next.split(' ').skip(2).collect::<Vec<_>>());
    assert_eq!(world.values("c").len(), 2);
}

#[test]
fn rows_of_a_killed_import_are_stored_once() {
    let world = World::new();
    let rows: String = (0..8_000).map(|row| format!("{row},{}\n", row * 7)).collect();
    let file = world.file("in.csv", format!("n,v\n{rows}"));
    let mut import = vec!["import", &file, "-c", "c"];
    let size = || fs::metadata(world.path("d/data.mdb")).expect("there").len();
    for _ in 0..3 {
        let before = size();
        let mut child = world.process(&import).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        // The process is killed as soon as some rows are stored.
        while size() == before && child.try_wait().expect("it can be asked").is_none() {
            std::thread::yield_now();
        }
        child.kill().and_then(|()| child.wait().map(drop)).expect("killed");
        import = vec!["import", &file, "-c", "c", "--resume"];
    }
    world.done(&import);
    let numbers: Vec<u64> =
        world.values("c").iter().map(|value| value["n"].as_str().expect("text").parse().expect("a number")).collect();
    assert_eq!(numbers, (0..8_000).collect::<Vec<_>>());
}
