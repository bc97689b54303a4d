//! Imports and exports of XML.

use super::*;

#[test]
fn xml_comes_out_as_it_went_in() {
    let world = World::new();
    let text = "<?xml version=\"1.0\"?>\n<rss><channel><title>T</title>\n<item id=\"1\"><t>A &amp; B</t><p>x <b>y</b> z</p></item>\n\
                <item id=\"2\"><t>C</t></item></channel></rss>\n";
    let file = world.file("in.xml", text);
    let printed = world.done(&["import", &file, "-c", "items", "--rows", "channel.item", "--id-column", "@id"]);
    assert_eq!(count(&printed, "documents"), 2);
    assert!(world.done(&["doc", "get", "items/1"]).contains("\"t\": \"A & B\""));
    world.done(&["export", "items", "out.xml"]);
    let out = fs::read_to_string(world.path("out.xml")).expect("there");
    let mut rows: Vec<&str> = out.lines().collect();
    let mut before: Vec<&str> = text.lines().collect();
    assert_eq!(out.len(), text.len());
    // Documents with keys come in the order of their ids.
    for lines in [&mut rows, &mut before] {
        lines.sort_by_key(|line| line.trim_end_matches("</channel></rss>").len());
    }
    assert_eq!(rows.concat().replace("</channel></rss>", ""), before.concat().replace("</channel></rss>", ""));
    let again = world.done(&["import", "out.xml", "-c", "items", "--rows", "channel.item", "--id-column", "@id"]);
    assert_eq!((count(&again, "documents"), count(&again, "unchanged")), (0, 2));
    let (code, said) = world.refused(&["import", &world.file("feed.xml", "<f><t>x</t><e><a/></e></f>"), "-c", "f"]);
    assert!(code == 2 && said.contains("--rows e"), "{said}");
    world.done(&["doc", "put", "odd/1", r#"{"a b":1}"#]);
    let (code, said) = world.refused(&["export", "odd", "odd.xml"]);
    assert!(code == 4 && said.contains("\"a b\"") && !exists(&world.path("odd.xml")), "{said}");
}
