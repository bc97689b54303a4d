//! Tests of the framework, with fake proofs.

use super::*;

const TABLE: &str = r#"
[[claim]]
id = "cost"
workload = "idle"
unit = "B"
comparison = "<="
limit = 600
issue = 1

[[claim]]
id = "cost"
workload = "*: differences"
unit = "rows"
comparison = "=="
limit = 0
issue = 1

[[claim]]
id = "cost"
workload = "own.csv: rows"
unit = "rows"
comparison = "printed"
issue = 1
sample = true

[[claim]]
id = "sim-lag"
workload = "runs"
unit = "runs"
comparison = ">="
limit = 200
issue = 1
"#;

/// Returns the error of proving `cost` with this proof; empty if everything holds.
fn outcome(proof: Proof, files: &[&str]) -> String {
    let claims = Claims::parse(TABLE).unwrap();
    let mut report = Report::new(&claims, !files.is_empty(), Output::Json);
    let setting = Setting { binary: PathBuf::new(), files: files.iter().map(PathBuf::from).collect() };
    prove(&["cost"], &[("cost", proof)], &setting, &mut report).unwrap();
    report.finish(&["cost"]).err().map(|failure| failure.to_string()).unwrap_or_default()
}

#[test]
fn a_proof_holds_when_every_row_has_a_figure_within_its_limit() {
    let proof: Proof = |_, report| {
        report.figure("idle", 600.0, 3);
        report.figure("own.csv: differences", 0.0, 42_049);
        report.figure("own.csv: rows", 42_049.0, 1);
        Ok(())
    };
    assert_eq!(outcome(proof, &[]), "");
}

#[test]
fn rows_about_samples_are_not_asked_for_on_other_files() {
    let proof: Proof = |_, report| {
        report.figure("idle", 1.0, 1);
        report.figure("theirs.csv: differences", 0.0, 5);
        Ok(())
    };
    assert_eq!(outcome(proof, &["theirs.csv"]), "");
    assert!(outcome(proof, &[]).contains("own.csv: rows\": no figure"));
}

#[test]
fn each_fault_fails_the_run_and_says_why() {
    let faults: [(Proof, &str); 5] = [
        (
            |_, report| {
                report.figure("idle", 601.0, 1);
                Ok(())
            },
            "601 B is not <= 600",
        ),
        (
            |_, report| {
                report.figure("idle", 1.0, 0);
                Ok(())
            },
            "n = 0",
        ),
        (
            |_, report| {
                report.figure("unknown", 1.0, 1);
                Ok(())
            },
            "no row",
        ),
        (
            |_, report| {
                report.figure("idle", f64::NAN, 1);
                Ok(())
            },
            "NaN B is not",
        ),
        (|_, _| Err("the node did not start".into()), "cost: the node did not start"),
    ];
    for (proof, expected) in faults {
        let message = outcome(proof, &[]);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_skipped_case_fails_the_run() {
    let proof: Proof = |_, report| {
        report.figure("idle", 1.0, 1);
        report.figure("own.csv: differences", 0.0, 1);
        report.skip("own.csv: rows", "no sample");
        Ok(())
    };
    assert!(outcome(proof, &[]).contains("skipped, no sample"));
}

#[test]
fn a_claim_without_a_proof_fails() {
    let claims = Claims::parse(TABLE).unwrap();
    let mut report = Report::new(&claims, false, Output::Json);
    prove(&["sim-lag"], &[], &Setting { binary: PathBuf::new(), files: vec![] }, &mut report).unwrap();
    assert!(report.finish(&["sim-lag"]).unwrap_err().to_string().contains("no proof"));
}

#[test]
fn arguments_are_claims_or_files() {
    let claims = Claims::parse(TABLE).unwrap();
    let split = |arguments: &[&str]| split(&arguments.iter().map(|&a| a.to_owned()).collect::<Vec<_>>(), &claims);
    let (patterns, files) = split(&["sim-*", "Cargo.toml"]).unwrap();
    assert_eq!((select(&claims, &patterns), files.len()), (vec!["sim-lag"], 1));
    assert_eq!(select(&claims, &[]), ["cost", "sim-lag"]);
    assert!(split(&["nothing"]).is_err());
    assert!(split(&["Cargo.toml"]).is_err());
}

#[test]
fn a_row_without_a_limit_or_twice_is_refused() {
    assert!(Claims::parse(&TABLE.replacen("limit = 600\n", "", 1)).is_err());
    assert!(Claims::parse(&format!("{TABLE}{TABLE}")).is_err());
}

#[test]
fn the_projects_own_table_is_well_formed() {
    let claims = Claims::parse(include_str!("../../../claims.toml")).unwrap();
    for (id, _) in PROOFS {
        assert!(claims.ids().contains(id), "the proof {id} has no claim");
    }
}
