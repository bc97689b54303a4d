use super::*;
use cosmicsync_protocol::crdt::{Change, CheckedUpdate, Meta, Replica, Step, TextPaths, check};

const FRIENDS: &[u8] = include_bytes!("../../fixtures/friendsforever-300.json");

fn read(bytes: &[u8], chunk: usize) -> Result<(Vec<Txn>, Summary), TraceError> {
    let mut reader = TraceReader::new();
    let mut txns = Vec::new();
    for bytes in bytes.chunks(chunk) {
        reader.feed(bytes);
        while let Some(txn) = reader.next_txn()? {
            txns.push(txn);
        }
    }
    reader.finish();
    while let Some(txn) = reader.next_txn()? {
        txns.push(txn);
    }
    Ok((txns, reader.summary()?))
}

fn body() -> Vec<Step> {
    vec!["body".into()]
}

fn texts() -> TextPaths {
    ["body"].into_iter().collect()
}

fn typed(txn: &Txn) -> Vec<Change> {
    let splice = |patch: &Patch| Change::Splice {
        path: body(),
        at: patch.at,
        delete: patch.delete,
        insert: patch.insert.clone(),
    };
    txn.patches.iter().map(splice).collect()
}

/// Replays a trace with one replica for each author; returns the final text of each.
fn replay(txns: &[Txn], summary: &Summary) -> Vec<String> {
    let start = [("body", summary.start_content.as_str())].into_iter().collect();
    let mut origin = Replica::create(1000, &Meta::default(), &start, &texts()).unwrap();
    let origin = origin.take_update().unwrap().unwrap();
    let origin = check(&origin.bytes, 1000, 0).unwrap();
    let mut replicas: Vec<Replica> = (0..summary.agents).map(|agent| Replica::new(agent as u64)).collect();
    for replica in &mut replicas {
        replica.import(vec![origin.clone()]).unwrap();
    }
    // Each author's transactions as updates, with their numbers, which are a causal order.
    let mut sent: Vec<Vec<(usize, CheckedUpdate)>> = vec![Vec::new(); summary.agents];
    let mut causality = Causality::new();
    for (number, txn) in txns.iter().enumerate() {
        let mut news: Vec<(usize, CheckedUpdate)> = Vec::new();
        for receive in causality.follow(txn).unwrap() {
            news.extend_from_slice(&sent[receive.agent][receive.txns]);
        }
        news.sort_by_key(|(number, _)| *number);
        let replica = &mut replicas[txn.agent];
        replica.import(news.into_iter().map(|(_, update)| update).collect()).unwrap();
        replica.apply(&typed(txn), &texts()).unwrap();
        let update = replica.take_update().unwrap().unwrap();
        sent[txn.agent].push((number, check(&update.bytes, txn.agent as u64, update.start).unwrap()));
    }
    let mut all: Vec<(usize, CheckedUpdate)> = sent.into_iter().flatten().collect();
    all.sort_by_key(|(number, _)| *number);
    for replica in &mut replicas {
        let ends = replica.version().clone();
        let missing =
            all.iter().filter(|(_, update)| ends.get(&update.peer()).is_none_or(|end| *end <= update.start()));
        replica.import(missing.map(|(_, update)| update.clone()).collect()).unwrap();
    }
    replicas.iter_mut().map(|replica| replica.text_at(&body()).unwrap().unwrap()).collect()
}

#[test]
fn two_people_typing_at_once_end_with_one_text() {
    let (txns, summary) = read(FRIENDS, 1000).unwrap();
    assert_eq!((txns.len(), summary.agents), (321, 2));
    assert!(txns.iter().filter(|txn| txn.parents.len() > 1).count() > 20, "the extract is concurrent");
    let ends = replay(&txns, &summary);
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0], summary.end_content);
}

#[test]
fn chunks_do_not_matter() {
    let whole = read(FRIENDS, usize::MAX).unwrap();
    assert_eq!(read(FRIENDS, 7).unwrap(), whole);
}

#[test]
fn a_sequential_trace_has_one_author_and_counts_scalar_values() {
    let trace = r#"{"startContent":"a😀b","endContent":"a😀é","txns":[
        {"time":"2021-04-19T06:06:58.219Z","patches":[[2,1,""],[2,0,"ü"]]},{"patches":[[2,1,"é"]]}]}"#;
    let mut reader = TraceReader::new();
    reader.feed(trace.as_bytes());
    assert!(reader.next_txn().unwrap().unwrap().parents.is_empty());
    assert_eq!(reader.start_content().unwrap(), "a😀b");
    assert_eq!(reader.next_txn().unwrap().unwrap().parents, [0]);
    let (txns, summary) = read(trace.as_bytes(), 5).unwrap();
    assert_eq!(replay(&txns, &summary), [summary.end_content]);
}

#[test]
fn what_is_no_trace_is_refused() {
    let wrong = [
        r#"{"endContent":"","txns":[{"patches":[[0,0]]}]}"#,
        r#"{"endContent":"","txns":[{"patches":[[-1,0,""]]}]}"#,
        r#"{"endContent":"","txns":[{"parents":[0],"patches":[]}]}"#,
        r#"{"endContent":"","txns":[{"agent":100000,"patches":[]}]}"#,
        r#"{"endContent":"","txns":[1]}"#,
        r#"{"txns":[]}"#,
        r#"{"endContent":1,"txns":[]}"#,
        "[]",
    ];
    for trace in wrong {
        assert!(read(trace.as_bytes(), 9).is_err(), "{trace}");
    }
    let fork = Txn { parents: vec![], agent: 0, patches: vec![] };
    let mut causality = Causality::new();
    causality.follow(&fork).unwrap();
    assert!(matches!(causality.follow(&fork), Err(TraceError::NotLinear(1))));
}
